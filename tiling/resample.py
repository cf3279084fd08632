"""Phase-aligned resampling: a frame's pixel has one value, whatever window it was read in.

All positions are computed from absolute pixel indices in float64, and every sum runs in the same
order for every pixel, so two windows that share a pixel agree to the byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .frame import Box, Frame, Pair

RGB = npt.NDArray[np.uint8]  # [h, w, 3]
MOST_LEVEL_PIXELS = 1 << 22  # decoded at a time to be made smaller
MOST_ACROSS = 1 << 13  # of them side by side, so that one piece after another shares few tiles
BAND_LEVEL_PIXELS = 1 << 18  # weighed at a time
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

    def ends(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """The level pixels under the first and the last of `count` pixels."""
        return np.concatenate([self.taps(n, 1)[0] for n in (first, first + count - 1)])

    def blocks(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """The level pixels of `count` whole blocks from `first` on; its edges repeat beyond it."""
        left = round(self.start) + first * self.whole_step
        return np.clip(np.arange(left, left + count * self.whole_step), 0, self.level_size - 1)

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


def parts(level: Level, frame: Frame, box: Box) -> Iterator[Box]:
    """A box of the frame in pieces that take little memory to resample, column by column."""
    ax, ay = _axes(level, frame)
    if ax.whole_step == ay.whole_step == 1:  # the level's own pixels take no more than the result
        yield box
        return
    width = min(box.width, max(1, int(MOST_ACROSS / ax.step)))
    height = max(1, int(MOST_LEVEL_PIXELS / (width * ax.step * ay.step)))
    for x in range(box.x, box.right, width):
        for y in range(box.y, box.bottom, height):
            yield Box(x, y, min(width, box.right - x), min(height, box.bottom - y))


def source_of(level: Level, frame: Frame, box: Box) -> Box:
    """What `resample` reads for a box of the frame, in the level's pixels."""
    ax, ay = _axes(level, frame)
    in_blocks = bool(ax.whole_step and ay.whole_step)
    (left, right), (top, bottom) = (
        _reach(axis.blocks(first, count) if in_blocks else axis.ends(first, count))
        for axis, first, count in ((ax, box.x, box.width), (ay, box.y, box.height))
    )
    return Box(left, top, right - left, bottom - top)


def _reach(pixels: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int(pixels.min()), int(pixels.max()) + 1


def resample(level: Level, frame: Frame, box: Box) -> RGB:
    """The frame's pixels in `box` from a level; uint8 [h, w, 3].

    Each pixel is the mean of what it covers (linear interpolation where the frame is finer than
    the level); beyond the level's last pixel the edge repeats.
    """
    ax, ay = _axes(level, frame)
    source = source_of(level, frame, box)
    pixels = level.read(source)
    if not (ax.whole_step and ay.whole_step):
        return _weighted_mean(pixels, source, box, (ax, ay))
    columns, rows = ax.blocks(box.x, box.width), ay.blocks(box.y, box.height)
    if (columns.size, rows.size) != (source.width, source.height):  # cut short in the last pixel
        pixels = pixels[np.ix_(rows - source.y, columns - source.x)]
    return _block_mean(pixels, ax.whole_step, ay.whole_step)


def _weighted_mean(pixels: RGB, source: Box, box: Box, axes: tuple[Axis, Axis]) -> RGB:
    """Weighted sums along the rows, then along the columns, in bands that the cache holds."""
    columns, across = axes[0].taps(box.x, box.width)
    rows, down = axes[1].taps(box.y, box.height)
    # A place and a weight for each channel, so that numpy sees long rows of numbers
    places = [((c - source.x)[:, None] * 3 + np.arange(3)).ravel() for c in columns.T]
    weights = [np.repeat(w, 3) for w in across.T]
    out = np.empty((box.height, box.width * 3), np.uint8)
    band = max(1, int(BAND_LEVEL_PIXELS / (source.width * axes[1].step)))
    for y in range(0, box.height, band):
        taps = rows[y : y + band] - source.y
        top = int(taps[0, 0])
        native = pixels[top : int(taps[-1, -1]) + 1].astype(np.float32)
        native = native.reshape(len(native), -1)
        narrow = np.zeros((len(native), box.width * 3), np.float32)
        for place, weight in zip(places, weights, strict=True):
            narrow += native.take(place, axis=1) * weight
        total = np.zeros((len(taps), box.width * 3), np.float32)
        for tap, weight in zip(taps.T, down[y : y + band].T, strict=True):
            total += narrow[tap - top] * weight[:, None]
        out[y : y + band] = total + np.float32(0.5)
    return out.reshape(box.height, box.width, 3)


def _block_mean(pixels: RGB, across: int, down: int) -> RGB:
    """The means of blocks of `across` x `down` pixels, rounded half up."""
    if across == down == 1:
        return pixels
    count = across * down
    wide = np.uint16 if count <= MOST_IN_16_BITS else np.uint32
    rows = pixels[0::down].astype(wide)
    for k in range(1, down):
        np.add(rows, pixels[k::down], out=rows)
    blocks = rows.reshape(rows.shape[0], -1, across, 3)
    mean = np.empty((*blocks.shape[:2], 3), np.uint8)
    for channel in range(3):  # one at a time: numpy is slow on rows of three
        total = np.full(blocks.shape[:2], wide(count // 2))
        for k in range(across):
            np.add(total, blocks[:, :, k, channel], out=total)
        mean[..., channel] = total // wide(count)
    return mean
