"""A slide's pixels in the tiles of its deep-zoom pyramid, and small pictures of it."""

from annotations.errors import SlideError

from .deepzoom import TILE, DeepZoom
from .frame import Box, Frame
from .resample import RGB, best_level
from .slide import Slide

SMALLEST_TILE, LARGEST_TILE = 192, 320
MAX_SOURCE_PIXELS = 1 << 28  # decoded for one tile: a few seconds


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
