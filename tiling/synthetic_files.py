"""Drawn slides as files: tiled JPEG pyramids, written tile by tile."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .frame import Box
from .synthetic import SlideRecipe

Pixels = NDArray[np.uint8]
TILE = 256  # pixels, on every level
_BIG = 2**32 - 2**25  # bytes of a file beyond which offsets need 64 bits


@dataclass(frozen=True)
class PyramidPlan:
    """The shape of a pyramid: level-0 size in pixels, µm/px, downsample of each level (from 1)."""

    width: int
    height: int
    mpp: float
    downsamples: Sequence[float] = (1, 2, 4)
    quality: int = 85
    description: str = ""  # of the first directory

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level; OpenSlide takes its downsample from these."""
        by = self.downsamples[level]
        return max(1, round(self.width / by)), max(1, round(self.height / by))

    @property
    def is_big(self) -> bool:
        """Whether the file may outgrow 32-bit offsets."""
        return self.width * self.height * 3 // 2 > _BIG


def write_drawn_slide(
    path: Path, recipe: SlideRecipe, *, downsamples: Sequence[float] = (1, 2, 4)
) -> None:
    """Draw a slide into a pyramidal TIFF that OpenSlide reads (generic-tiff), µm/px in its tags.

    Level 0 is drawn once, tile row by tile row; the same recipe gives the same bytes.
    """
    drawn = recipe.drawn()
    plan = PyramidPlan(recipe.width, recipe.height, recipe.mpp, downsamples, drawn.quality)
    write_pyramid(path, plan, drawn.render)


def write_pyramid(path: Path, plan: PyramidPlan, render: Callable[[Box], Pixels]) -> None:
    """Write what `render` draws for level-0 boxes (uint8 [h, w, 3]); memory: a row of tiles.

    Reduced levels are area means of level 0, gathered on disk while level 0 is written.
    """
    with tifffile.TiffWriter(path, bigtiff=plan.is_big) as tiff:
        append_pyramid(tiff, plan, render, path.parent)


def append_pyramid(
    tiff: tifffile.TiffWriter,
    plan: PyramidPlan,
    render: Callable[[Box], Pixels],
    scratch: Path,
) -> None:
    """Append a pyramid's levels to an open file; `scratch` is where to gather the reduced ones."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".drawing-") as folder:
        reduced = [_Reduced(plan, i, Path(folder)) for i in range(1, len(plan.downsamples))]
        write_level(tiff, plan, 0, _tiles(plan, render, reduced))
        for i, level in enumerate(reduced, start=1):
            write_level(tiff, plan, i, level.tiles())


def write_level(
    tiff: tifffile.TiffWriter,
    plan: PyramidPlan,
    level: int,
    tiles: Iterator[Pixels] | Iterator[bytes],
) -> None:
    """Append one level as a top-level directory, so that every reader sees it.

    `tiles` row by row: uint8 [TILE, TILE, 3], or bytes that are encoded already.
    """
    width, height = plan.size(level)
    tiff.write(
        tiles,
        shape=(height, width, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        # not "ycbcr": tifffile would store RGB bytes as if they were YCbCr
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": plan.quality},
        subfiletype=1 if level else 0,
        resolution=tuple(1e4 / (plan.mpp * plan.width / width) for _ in "xy"),
        resolutionunit="CENTIMETER",
        description=None if level else plan.description or None,
        metadata=None,
        software="Extent",
        maxworkers=1,
    )


def _tiles(
    plan: PyramidPlan, render: Callable[[Box], Pixels], reduced: list["_Reduced"]
) -> Iterator[Pixels]:
    """Level-0 tiles in rows; each finished row is also reduced into the coarser levels."""
    for top in range(0, plan.height, TILE):
        band = render(Box(0, top, plan.width, min(TILE, plan.height - top)))
        for level in reduced:
            level.add(band, top)
        yield from _cut(band)


def _cut(band: Pixels) -> Iterator[Pixels]:
    """Tiles of one tile row [h <= TILE, w, 3]; the last ones repeat their edge, which leaves no
    ringing within the image."""
    below, beside = -band.shape[0] % TILE, -band.shape[1] % TILE
    padded = np.pad(band, ((0, below), (0, beside), (0, 0)), mode="edge")
    for left in range(0, padded.shape[1], TILE):
        yield np.ascontiguousarray(padded[:, left : left + TILE])


class _Reduced:
    """A coarser level in the making: area means, summed tile row by tile row."""

    def __init__(self, plan: PyramidPlan, level: int, folder: Path) -> None:
        width, height = plan.size(level)
        self._rows, self._columns = _means(plan.height, height), _means(plan.width, width)
        self._pixels = np.lib.format.open_memmap(
            folder / f"{level}.npy", "w+", np.uint8, (height, width, 3)
        )
        # the level's rows from `_first` on that still lack level-0 rows
        self._first, self._partial = 0, np.zeros((0, width * 3))

    def add(self, band: Pixels, top: int) -> None:
        """Take in level-0 rows from `top` on; bands come in order and without gaps."""
        weights = self._rows[:, top : top + band.shape[0]]
        touched = np.flatnonzero(np.diff(weights.indptr))
        last = int(touched[-1]) + 1
        low = weights[self._first : last] @ band.reshape(band.shape[0], -1).astype(np.float32)
        small = self._columns @ low.reshape(len(low), -1, 3).transpose(1, 0, 2).reshape(
            band.shape[1], -1
        )
        sums = small.reshape(-1, len(low), 3).transpose(1, 0, 2).reshape(len(low), -1).copy()
        sums[: len(self._partial)] += self._partial
        finished = last if top + band.shape[0] == self._rows.shape[1] else last - 1
        done = finished - self._first
        shape = (done, *self._pixels.shape[1:])
        self._pixels[self._first : finished] = np.round(sums[:done]).reshape(shape)
        self._first, self._partial = finished, sums[done:]

    def tiles(self) -> Iterator[Pixels]:
        for top in range(0, self._pixels.shape[0], TILE):
            yield from _cut(self._pixels[top : top + TILE])


def _means(length: int, count: int) -> csr_array:
    """Weights [count, length] that average `length` pixels into `count`, parts of pixels too."""
    pixel, by = np.arange(length), length / count
    first = np.minimum((pixel / by).astype(np.int64), count - 1)
    second = np.minimum(first + 1, count - 1)
    in_first = np.clip((first + 1) * by - pixel, 0, 1)
    weights = np.concatenate([in_first, 1 - in_first]) / by
    rows, columns = np.concatenate([first, second]), np.concatenate([pixel, pixel])
    kept = weights > 1e-9
    entries = (weights[kept].astype(np.float32), (rows[kept], columns[kept]))
    return csr_array(entries, shape=(count, length))
