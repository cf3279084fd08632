"""The shape of the network, known without torch: what a card holds and maps are planned by."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

MAX_CLASSES = 64
MAX_WIDTH = 1024
MAX_LEVELS = 6
SCALE, OFFSET = 2 / 255, -1.0  # normalisation of pixels: white is +1, black -1


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network; travels inside the checkpoint.

    The stem steps by `stem_stride` input pixels, 2 or 4; level i has `widths[i]` channels and
    `convolutions[i]` convolutions at stride stem_stride * 2^i. The decoder ends at `output_stride`,
    the stride of one of the levels.
    """

    classes: int = 2
    stem_stride: int = 4
    widths: tuple[int, ...] = (32, 96, 160, 192)
    convolutions: tuple[int, ...] = (1, 2, 1, 1)
    output_stride: int = 4
    dropout: float = 0.2

    def __post_init__(self) -> None:
        strides = [self.stem_stride * 2**i for i in range(len(self.widths))]
        whole = (
            self.classes,
            self.stem_stride,
            self.output_stride,
            *self.widths,
            *self.convolutions,
        )
        sound = (
            all(isinstance(value, int) and not isinstance(value, bool) for value in whole)
            and 2 <= self.classes <= MAX_CLASSES
            and 1 <= len(self.widths) <= MAX_LEVELS
            and len(self.convolutions) == len(self.widths)
            and all(1 <= width <= MAX_WIDTH for width in self.widths)
            and all(1 <= count <= 8 for count in self.convolutions)
            and self.stem_stride in (2, 4)
            and self.output_stride in strides
            and 0 <= self.dropout < 1
        )
        if not sound:
            raise ValueError(f"not a network this program builds: {self}")

    @property
    def total_stride(self) -> int:
        """Window origins lie on multiples of this many input pixels."""
        return int(self.stem_stride * 2 ** (len(self.widths) - 1))

    @property
    def last_level(self) -> int:
        """The level at which the decoder ends, the finest being 0."""
        return (self.output_stride // self.stem_stride).bit_length() - 1

    @property
    def receptive_radius(self) -> int:
        """Input pixels beyond an output pixel's own that can change it, on each side."""
        radius = self.stem_stride // 2  # a kernel of twice the stride
        for level, count in enumerate(self.convolutions):
            radius += count * self.stem_stride * 2**level  # pooling sees its own inputs alone
        for level in range(len(self.widths) - 2, self.last_level - 1, -1):
            stride = self.stem_stride * 2**level
            radius += 2 * stride  # nearest-neighbour upsampling, one convolution
        return int(radius)

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
