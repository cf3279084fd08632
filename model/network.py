"""The network: fully convolutional, so that a map does not depend on how a slide was cut up.

A stem that sees pixels in patches; an encoder of 3 x 3 convolutions, rectified units and pooling; a
decoder that adds the context, level by level, to the encoder's own features (Lin et al. 2017,
feature pyramid networks) up to the output stride; softmax over the classes. Nothing in it looks at
a window as a whole, so that with a halo of `receptive_radius` around it every window gives what one
pass over the whole slide would give.
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


class Merge(nn.Module):
    """Context from the next coarser level, added to the encoder's own features, then a block.

    The coarse features are narrowed before they are enlarged: a quarter of the arithmetic.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(coarse, fine, 1)
        self.lateral = nn.Conv2d(fine, fine, 1)
        self.rectify = nn.ReLU(inplace=True)
        self.block = Block(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        context = F.interpolate(self.narrow(coarse), scale_factor=2.0, mode="nearest")
        return self.block(self.rectify(context + self.lateral(fine)))  # type: ignore[no-any-return]


class Network(nn.Module):
    """uint8 RGB patches in, logits out at `output_stride`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        stem = config.stem_stride
        self.stem = nn.Conv2d(3, widths[0], 2 * stem, stride=stem, padding=stem // 2)
        self.rectify = nn.ReLU(inplace=True)
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
        self.decoder = nn.ModuleList(
            Merge(widths[level + 1], widths[level])
            for level in range(len(widths) - 2, config.last_level - 1, -1)
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(widths[config.last_level], config.classes, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """[N, 3, H, W] in 0-255, H and W multiples of the total stride -> [N, classes, h, w]."""
        x = self.rectify(self.stem(patches * SCALE + OFFSET))  # [N, w0, H/stem, W/stem]
        skips = []
        for level, blocks in enumerate(self.encoder):
            x = blocks(self.pool(x) if level else x)  # [N, w_level, H/(stem 2^level), ...]
            skips.append(x)
        x = self.dropout(skips.pop())
        for merge in self.decoder:
            x = merge(x, skips.pop())
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # torch types calls as Any


class Probabilities(nn.Module):
    """What runs on slides: uint8 [N, H, W, 3] -> float32 softmax [N, classes, h, w]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.network(patches.permute(0, 3, 1, 2).to(torch.float32))
        return logits.float().softmax(1)
