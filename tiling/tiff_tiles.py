"""Levels of tiled TIFF slides through their own tile grid: exact at any downsample, and fast."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from annotations.errors import SlideError

from .frame import Box, Pair
from .resample import RGB, Level

CACHE_BYTES = 48 << 20
# Compressions whose pixels were checked against OpenSlide's
COMPRESSIONS = {"JPEG", "ADOBE_DEFLATE", "DEFLATE", "LZW", "NONE", "APERIO_JP2000_RGB"}


class TiffLevel:
    """One level of a tiled TIFF; decoded tiles are kept so that windows share them."""

    def __init__(
        self, file: "_TileFile", page: tifffile.TiffPage, size_level0: tuple[int, int]
    ) -> None:
        self._file, self._page = file, page
        self.size: tuple[int, int] = (page.imagewidth, page.imagelength)
        self._tile = (page.tilewidth, page.tilelength)
        self._columns = -(-page.imagewidth // page.tilewidth)
        self.downsample: Pair = (
            _downsample(size_level0[0], page.imagewidth),
            _downsample(size_level0[1], page.imagelength),
        )

    def read(self, box: Box) -> RGB:
        """uint8 [h, w, 3]; tiles that the file leaves out are white."""
        out = np.empty((box.height, box.width, 3), np.uint8)
        tw, th = self._tile
        for row in range(box.y // th, -(-box.bottom // th)):
            for column in range(box.x // tw, -(-box.right // tw)):
                cell = Box(column * tw, row * th, tw, th).intersection(box)
                tile = self._file.tile(self._page, row * self._columns + column)
                out[cell.y - box.y : cell.bottom - box.y, cell.x - box.x : cell.right - box.x] = (
                    tile[
                        cell.y - row * th : cell.bottom - row * th,
                        cell.x - column * tw : cell.right - column * tw,
                    ]
                )
        return out


def _downsample(size_level0: int, size: int) -> float:
    """Level-0 pixels per level pixel: whole where the size is that of a truncated whole step."""
    whole = round(size_level0 / size)
    return (
        float(whole)
        if size in (size_level0 // whole, -(-size_level0 // whole))
        else size_level0 / size
    )


class _TileFile:
    """Reads and decodes tiles; keeps the last ones up to CACHE_BYTES."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._tiles: OrderedDict[tuple[int, int], RGB] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        os.close(self._descriptor)

    def tile(self, page: tifffile.TiffPage, index: int) -> RGB:
        key = (page.index, index)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = self._decode(page, index)
        with self._lock:
            self._tiles[key] = tile
            self._bytes += tile.nbytes
            while self._bytes > CACHE_BYTES and len(self._tiles) > 1:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def _decode(self, page: tifffile.TiffPage, index: int) -> RGB:
        count = page.databytecounts[index]
        white = np.full((page.tilelength, page.tilewidth, 3), 255, np.uint8)
        if count == 0:
            return white
        data = os.pread(self._descriptor, count, page.dataoffsets[index])
        try:
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        except Exception as error:  # decoders raise what they like; all of it means a broken tile
            raise SlideError(
                f"{self._name}: tile {index} of level {page.index} is broken: {error}"
            ) from error
        if decoded is None:
            return white
        tile = decoded.reshape(decoded.shape[-3:])
        if tile.shape != white.shape:  # edge tiles may be stored cut
            white[: tile.shape[0], : tile.shape[1]] = tile
            return white
        return np.ascontiguousarray(tile)


@dataclass(frozen=True)
class OpenedTiles:
    """All levels of a tiled TIFF; `close` lets go of the file."""

    levels: list[Level]
    close: Callable[[], None]


def open_tiles(path: Path, stored_level_sizes: tuple[tuple[int, int], ...]) -> OpenedTiles | None:
    """All levels of a tiled RGB TIFF, or None where tifffile and OpenSlide see different things."""
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [level.pages[0] for level in tiff.series[0].levels]
            for page in pages:
                _ = page.jpegtables, page.databytecounts, page.decode  # all read while it is open
    except (tifffile.TiffFileError, ValueError, IndexError, OSError, KeyError):
        return None
    by_size = {(page.imagewidth, page.imagelength): page for page in pages if _plain(page)}
    if any(size not in by_size for size in stored_level_sizes):
        return None
    file = _TileFile(path)
    levels = [TiffLevel(file, by_size[size], stored_level_sizes[0]) for size in stored_level_sizes]
    return OpenedTiles(list(levels), file.close)


def _plain(page: tifffile.TiffPage) -> bool:
    return (
        page.is_tiled
        and page.dtype == np.uint8
        and page.samplesperpixel == 3
        and page.planarconfig == 1
        and page.compression.name in COMPRESSIONS
    )
