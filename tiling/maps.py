"""Stored maps: boxes of a probability.tiff, decoded tile by tile."""

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import tifffile

from annotations.errors import ResultError, SlideError

from .frame import Box
from .tile_file import TileFile, is_readable, prepare


class StoredMap:
    """The finest level of a map on disk, uint8, 255 = probability 1. `size`: width, height.

    Tiles are decoded when asked for and the last ones kept, so that memory does not grow with the
    map. Close it, or use it as a context.
    """

    def __init__(self, path: Path) -> None:
        """Open a single-channel uint8 tiled TIFF.

        Raises:
            ResultError: missing, or not such a file.
        """
        try:
            with tifffile.TiffFile(path) as tiff:
                self._page = tiff.pages.first
                prepare(self._page)
            sound = is_readable(self._page)
        except FileNotFoundError as error:
            raise ResultError(f"{path}: no such map; predict the slide first") from error
        except (tifffile.TiffFileError, ValueError, IndexError, OSError, KeyError) as error:
            raise ResultError(
                f"{path}: cannot be read: {error}; predict the slide again"
            ) from error
        if not sound or self._page.samplesperpixel != 1:
            raise ResultError(f"{path}: not a map of Extent (tiled, one channel of 8 bits)")
        self.size: tuple[int, int] = (self._page.imagewidth, self._page.imagelength)
        self._tiles = TileFile(path, fill=0)

    def close(self) -> None:
        self._tiles.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, box: Box) -> npt.NDArray[np.uint8]:
        """The stored values of a box, 0 beyond the map; uint8 [box.height, box.width].

        Raises:
            ResultError: a tile is broken.
        """
        out = np.zeros((box.height, box.width), np.uint8)
        inner = box.intersection(Box(0, 0, *self.size))
        width, height = self._page.tilewidth, self._page.tilelength
        across = -(-self.size[0] // width)
        if not inner.area:
            return out
        for row in range(inner.y // height, (inner.bottom - 1) // height + 1):
            for column in range(inner.x // width, (inner.right - 1) // width + 1):
                place = Box(column * width, row * height, width, height)
                part = place.intersection(inner)
                tile = self._tile(row * across + column)
                out[part.y - box.y : part.bottom - box.y, part.x - box.x : part.right - box.x] = (
                    tile[
                        part.y - place.y : part.bottom - place.y,
                        part.x - place.x : part.right - place.x,
                    ]
                )
        return out

    def _tile(self, index: int) -> npt.NDArray[np.uint8]:
        try:
            return self._tiles.tile(self._page, index)[..., 0]
        except SlideError as error:
            raise ResultError(f"{error}; predict the slide again") from error
