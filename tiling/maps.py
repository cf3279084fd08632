"""Stored maps: boxes of a probability.tiff, decoded tile by tile."""

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import tifffile

from annotations.errors import ResultError, SlideError

from .frame import Box
from .tile_file import CACHE_BYTES, TileFile, is_readable, prepare
from .tile_grid import put_together


class StoredMap:
    """A map on disk, uint8, 255 = probability 1. `size`: width, height of its finest level.

    `sizes` are those of all levels, each half the one before. Tiles are decoded when asked for and
    the last ones kept, so that memory does not grow with the map. For any number of threads. Close
    it, or use it as a context.
    """

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        """Open a single-channel uint8 tiled TIFF, keeping up to `cache_bytes` of decoded tiles.

        Raises:
            ResultError: missing, or not such a file.
        """
        try:
            with tifffile.TiffFile(path) as tiff:
                self._pages = _levels(tiff)
        except FileNotFoundError as error:
            raise ResultError(f"{path}: no such map; predict the slide first") from error
        except (tifffile.TiffFileError, ValueError, IndexError, OSError, KeyError) as error:
            raise ResultError(
                f"{path}: cannot be read: {error}; predict the slide again"
            ) from error
        if not self._pages:
            raise ResultError(f"{path}: not a map of Extent (tiled, one channel of 8 bits)")
        self.sizes = [(page.imagewidth, page.imagelength) for page in self._pages]
        self.size: tuple[int, int] = self.sizes[0]
        self._tiles = TileFile(path, fill=0, cache_bytes=cache_bytes)

    def close(self) -> None:
        self._tiles.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, box: Box, level: int = 0) -> npt.NDArray[np.uint8]:
        """The stored values of a box in the pixels of a level; uint8 [box.height, box.width].

        0 beyond the level.

        Raises:
            ResultError: a tile is broken.
        """
        out = np.zeros((box.height, box.width), np.uint8)
        page, size = self._pages[level], self.sizes[level]
        inner = box.intersection(Box(0, 0, *size))
        if not inner.area:
            return out
        across = -(-size[0] // page.tilewidth)

        def fetch(column: int, row: int) -> npt.NDArray[np.uint8]:
            return self._tiles.tile(page, row * across + column)

        try:
            values = put_together(inner, (page.tilewidth, page.tilelength), fetch, channels=1)
        except SlideError as error:
            raise ResultError(f"{error}; predict the slide again") from error
        out[inner.y - box.y : inner.bottom - box.y, inner.x - box.x : inner.right - box.x] = values[
            ..., 0
        ]
        return out


def _levels(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that are levels of a map, finest first; none where the first page is no map."""
    levels: list[tifffile.TiffPage] = []
    for page in tiff.pages:
        size = (page.imagewidth, page.imagelength)
        if not is_readable(page) or page.samplesperpixel != 1:
            break
        if levels and size != _half(levels[-1].imagewidth, levels[-1].imagelength):
            break
        prepare(page)
        levels.append(page)
    return levels


def _half(width: int, height: int) -> tuple[int, int]:
    return -(-width // 2), -(-height // 2)
