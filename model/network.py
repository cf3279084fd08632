"""The network: fully convolutional, so that a map does not depend on how a slide was cut up.

An encoder of 3 x 3 convolutions, rectified units and pooling; a decoder that brings the context
back up to the output stride beside the encoder's own features; softmax over the classes. Nothing
in it looks at a window as a whole, so that with a halo of `receptive_radius` around it every
window gives what one pass over the whole slide would give.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network_config import OFFSET, SCALE
from .network_config import NetworkConfig as NetworkConfig


class Block(nn.Sequential):
    """Convolution 3 x 3, batch normalisation (a fixed scaling once trained), rectified unit."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Network(nn.Module):
    """uint8 RGB patches in, logits out at `output_stride`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 4, stride=2, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(widths[max(0, level - 1)] if i == 0 else widths[level], widths[level])
                    for i in range(count)
                )
            )
            for level, count in enumerate(config.convolutions)
        )
        self.pool = nn.MaxPool2d(2)
        first_output = config.output_stride.bit_length() - 2
        self.decoder = nn.ModuleList(
            Block(widths[level + 1] + widths[level], widths[level])
            for level in range(len(widths) - 2, first_output - 1, -1)
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(widths[first_output], config.classes, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """[N, 3, H, W] in 0-255, H and W multiples of the total stride -> [N, classes, h, w]."""
        x = F.relu(self.stem(patches * SCALE + OFFSET))  # [N, w0, H/2, W/2]
        skips = []
        for level, blocks in enumerate(self.encoder):
            x = blocks(self.pool(x) if level else x)  # [N, w_level, H/2^(level+1), ...]
            skips.append(x)
        x = self.dropout(skips.pop())
        for block in self.decoder:
            x = block(
                torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], 1)
            )
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # torch types calls as Any


class Probabilities(nn.Module):
    """What runs on slides: uint8 [N, H, W, 3] -> float32 softmax [N, classes, h, w]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.network(patches.permute(0, 3, 1, 2).to(torch.float32))
        return logits.float().softmax(1)
