"""The network: fully convolutional, so that a map does not depend on how a slide was cut up.

An encoder of 3 x 3 convolutions, rectified units and pooling; a decoder that brings the context
back up to the output stride beside the encoder's own features; softmax over the classes. Nothing
in it looks at a window as a whole, so that with a halo of `receptive_radius` around it every
window gives what one pass over the whole slide would give.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_CLASSES = 64
MAX_WIDTH = 1024
MAX_LEVELS = 6
SCALE, OFFSET = 2 / 255, -1.0  # normalisation of pixels: white is +1, black -1


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network; travels inside the checkpoint.

    `widths[i]` channels and `convolutions[i]` convolutions at stride 2^(i+1); the decoder ends at
    `output_stride`, a power of two from 2 to the encoder's last stride.
    """

    classes: int = 2
    widths: tuple[int, ...] = (24, 48, 96, 160, 192)
    convolutions: tuple[int, ...] = (1, 2, 2, 2, 2)
    output_stride: int = 4
    dropout: float = 0.2

    def __post_init__(self) -> None:
        strides = [2 ** (i + 1) for i in range(len(self.widths))]
        whole = (self.classes, self.output_stride, *self.widths, *self.convolutions)
        sound = (
            all(isinstance(value, int) and not isinstance(value, bool) for value in whole)
            and 2 <= self.classes <= MAX_CLASSES
            and 1 <= len(self.widths) <= MAX_LEVELS
            and len(self.convolutions) == len(self.widths)
            and all(1 <= width <= MAX_WIDTH for width in self.widths)
            and all(1 <= count <= 8 for count in self.convolutions)
            and self.output_stride in strides
            and 0 <= self.dropout < 1
        )
        if not sound:
            raise ValueError(f"not a network this program builds: {self}")

    @property
    def total_stride(self) -> int:
        """Window origins lie on multiples of this many input pixels."""
        return int(2 ** len(self.widths))

    @property
    def receptive_radius(self) -> int:
        """Input pixels beyond an output pixel's own that can change it, on each side."""
        radius, stride = 1, 2  # the stem: 4 x 4 at stride 2
        for level, count in enumerate(self.convolutions):
            stride = 2 ** (level + 1)
            radius += count * stride  # pooling before it sees only the pixel's own inputs
        while stride > self.output_stride:
            stride //= 2
            radius += stride + stride  # nearest-neighbour upsampling, one convolution
        return radius

    @property
    def halo(self) -> int:
        """Input pixels read around what is written: the radius, up to the next whole stride."""
        return -(-self.receptive_radius // self.total_stride) * self.total_stride

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from a card or a config file.

        Raises:
            ValueError: unknown names or values that no network can have.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown network settings: {', '.join(sorted(unknown))}")
        sequences = {k: tuple(v) for k, v in values.items() if isinstance(v, list | tuple)}
        return cls(**{**values, **sequences})


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
