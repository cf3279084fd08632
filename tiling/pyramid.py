"""One map to a pyramidal TIFF that OpenSlide and QuPath open with all its levels and its µm/px."""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from tiling.frame import Box, Frame
from tiling.rawplanes import RawPlanes, disk_errors

Read = Callable[[Box], NDArray[np.uint8]]

_SMALLEST_SIDE = 512
_CLASSIC_BYTES = 2**32 - 2**26  # offsets of a classic TIFF have 32 bits; the rest is for headers
_TOGETHER = 4  # tiles read at a time: fewer and longer reads
_EFFORT = 3  # of deflate: twice as fast as 6, a fortieth larger
_MICRONS_PER_CM = 10_000


@dataclass(frozen=True)
class _Level:
    """One level while it is written: where its pixels come from and where its halves go."""

    box: Box
    read: Read
    next: RawPlanes | None
    tile: int

    @property
    def tiles(self) -> int:
        return math.ceil(self.box.width / self.tile) * math.ceil(self.box.height / self.tile)

    def __iter__(self) -> Iterator[bytes]:
        """Compressed tiles, row by row, zero beyond the level."""
        empty = _compressed(np.zeros((self.tile, self.tile), np.uint8))
        for y in range(0, self.box.height, self.tile):
            for x in range(0, self.box.width, self.tile * _TOGETHER):
                box = Box(x, y, self.tile * _TOGETHER, self.tile).intersection(self.box)
                values = self.read(box)
                if not values.any():  # most of a slide is glass, and scratch begins as zero
                    yield from [empty] * math.ceil(box.width / self.tile)
                    continue
                if self.next is not None:
                    half = halved(values)
                    self.next.write(Box(x // 2, y // 2, *half.shape[::-1]), half[None])
                for left in range(0, box.width, self.tile):
                    part = values[:, left : left + self.tile]
                    if part.any():
                        height, width = part.shape
                        beyond = ((0, self.tile - height), (0, self.tile - width))
                        yield _compressed(np.pad(part, beyond))
                    else:
                        yield empty


def _compressed(tile: NDArray[np.uint8]) -> bytes:
    data: bytes = imagecodecs.deflate_encode(np.ascontiguousarray(tile), level=_EFFORT)
    return data


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Width and height of each level: halved, rounded up, until neither side is above 512."""
    sizes = [(width, height)]
    while max(sizes[-1]) > _SMALLEST_SIDE:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return sizes


def halved(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of each 2 x 2 pixels, half rounded up; of the pixels there are at an odd end."""
    height, width = values.shape
    wide = np.pad(values, ((0, height % 2), (0, width % 2)), mode="edge").astype(np.uint16)
    rows = wide[0::2] + wide[1::2]
    mean: NDArray[np.uint8] = ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)
    return mean


def write_pyramid(
    path: Path,
    read: Read,
    frame: Frame,
    *,
    tile: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a map as a tiled, lossless, single-channel TIFF; the same map gives the same bytes.

    `read` gives uint8 [height, width] for a box within the frame and is asked once for each pixel.
    Level k + 1 is the 2 x 2 mean of level k; each is a top-level directory, the reduced ones marked
    so. The resolution tags say the frame's µm/px, to better than 1e-6. `progress` hears of tiles:
    done, total. Reduced levels are kept beside `path` in nameless files. Raises ResultError when
    the disk is full or not writable; no file is left then.
    """
    sizes = level_sizes(frame.width, frame.height)
    try:
        with disk_errors(path), contextlib.ExitStack() as stack:
            scratch = [stack.enter_context(RawPlanes.scratch(path.parent, *s)) for s in sizes[1:]]
            sources: list[Read] = [read, *(functools.partial(plane.read, 0) for plane in scratch)]
            levels = [
                _Level(Box(0, 0, *size), source, below, tile)
                for size, source, below in zip(sizes, sources, [*scratch, None], strict=True)
            ]
            _write_levels(path, levels, frame, progress)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_levels(
    path: Path,
    levels: list[_Level],
    frame: Frame,
    progress: Callable[[int, int], None] | None,
) -> None:
    total = sum(level.tiles for level in levels)
    count = itertools.count(1)

    def counted(level: _Level) -> Iterator[bytes]:
        for encoded in level:
            if progress:
                progress(next(count), total)
            yield encoded

    # By the size before compression, so that it cannot turn out too small halfway.
    big = total * levels[0].tile ** 2 > _CLASSIC_BYTES
    with tifffile.TiffWriter(path, bigtiff=big) as tiff:
        for number, level in enumerate(levels):
            tiff.write(
                counted(level),
                shape=(level.box.height, level.box.width),
                dtype=np.uint8,
                tile=(level.tile, level.tile),
                photometric="minisblack",
                compression="adobe_deflate",
                subfiletype=1 if number else 0,
                resolution=tuple(_per_cm(mpp * 2**number) for mpp in frame.mpp),
                resolutionunit="CENTIMETER",
                metadata=None,
                software=False,
            )


def _per_cm(mpp: float) -> tuple[int, int]:
    """Pixels per cm as a TIFF rational: two whole numbers of 32 bits."""
    value = Fraction(_MICRONS_PER_CM) / Fraction(mpp)
    nearest = value.limit_denominator(max(1, (2**32 - 1) // math.ceil(value)))
    return nearest.numerator, nearest.denominator
