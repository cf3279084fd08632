"""The picture of a result: the slide, its outline, a scale bar, how sure the map is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon

from model.segment import ExtentMap
from tiling.draw import (
    BRIGHT,
    DARK,
    Card,
    Paths,
    ScaleBar,
    colours,
    paint,
    rounded,
    strokes,
)
from tiling.frame import Box, Frame
from tiling.masks import rasterise
from tiling.native import native_frame
from tiling.resample import RGB
from tiling.slide import Slide

from .lesions import Lesion

SIDE = 1280  # pixels of the longer side, or up to 1.4 times more or less
LEAST_SIDE = 600  # smaller slides are enlarged, so that lines are thin beside their pixels
STRIP = 64  # picture rows looked at together
TINT = 0.35
HALO_WIDTH, LINE_WIDTH = 5.0, 2.4  # pixels


def draw_overlay(
    slide: Slide,
    extent_map: ExtentMap,
    lesions: Sequence[Lesion],
    *,
    threshold: float,
    caption: str,
) -> RGB:
    """A sheet with the slide's scanned part and the lesions on it; uint8 [h, w, 3].

    Memory does not grow with the slide: about SIDE pixels a side, the map in strips.
    """
    picture, frame = _picture(slide)
    if lesions:
        polygons, rings = _in_picture(lesions, frame, extent_map.frame)
        _tint(picture, frame, polygons, extent_map, threshold)
        _outline(picture, rings)
    card = Card(picture)
    card.scale_bar(ScaleBar.fitting(frame.mpp[0], max(picture.shape[1] / 4, 160)))
    card.colour_bar(f"probability {threshold:.2g}", "1")
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


def _in_picture(
    lesions: Sequence[Lesion], frame: Frame, map_frame: Frame
) -> tuple[MultiPolygon, Paths]:
    """The lesions in the picture's pixels, with the map's stairs taken out, and their rings."""
    polygons = np.array([lesion.polygon_level0 for lesion in lesions])
    rings, owner = shapely.get_rings(polygons, return_index=True)
    traced = Paths.along(rings)
    origin, downsample = np.array(frame.origin_level0), np.array(frame.downsample)
    cut = np.array(map_frame.downsample) / downsample / 2
    smooth = rounded(replace(traced, points=(traced.points - origin) / downsample), cut)
    linear = shapely.linearrings(smooth.points, indices=smooth.number)
    return shapely.multipolygons(shapely.polygons(linear, indices=owner)), smooth


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


def _outline(picture: RGB, rings: Paths) -> None:
    """A bright line on a dark one: seen on pale and on dark tissue alike."""
    height, width = picture.shape[:2]
    halo, line = strokes(rings, (width, height), (HALO_WIDTH, LINE_WIDTH))
    paint(picture, halo, DARK, 0.8)
    paint(picture, line, BRIGHT)
