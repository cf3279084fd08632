"""Stored maps: boxes of a probability.tiff, decoded tile by tile."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import tifffile

from annotations.errors import ResultError

from .frame import Box

CACHED_BYTES = 64 << 20


class StoredMap:
    """The finest level of a map on disk, uint8, 255 = probability 1. `size`: width, height.

    Tiles are decoded when asked for and the last ones kept, so that memory does not grow with the
    map. For one thread at a time; close it, or use it as a context.
    """

    def __init__(self, path: Path) -> None:
        """Open a single-channel uint8 tiled TIFF.

        Raises:
            ResultError: missing, or not such a file.
        """
        self._path = path
        try:
            with tifffile.TiffFile(path) as tiff:
                self._page = tiff.pages.first
                _ = self._page.jpegtables, self._page.databytecounts, self._page.decode
            sound = self._page.is_tiled and self._page.dtype == np.uint8
        except FileNotFoundError as error:
            raise ResultError(f"{path}: no such map; predict the slide first") from error
        except (tifffile.TiffFileError, ValueError, IndexError, OSError, KeyError) as error:
            raise ResultError(
                f"{path}: cannot be read: {error}; predict the slide again"
            ) from error
        if not sound or self._page.samplesperpixel != 1:
            raise ResultError(f"{path}: not a map of Extent (tiled, one channel of 8 bits)")
        self.size: tuple[int, int] = (self._page.imagewidth, self._page.imagelength)
        self._tiles: OrderedDict[int, npt.NDArray[np.uint8]] = OrderedDict()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._descriptor)

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
        if index in self._tiles:
            self._tiles.move_to_end(index)
            return self._tiles[index]
        tile = self._decoded(index)
        self._tiles[index] = tile
        while len(self._tiles) > max(2, CACHED_BYTES // tile.nbytes):
            self._tiles.popitem(last=False)
        return tile

    def _decoded(self, index: int) -> npt.NDArray[np.uint8]:
        page = self._page
        tile = np.zeros((page.tilelength, page.tilewidth), np.uint8)
        count = page.databytecounts[index]
        if count == 0:
            return tile
        data = os.pread(self._descriptor, count, page.dataoffsets[index])
        try:
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        except Exception as error:  # decoders raise what they like; all of it means a broken tile
            raise ResultError(
                f"{self._path}: tile {index} is broken: {error}; predict the slide again"
            ) from error
        if decoded is not None:
            values = decoded.reshape(decoded.shape[-3:-1])  # edge tiles may be stored cut
            tile[: values.shape[0], : values.shape[1]] = values
        return tile
