"""Large slides made cheaply: one drawn piece of tissue, again and again, between glass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile

from .frame import Box
from .synthetic import SlideRecipe
from .synthetic_files import TILE, Pixels, PyramidPlan, write_level
from .synthetic_noise import hashed

PIECE = 4096  # pixels of level 0: a piece of tissue with glass around it
_PLACES = 0.55  # of the places hold a piece; a piece is about 60 % tissue: a third of the slide


def write_blocks_slide(
    path: Path,
    width: int,
    height: int,
    *,
    mpp: float = 1.0,
    downsamples: Sequence[int] = (1, 4, 16),
    seed: int = 0,
) -> None:
    """A slide of any size, a third of it tissue, in the time that it takes to write the file.

    Each different tile is encoded once and its bytes are repeated; memory does not grow with the
    slide. `downsamples` are powers of two up to 16. A BigTIFF where it may pass 4 GB.
    """
    if any(PIECE // TILE % d for d in downsamples):
        raise ValueError(f"downsamples {tuple(downsamples)}: powers of two up to {PIECE // TILE}")
    plan = PyramidPlan(width, height, mpp, downsamples)
    piece = SlideRecipe(seed, seed, PIECE, PIECE, mpp).drawn().render(Box(0, 0, PIECE, PIECE))
    with tifffile.TiffWriter(path, bigtiff=plan.is_big) as tiff:
        for level, by in enumerate(downsamples):
            tiles = _LevelTiles(plan, level, _reduced(piece, by), seed)
            write_level(tiff, plan, level, iter(tiles))


def _reduced(pixels: Pixels, by: int) -> Pixels:
    side = pixels.shape[0] // by
    means = pixels.reshape(side, by, side, by, 3).mean(axis=(1, 3), dtype=np.float32)
    rounded: Pixels = np.round(means).astype(np.uint8)
    return rounded


@dataclass(frozen=True)
class _LevelTiles:
    """The encoded tiles of one level, row by row."""

    plan: PyramidPlan
    level: int
    piece: Pixels  # at this level
    seed: int

    def __iter__(self) -> Iterator[bytes]:
        width, height = self.plan.size(self.level)
        side = self.piece.shape[0] // TILE
        squares = self.piece.reshape(side, TILE, side, TILE, 3).swapaxes(1, 2)
        encoded = [[self._encoded(square) for square in row] for row in squares]
        glass = self._encoded(np.broadcast_to(self.piece[:1, :1], (TILE, TILE, 3)))
        columns, rows = -(-width // TILE), -(-height // TILE)
        places_x, places_y = np.arange(-(-columns // side)), np.arange(-(-rows // side))
        chance = hashed(self.seed, places_x[None, :], places_y[:, None]) % np.uint64(1000)
        taken = chance < np.uint64(1000 * _PLACES)
        taken[0, 0] = True
        for y in range(rows):
            for x in range(columns):
                yield encoded[y % side][x % side] if taken[y // side, x // side] else glass

    def _encoded(self, tile: Pixels) -> bytes:
        """The bytes that the writer makes of a tile, so that they fit the directory's tags."""
        file = BytesIO()
        alone = PyramidPlan(TILE, TILE, self.plan.mpp, (1,), self.plan.quality)
        with tifffile.TiffWriter(file) as tiff:
            write_level(tiff, alone, 0, iter([np.ascontiguousarray(tile)]))
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            start, count = page.dataoffsets[0], page.databytecounts[0]
        return file.getvalue()[start : start + count]
