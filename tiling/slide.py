"""A slide as Extent sees it: pixels at any µm/px, always on the same grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from annotations.errors import ResolutionError, SlideError

from . import openslide_levels, tiff_tiles
from .frame import Box, Frame, Pair
from .images import FLAT_SUFFIXES, FlatLevel, read_rgb
from .planned import PlannedLevel, TiledLevel
from .resample import RGB, Level, best_level, parts, resample, source_of
from .resolution import Resolution
from .slide_files import slide_file, slide_name

MAX_COARSER = 1.5  # a slide may be this much coarser than what is asked of it
TILED_TIFF_VENDORS = {"aperio", "generic-tiff"}
MAX_SIDE_PIXELS = 1_000_000  # a quarter of a metre at 0.25 µm/px
MAX_TILE_PIXELS = 1 << 26  # decoding takes several bytes for each


@dataclass(frozen=True)
class Slide:
    """An open slide.

    `size_level0` is the full plane; `bounds_level0` its scanned part, which frames cover.
    `mpp` is None where the file does not say and the user did not: `frame` then refuses.
    `flat` marks cut-outs (PNG, JPEG), beyond whose edges there is more tissue, not glass.
    """

    path: Path
    name: str
    size_level0: tuple[int, int]
    bounds_level0: Box
    stored_mpp: Pair | None
    mpp: Pair | None
    levels: list[Level]
    flat: bool
    properties: dict[str, str]
    close: Callable[[], None]

    @classmethod
    def open(cls, path: Path, resolution: Resolution | None = None) -> Self:
        """Open a slide file, a DICOM folder or any one of its files, or a flat PNG or JPEG.

        Raises:
            SlideError: missing, empty, of an unknown format, or broken.
        """
        resolution = resolution or Resolution()
        file = slide_file(path)
        if file.suffix.lower() in FLAT_SUFFIXES:
            level = FlatLevel(read_rgb(file))
            box = Box(0, 0, *level.size)
            mpp = resolution.applied_to(None)
            return cls(
                path, slide_name(path), level.size, box, None, mpp, [level], True, {}, _nothing
            )
        opened = openslide_levels.open_slide(file)
        if implausible := _implausible(opened):
            opened.close()
            raise SlideError(f"{file.name}: claims {implausible}, as no scan has")
        levels, close = opened.levels, opened.close
        if opened.vendor in TILED_TIFF_VENDORS:
            tiles = tiff_tiles.open_tiles(file, opened.stored_level_sizes)
            if tiles:
                levels, close = tiles.levels, tiles.close
                opened.close()
        return cls(
            path=path,
            name=slide_name(path),
            size_level0=opened.size_level0,
            bounds_level0=opened.bounds_level0,
            stored_mpp=opened.mpp,
            mpp=resolution.applied_to(opened.mpp),
            levels=levels,
            flat=False,
            properties=opened.shown_properties,
            close=close,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def known_mpp(self) -> Pair:
        """µm per level-0 pixel, x and y.

        Raises:
            ResolutionError: it is missing or absurd and nobody filled the gap.
        """
        if self.mpp is None:
            stated = (
                "no resolution"
                if self.stored_mpp is None
                else (f"{self.stored_mpp[0]:g} x {self.stored_mpp[1]:g} µm/px, which no slide has")
            )
            raise ResolutionError(
                f"{self.path.name}: the file states {stated}; give the µm/px of its finest level "
                "with --mpp (0.25 is usual for a 40x scan, 0.5 for 20x)"
            )
        return self.mpp

    def frame(self, mpp: float) -> Frame:
        """The grid of `mpp` µm/px over the scanned part of the slide.

        Raises:
            ResolutionError: unknown resolution, or the slide is over 1.5 x coarser than `mpp`.
        """
        mpp_level0 = self.known_mpp
        if max(mpp_level0) > MAX_COARSER * mpp:
            raise ResolutionError(
                f"{self.path.name}: its {max(mpp_level0):g} µm/px are too coarse for {mpp:g}; "
                "take a model for coarser slides, or mend a wrong resolution with --force-mpp --mpp"
            )
        b = self.bounds_level0
        return Frame.over(
            (float(b.x), float(b.y)), (float(b.width), float(b.height)), mpp_level0, mpp
        )

    def read(self, frame: Frame, box: Box) -> RGB:
        """Pixels of a frame; uint8 [box.height, box.width, 3].

        Beyond the frame: white; on flat cut-outs the mirrored image.
        """
        if self.flat:
            columns = _mirrored(box.x, box.width, frame.width)
            rows = _mirrored(box.y, box.height, frame.height)
            x0, y0 = int(columns.min()), int(rows.min())
            inner = Box(x0, y0, int(columns.max()) - x0 + 1, int(rows.max()) - y0 + 1)
            return self._read_inside(frame, inner)[np.ix_(rows - y0, columns - x0)]
        inner = box.intersection(frame.box)
        if inner == box:
            return self._read_inside(frame, box)
        out = np.full((box.height, box.width, 3), 255, np.uint8)
        if inner.area:
            out[inner.y - box.y : inner.bottom - box.y, inner.x - box.x : inner.right - box.x] = (
                self._read_inside(frame, inner)
            )
        return out

    def planned(self, frame: Frame, boxes: Sequence[Box]) -> "Slide":
        """This slide for reading `boxes` of a frame in their order, each once, by one thread.

        What several of them need is decoded once and kept in between, within bounds. It is open
        for as long as this slide is.
        """
        level = best_level(self.levels, frame)
        if not isinstance(level, TiledLevel):
            return self
        inside = (box.intersection(frame.box) for box in boxes)
        pieces = (part for box in inside if box.area for part in parts(level, frame, box))
        sources = [source_of(level, frame, part) for part in pieces]
        return replace(self, levels=[PlannedLevel(level, sources)])

    def _read_inside(self, frame: Frame, box: Box) -> RGB:
        level = best_level(self.levels, frame)
        pieces = list(parts(level, frame, box))
        if pieces == [box]:
            return resample(level, frame, box)
        out = np.empty((box.height, box.width, 3), np.uint8)
        for part in pieces:
            x, y = part.x - box.x, part.y - box.y
            out[y : y + part.height, x : x + part.width] = resample(level, frame, part)
        return out

    def overview(self, max_side: int) -> tuple[RGB, tuple[float, float]]:
        """A small picture of the scanned part and its level-0 pixels per pixel, x and y."""
        b = self.bounds_level0
        downsample = max(1.0, max(b.width, b.height) / max_side)
        frame = Frame.over(
            (float(b.x), float(b.y)), (float(b.width), float(b.height)), (1, 1), downsample
        )
        return self.read(frame, frame.box), frame.downsample


def _implausible(opened: openslide_levels.OpenedSlide) -> str | None:
    """What is too large, where something is."""
    width, height = opened.size_level0
    if max(width, height) > MAX_SIDE_PIXELS:
        return f"{width} x {height} pixels"
    width, height = opened.largest_tile
    return f"tiles of {width} x {height} pixels" if width * height > MAX_TILE_PIXELS else None


def _nothing() -> None:
    """Flat images hold no file open."""


def _mirrored(first: int, count: int, size: int) -> npt.NDArray[np.int64]:
    """Indices first..first+count reflected into 0..size-1, without repeating the edge."""
    if size == 1:
        return np.zeros(count, np.int64)
    folded = np.arange(first, first + count) % (2 * (size - 1))
    return np.minimum(folded, 2 * (size - 1) - folded)
