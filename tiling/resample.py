"""Phase-aligned resampling: a frame's pixel has one value, whatever window it was read in.

All positions are computed from absolute pixel indices in float64, and every sum runs in the same
order for every pixel, so two windows that share a pixel agree to the byte.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .frame import Box, Frame, Pair

RGB = npt.NDArray[np.uint8]  # [h, w, 3]
MOST_IN_16_BITS = 256  # bytes whose sum, with half of their number, 16 bits can hold


class Level(Protocol):
    """One resolution of a slide: whole native pixels, exactly as stored."""

    @property
    def downsample(self) -> Pair:
        """Level-0 pixels per pixel of this level, x and y."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in its own pixels."""

    def read(self, box: Box) -> RGB:
        """The pixels of `box`, which lies inside the level; uint8 [h, w, 3], on white."""


def best_level(levels: list[Level], frame: Frame) -> Level:
    """The coarsest level that is at least as fine as the frame, else the finest."""
    fine_enough = [
        level
        for level in levels
        if all(lv <= fr * 1.001 for lv, fr in zip(level.downsample, frame.downsample, strict=True))
    ]
    return max(fine_enough, key=lambda level: level.downsample[0], default=levels[0])


@dataclass(frozen=True)
class Axis:
    """Frame pixels to level pixels along one axis: position = start + index * step."""

    start: float
    step: float
    level_size: int

    @property
    def whole_step(self) -> int:
        """The step when it and the start are whole numbers of level pixels, else 0."""
        whole = round(self.step)
        aligned = abs(self.step - whole) < 1e-9 and abs(self.start - round(self.start)) < 1e-9
        return whole if aligned else 0

    def taps(self, first: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Level pixels [count, k] (clamped to the level) and weights [count, k] (sum 1)."""
        index = np.arange(first, first + count, dtype=np.float64)
        left = self.start + index * self.step
        if self.step >= 1:  # the mean over what the pixel covers
            right = left + self.step
        else:  # finer than the level: linear between the two nearest pixel centres
            left = left + self.step / 2 - 0.5
            right = left + 1
        source = np.floor(left).astype(np.int64)[:, None] + np.arange(int(np.ceil(self.step)) + 1)
        weights = np.minimum(right[:, None], source + 1) - np.maximum(left[:, None], source)
        weights = np.clip(weights, 0, None)
        if self.step >= 1:  # the level may end within the last pixel
            weights *= (source >= 0) & (source < self.level_size)
            alone = weights.sum(axis=1) == 0
            weights[alone, 0] = 1
        weights /= weights.sum(axis=1, keepdims=True)
        return np.clip(source, 0, self.level_size - 1), weights.astype(np.float32)


def _axes(level: Level, frame: Frame) -> tuple[Axis, Axis]:
    return tuple(  # type: ignore[return-value]  # mypy: two items from zip
        Axis(origin / dl, df / dl, size)
        for origin, df, dl, size in zip(
            frame.origin_level0, frame.downsample, level.downsample, level.size, strict=True
        )
    )


def resample(level: Level, frame: Frame, box: Box) -> RGB:
    """The frame's pixels in `box` from a level; uint8 [h, w, 3].

    Each pixel is the mean of what it covers (linear interpolation where the frame is finer than
    the level); beyond the level's last pixel the edge repeats.
    """
    ax, ay = _axes(level, frame)
    if ax.whole_step and ay.whole_step:
        return _block_mean(level, box, ax, ay)
    columns, wx = ax.taps(box.x, box.width)
    rows, wy = ay.taps(box.y, box.height)
    x0, y0 = int(columns.min()), int(rows.min())
    source = level.read(Box(x0, y0, int(columns.max()) - x0 + 1, int(rows.max()) - y0 + 1))
    narrow = np.zeros((source.shape[0], box.width, 3), np.float32)
    for k in range(columns.shape[1]):
        narrow += source[:, columns[:, k] - x0] * wx[None, :, k, None]
    out = np.zeros((box.height, box.width, 3), np.float32)
    for k in range(rows.shape[1]):
        out += narrow[rows[:, k] - y0] * wy[:, k, None, None]
    return (out + np.float32(0.5)).astype(np.uint8)


def _block_mean(level: Level, box: Box, ax: Axis, ay: Axis) -> RGB:
    sx, sy = ax.whole_step, ay.whole_step
    x0, y0 = round(ax.start) + box.x * sx, round(ay.start) + box.y * sy
    wanted = Box(x0, y0, box.width * sx, box.height * sy)
    if wanted.intersection(Box(0, 0, *level.size)) == wanted:
        source = level.read(wanted)
    else:  # the level was cut short within the last pixel: its edge repeats
        columns = np.clip(np.arange(x0, wanted.right), 0, level.size[0] - 1)
        rows = np.clip(np.arange(y0, wanted.bottom), 0, level.size[1] - 1)
        left, top = int(columns[0]), int(rows[0])
        inside = Box(left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
        source = level.read(inside)[np.ix_(rows - top, columns - left)]
    if sx == sy == 1:
        return source
    wide = np.uint16 if sx * sy <= MOST_IN_16_BITS else np.uint32
    rows = source[0::sy].astype(wide)
    for k in range(1, sy):
        rows += source[k::sy]
    blocks = rows.reshape(box.height, box.width, sx, 3)
    total = blocks[:, :, 0].copy()
    for k in range(1, sx):
        total += blocks[:, :, k]
    total += wide(sx * sy // 2)
    mean: RGB = (total // wide(sx * sy)).astype(np.uint8)
    return mean
