"""Levels of tiled TIFF slides through their own tile grid: exact at any downsample, and fast."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tifffile

from .frame import Box, Pair
from .resample import RGB, Level
from .tile_file import TileFile, is_readable, prepare
from .tile_grid import TileSize, put_together

# Compressions whose pixels were checked against OpenSlide's
COMPRESSIONS = {"JPEG", "ADOBE_DEFLATE", "DEFLATE", "LZW", "NONE", "APERIO_JP2000_RGB"}


class TiffLevel:
    """One level of a tiled TIFF; `read` keeps the last decoded tiles, `decode` keeps none."""

    def __init__(
        self, file: TileFile, page: tifffile.TiffPage, size_level0: tuple[int, int]
    ) -> None:
        self._file, self._page = file, page
        self.size: tuple[int, int] = (page.imagewidth, page.imagelength)
        self.tile: TileSize = (page.tilewidth, page.tilelength)
        self._columns = -(-page.imagewidth // page.tilewidth)
        self.downsample: Pair = (
            _downsample(size_level0[0], page.imagewidth),
            _downsample(size_level0[1], page.imagelength),
        )

    def read(self, box: Box) -> RGB:
        """uint8 [h, w, 3]; tiles that the file leaves out are white."""
        return put_together(box, self.tile, self._kept)

    def decode(self, column: int, row: int) -> RGB:
        """A tile's pixels; uint8 [tile height, tile width, 3], white where the file has none."""
        return self._file.decode(self._page, row * self._columns + column)

    def _kept(self, column: int, row: int) -> RGB:
        return self._file.tile(self._page, row * self._columns + column)


def _downsample(size_level0: int, size: int) -> float:
    """Level-0 pixels per level pixel: whole where the size is that of a truncated whole step."""
    whole = max(1, round(size_level0 / size))
    return (
        float(whole)
        if size in (size_level0 // whole, -(-size_level0 // whole))
        else size_level0 / size
    )


@dataclass(frozen=True)
class OpenedTiles:
    """All levels of a tiled TIFF; `close` lets go of the file."""

    levels: list[Level]
    close: Callable[[], None]


def open_tiles(path: Path, stored_level_sizes: tuple[tuple[int, int], ...]) -> OpenedTiles | None:
    """All levels of a tiled RGB TIFF, or None where tifffile and OpenSlide see different things."""
    try:
        # An OME header may name other files, which tifffile would open
        with tifffile.TiffFile(path, is_ome=False) as tiff:
            pages = [level.pages[0] for level in tiff.series[0].levels]
            for page in pages:
                prepare(page)
    except Exception:  # tifffile raises what it likes at broken files; OpenSlide has the last word
        return None
    by_size = {(page.imagewidth, page.imagelength): page for page in pages if _plain(page)}
    if any(size not in by_size for size in stored_level_sizes):
        return None
    file = TileFile(path, fill=255)
    levels = [TiffLevel(file, by_size[size], stored_level_sizes[0]) for size in stored_level_sizes]
    return OpenedTiles(list(levels), file.close)


def _plain(page: tifffile.TiffPage) -> bool:
    return is_readable(page) and page.samplesperpixel == 3 and page.compression.name in COMPRESSIONS
