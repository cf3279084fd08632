"""Where pixels lie: the only place that converts between level-0 and other pixels."""

import math
from dataclasses import dataclass, replace
from typing import Self

Pair = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A half-open rectangle of whole pixels: x, y of the first pixel, width, height.

    In the pixels of a Frame unless a name says otherwise; may reach beyond the Frame.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    def padded(self, margin: int) -> "Box":
        return Box(
            self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin
        )

    def intersection(self, other: "Box") -> "Box":
        """The common part; width or height 0 when there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Box(
            x,
            y,
            max(0, min(self.right, other.right) - x),
            max(0, min(self.bottom, other.bottom) - y),
        )

    def scaled_down(self, factor: int) -> "Box":
        """The same place in pixels `factor` times as large; the box must lie on that lattice."""
        if any(v % factor for v in (self.x, self.y, self.width, self.height)):
            raise ValueError(f"{self} does not lie on multiples of {factor}")
        return Box(*(v // factor for v in (self.x, self.y, self.width, self.height)))


@dataclass(frozen=True)
class Frame:
    """A grid of pixels on a slide.

    Pixel (i, j) covers, in level-0 pixels of the full plane,
    [origin + i * downsample, origin + (i + 1) * downsample), x and y apart.
    `mpp` is µm per pixel of this frame, x and y; `width`, `height` count its pixels. Floats
    because at a downsample of 15.83 no integer level-0 box is phase-aligned.
    """

    origin_level0: Pair
    downsample: Pair
    mpp: Pair
    width: int
    height: int

    @classmethod
    def over(
        cls,
        origin_level0: Pair,
        size_level0: Pair,
        mpp_level0: Pair,
        mpp: float,
    ) -> Self:
        """The frame of `mpp` µm/px that covers a level-0 rectangle; the last may stick out."""
        downsample = (mpp / mpp_level0[0], mpp / mpp_level0[1])
        # 1e-6: 16,000 px at a downsample of 3.999999999 are 4,000 pixels, not 4,001
        width, height = (
            max(1, math.ceil(size / d - 1e-6))
            for size, d in zip(size_level0, downsample, strict=True)
        )
        return cls(origin_level0, downsample, (mpp, mpp), width, height)

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    @property
    def pixel_area_mm2(self) -> float:
        return self.mpp[0] * self.mpp[1] / 1e6

    def coarser(self, factor: int) -> Self:
        """The frame whose pixels are `factor` x `factor` of this one's; covers at least as much."""
        return replace(
            self,
            downsample=(self.downsample[0] * factor, self.downsample[1] * factor),
            mpp=(self.mpp[0] * factor, self.mpp[1] * factor),
            width=-(-self.width // factor),
            height=-(-self.height // factor),
        )

    def to_level0(self, x: float, y: float) -> Pair:
        """A point in this frame's pixels (pixel edges are whole numbers) to level-0 pixels."""
        return (
            self.origin_level0[0] + x * self.downsample[0],
            self.origin_level0[1] + y * self.downsample[1],
        )

    def from_level0(self, x: float, y: float) -> Pair:
        """A point in level-0 pixels to this frame's pixels."""
        return (
            (x - self.origin_level0[0]) / self.downsample[0],
            (y - self.origin_level0[1]) / self.downsample[1],
        )
