"""Deep-zoom pyramids: which tiles there are, and a slide's pixels in one of them.

A pyramid covers the full plane: its finest level has level-0 pixels, each coarser one half as many
a side, rounded up, down to a single pixel at level 0. Tiles do not overlap.
"""

from dataclasses import dataclass
from typing import Literal

from annotations.errors import SlideError

from .frame import Box, Frame
from .resample import RGB, best_level
from .slide import Slide

TILE = 256
SMALLEST_TILE, LARGEST_TILE = 192, 320
MAX_SOURCE_PIXELS = 1 << 28  # decoded for one tile: a few seconds


@dataclass(frozen=True)
class DeepZoom:
    """The tiles over a plane of `width` x `height` level-0 pixels; `tile` is their side."""

    width: int
    height: int
    tile: int = TILE

    @property
    def levels(self) -> int:
        return (max(self.width, self.height) - 1).bit_length() + 1

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a level."""
        return 1 << (self.levels - 1 - level)

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        step = self.downsample(level)
        return -(-self.width // step), -(-self.height // step)

    def tiles(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles of a level."""
        width, height = self.size(level)
        return -(-width // self.tile), -(-height // self.tile)

    def frame(self, level: int) -> Frame:
        """The grid of a level's pixels; resolution plays no part here, so it says 1 µm/px at
        level 0."""
        step = float(self.downsample(level))
        return Frame((0.0, 0.0), (step, step), (step, step), *self.size(level))

    def box(self, level: int, column: int, row: int) -> Box | None:
        """A tile in its level's pixels, cut at the level's end; None when there is no such tile."""
        if not 0 <= level < self.levels:
            return None
        columns, rows = self.tiles(level)
        if not (0 <= column < columns and 0 <= row < rows):
            return None
        whole = Box(column * self.tile, row * self.tile, self.tile, self.tile)
        return whole.intersection(Box(0, 0, *self.size(level)))

    def xml(self, suffix: Literal["jpeg", "png"]) -> str:
        """The .dzi document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'Format="{suffix}" Overlap="0" TileSize="{self.tile}">'
            f'<Size Width="{self.width}" Height="{self.height}"/></Image>\n'
        )


def deep_zoom(slide: Slide) -> DeepZoom:
    """A slide's pyramid, its tiles on those of the file where they are of a usable size."""
    return DeepZoom(*slide.size_level0, _tile_side(slide))


def _tile_side(slide: Slide) -> int:
    sides = {slide.properties.get(f"openslide.level[0].tile-{n}", "") for n in ("width", "height")}
    text = sides.pop()
    if sides or not text.isascii() or not text.isdigit():
        return TILE
    side = int(text)
    while side > LARGEST_TILE and side % 2 == 0:
        side //= 2
    return side if SMALLEST_TILE <= side <= LARGEST_TILE else TILE


def read_tile(slide: Slide, zoom: DeepZoom, level: int, column: int, row: int) -> RGB:
    """A tile's pixels from the nearest finer level that is stored; uint8 [h, w, 3], on white.

    Raises:
        SlideError: no such tile, broken pixels, or too many would have to be decoded for it.
    """
    box = zoom.box(level, column, row)
    if box is None:
        raise SlideError(f"{slide.path.name}: there is no such tile")
    frame = zoom.frame(level)
    _affordable(slide, frame, box)
    return slide.read(frame, box)


def picture(slide: Slide, longest_side: int) -> RGB:
    """A small picture of the scanned part; uint8 [h, w, 3], neither side over `longest_side`.

    Raises:
        SlideError: broken pixels, or too many would have to be decoded for it.
    """
    bounds = slide.bounds_level0
    step = max(1.0, max(bounds.width, bounds.height) / longest_side)
    frame = Frame.over((bounds.x, bounds.y), (bounds.width, bounds.height), (1, 1), step)
    _affordable(slide, frame, frame.box)
    return slide.overview(longest_side)[0]


def _affordable(slide: Slide, frame: Frame, box: Box) -> None:
    level = best_level(slide.levels, frame)
    steps = [f / d for f, d in zip(frame.downsample, level.downsample, strict=True)]
    if box.area * steps[0] * steps[1] > MAX_SOURCE_PIXELS:
        raise SlideError(
            f"{slide.path.name}: it has no smaller levels to show it from afar; convert it to "
            "a pyramidal TIFF, or look at it closer"
        )
