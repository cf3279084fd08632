"""The picture of a result: the slide, outline and contours, a scale bar, how sure the map is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from model.segment import ExtentMap
from tiling.draw import BRIGHT, DARK, PALE, Paths, Pen, colours, paint, rounded, strokes
from tiling.frame import Box, Frame
from tiling.masks import rasterise
from tiling.native import native_frame
from tiling.resample import RGB
from tiling.sheet import Card, ScaleBar
from tiling.slide import Slide

from .contours import INNER_COLOUR, OUTER_COLOUR
from .findings import Findings

SIDE = 1280  # pixels of the longer side, or up to 1.4 times more or less
LEAST_SIDE = 600  # smaller slides are enlarged, so that lines are thin beside their pixels
STRIP = 64  # picture rows looked at together
TOGETHER = 50_000  # points of contours that are laid on the picture at a time, about
TINT = 0.35
OUTLINE = Pen(BRIGHT, 2.4, casing=DARK, casing_width=5.0)
OUTER = Pen(OUTER_COLOUR, 1.6, casing=PALE, casing_width=3.2)
INNER = Pen(INNER_COLOUR, 1.6, casing=PALE, casing_width=3.2)
LEGEND = (
    (OUTLINE, "outline"),
    (OUTER, "outer contour: most of the tumour lies within"),
    (INNER, "inner contour: most of what lies within is tumour"),
)


def draw_overlay(slide: Slide, extent_map: ExtentMap, findings: Findings, *, caption: str) -> RGB:
    """A sheet with the slide's scanned part and what was found on it; uint8 [h, w, 3].

    Memory does not grow with the slide: about SIDE pixels a side, the map in strips.
    """
    picture, frame = _picture(slide)
    reach, lesions = findings.reach, [lesion.polygon_level0 for lesion in findings.lesions]
    outline = _Shapes.of(lesions, frame, extent_map.frame)
    if lesions:
        _tint(picture, frame, outline.filled, extent_map, findings.threshold)
    for polygons, pen in ((reach.outer, OUTER), (reach.inner, INNER)):
        _line(picture, _rings_of(polygons, frame, extent_map.frame), pen)
    _line(picture, [outline.rings], OUTLINE)
    card = Card(picture)
    card.scale_bar(ScaleBar.fitting(frame.mpp[0], max(picture.shape[1] / 4, 160)))
    card.colour_bar(f"probability {findings.threshold:.2g}", "1")
    if reach.interval:
        card.legend(LEGEND)
    card.words(caption)
    return card.pixels


def _picture(slide: Slide) -> tuple[RGB, Frame]:
    """The slide, and where the picture's pixels lie on it."""
    bounds = slide.bounds_level0
    looked = native_frame(slide, max(1.0, max(bounds.width, bounds.height) / SIDE))
    overview = slide.read(looked, looked.box)
    times = max(1, LEAST_SIDE // max(overview.shape[:2]))
    picture = overview.repeat(times, axis=0).repeat(times, axis=1)
    frame = replace(
        looked,
        downsample=(looked.downsample[0] / times, looked.downsample[1] / times),
        mpp=(looked.mpp[0] / times, looked.mpp[1] / times),
        width=picture.shape[1],
        height=picture.shape[0],
    )
    return picture, frame


@dataclass(frozen=True)
class _Shapes:
    """Polygons in the picture's pixels: their rings, and the number of each ring's polygon."""

    rings: Paths
    owner: NDArray[np.int64]

    @classmethod
    def of(cls, polygons_level0: Sequence[Polygon], frame: Frame, map_frame: Frame) -> Self:
        """As they lie on the picture, with the map's stairs taken out."""
        polygons = np.array(polygons_level0, dtype=np.object_)
        rings, owner = shapely.get_rings(polygons, return_index=True)
        return cls(_laid(rings, frame, map_frame), owner)

    @property
    def filled(self) -> MultiPolygon:
        linear = shapely.linearrings(self.rings.points, indices=self.rings.number)
        return shapely.multipolygons(shapely.polygons(linear, indices=self.owner))


def _rings_of(
    polygons_level0: Sequence[Polygon], frame: Frame, map_frame: Frame
) -> Iterator[Paths]:
    """The rings of polygons as `_Shapes` has them, some at a time."""
    rings = shapely.get_rings(np.array(polygons_level0, dtype=np.object_))
    part = shapely.get_num_coordinates(rings).cumsum() // TOGETHER
    for some in np.split(rings, np.flatnonzero(np.diff(part)) + 1):
        yield _laid(some, frame, map_frame)


def _laid(rings_level0: NDArray[np.object_], frame: Frame, map_frame: Frame) -> Paths:
    """Rings in the picture's pixels, with the map's stairs taken out."""
    traced = Paths.along(rings_level0)
    origin, downsample = np.array(frame.origin_level0), np.array(frame.downsample)
    cut = np.array(map_frame.downsample) / downsample / 2
    return rounded(replace(traced, points=(traced.points - origin) / downsample), cut)


def _tint(
    picture: RGB, frame: Frame, shapes: MultiPolygon, extent_map: ExtentMap, threshold: float
) -> None:
    """Colour the lesions by probability."""
    pixels = replace(frame, origin_level0=(0.0, 0.0), downsample=(1.0, 1.0))
    inside = rasterise([(shapes, 1)], pixels, pixels.box)
    scale = colours((np.arange(256) / 255 - threshold) / (1 - threshold))
    for y in range(0, frame.height, STRIP):
        strip = Box(0, y, frame.width, min(STRIP, frame.height - y))
        share = inside[y : strip.bottom].astype(np.float32)
        if share.any():
            tints = scale[_sampled(extent_map, frame, strip)]
            paint(picture[y : strip.bottom], share, tints, TINT)


def _sampled(extent_map: ExtentMap, frame: Frame, box: Box) -> NDArray[np.uint8]:
    """The map's value at the centre of each pixel of a box of `frame`; uint8 [h, w]."""
    target = extent_map.frame
    first = target.from_level0(*frame.to_level0(box.x + 0.5, box.y + 0.5))
    step = (
        frame.downsample[0] / target.downsample[0],
        frame.downsample[1] / target.downsample[1],
    )
    columns = _indices(first[0], step[0], box.width, target.width)
    rows = _indices(first[1], step[1], box.height, target.height)
    x, y = int(columns[0]), int(rows[0])
    part = Box(x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)
    values = extent_map.canvas.read(extent_map.foreground, part)
    sampled: NDArray[np.uint8] = values[np.ix_(rows - y, columns - x)]
    return sampled


def _indices(first: float, step: float, count: int, size: int) -> NDArray[np.int64]:
    places: NDArray[np.int64] = np.floor(first + step * np.arange(count)).astype(np.int64)
    return places.clip(0, size - 1)


def _line(picture: RGB, rings: Iterable[Paths], pen: Pen) -> None:
    """Draw along rings."""
    height, width = picture.shape[:2]
    casing, line = strokes(rings, (width, height), (pen.casing_width, pen.width))
    paint(picture, casing, pen.casing, pen.casing_opacity)
    paint(picture, line, pen.colour)
