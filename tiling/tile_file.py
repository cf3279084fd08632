"""Tiles of a tiled TIFF, decoded once and kept for a while."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from annotations.errors import SlideError

from .last_used import LastUsed

CACHE_BYTES = 48 << 20
MAX_TILE_PIXELS = 1 << 24  # larger ones would fill memory, and no scanner writes them
Tile = npt.NDArray[np.uint8]  # [tile height, tile width, samples]


class TileFile:
    """Reads and decodes tiles; keeps the last `cache_bytes` of them. For any number of threads.

    `fill` stands where the file leaves a tile, or part of one, out.
    """

    def __init__(self, path: Path, fill: int, cache_bytes: int = CACHE_BYTES) -> None:
        self._name, self._fill = path.name, fill
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._kept: LastUsed[tuple[int, int], Tile] = LastUsed(cache_bytes)

    def close(self) -> None:
        os.close(self._descriptor)

    def tile(self, page: tifffile.TiffPage, index: int) -> Tile:
        """A tile of a page that `is_readable`; uint8 [tile height, tile width, samples].

        Raises:
            SlideError: its bytes cannot be decoded.
        """
        key = (page.index, index)
        tile = self._kept.found([key]).get(key)
        if tile is None:
            tile = self.decode(page, index)
            self._kept.keep({key: tile})
        return tile

    def decode(self, page: tifffile.TiffPage, index: int) -> Tile:
        """As `tile`, decoded anew and not kept."""
        shape = (page.tilelength, page.tilewidth, page.samplesperpixel)
        try:
            count = page.databytecounts[index]
            if count == 0:
                return np.full(shape, self._fill, np.uint8)
            data = os.pread(self._descriptor, count, page.dataoffsets[index])
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        except Exception as error:  # decoders raise what they like; all of it means a broken tile
            raise SlideError(
                f"{self._name}: tile {index} of level {page.index} is broken: {error}"
            ) from error
        if decoded is not None and decoded.shape[-3:] == shape:
            return np.ascontiguousarray(decoded.reshape(shape))
        whole: Tile = np.full(shape, self._fill, np.uint8)
        if decoded is not None:
            part = decoded.reshape(decoded.shape[-3:])[: shape[0], : shape[1]]  # stored cut
            whole[: part.shape[0], : part.shape[1]] = part
        return whole


def is_readable(page: tifffile.TiffPage) -> bool:
    """Whether a page is of 8-bit tiles of a size that memory can hold."""
    return bool(
        page.is_tiled
        and page.dtype == np.uint8
        and page.planarconfig == 1
        and page.tilewidth * page.tilelength <= MAX_TILE_PIXELS
    )


def prepare(page: tifffile.TiffPage) -> None:
    """Have tifffile read, while the file is open, all that decoding will need."""
    _ = page.jpegtables, page.dataoffsets, page.databytecounts, page.decode
