"""From a stored map to its regions, traced along pixel edges, and what is measured on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import distance
from shapely import Polygon

from tiling.corners import find_regions
from tiling.frame import Box, Frame, Pair
from tiling.rings import Compact, Integers, Rings, link_rings


@dataclass(frozen=True)
class Region:
    """One 4-connected region of a map: one lesion.

    `polygon`, in the map's pixels (pixel edges are whole numbers), is valid, with holes as interior
    rings and no vertex on a straight line; its area is `area_px`. `value_sum` adds up the stored
    values (0-255) of its pixels.
    """

    polygon: Polygon
    area_px: int
    value_sum: int
    bbox: Box


def first_value_above(threshold: float) -> int:
    """The smallest stored value v with v / 255 > threshold; 256 when none is."""
    return next((value for value in range(256) if value / 255 > threshold), 256)


def trace_regions(
    read: Callable[[Box], NDArray[np.uint8]],
    size: tuple[int, int],
    threshold: float,
    *,
    block: int = 1024,
    least_area_px: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Region]:
    """The regions where a map's value / 255 is above `threshold`, as exact polygons.

    `read` gives uint8 [height, width] for a box within `size` (width, height); it is asked block
    by block, and the result is the same for any `block`. Regions that touch by a corner only are
    apart. Regions under `least_area_px` are left out and cost no memory. The largest come first,
    those of one area by bounding box, row by row. `progress` hears of blocks: done, total.
    """
    found = find_regions(
        read,
        size,
        least=first_value_above(threshold),
        least_area=least_area_px,
        block=block,
        progress=progress,
    )
    if not len(found.corners.x):
        return []
    rings = link_rings(found.corners)
    outer = np.flatnonzero(~rings.hole)
    numbers, bounds = rings.region[outer], _bounds(rings, outer)
    x, y, right, bottom = bounds.T
    first_x, first_y = rings.xy[rings.start[outer]].T
    order = np.lexsort((first_x, first_y, right, bottom, x, y, -found.area[numbers]))
    polygons = _polygons(rings)
    return [
        Region(polygons[i], area, value_sum, Box(box[0], box[1], box[2] - box[0], box[3] - box[1]))
        for i, area, value_sum, box in zip(
            order.tolist(),
            found.area[numbers[order]].tolist(),
            found.value_sum[numbers[order]].tolist(),
            bounds[order].tolist(),
            strict=True,
        )
    ]


def _bounds(rings: Rings, outer: Integers) -> Compact:
    """Left, top, right, bottom of each region, int32 [n, 4]."""
    start = rings.start[outer]
    low = np.minimum.reduceat(rings.xy, start, axis=0)
    return np.hstack([low, np.maximum.reduceat(rings.xy, start, axis=0)])


def _polygons(rings: Rings) -> NDArray[np.object_]:
    """One polygon a region."""
    length = np.diff(rings.start, append=len(rings.xy))
    number = np.repeat(np.arange(len(length)), length)
    linear = shapely.linearrings(rings.xy.astype(np.float64), indices=number)
    polygons: NDArray[np.object_] = shapely.polygons(linear, indices=np.cumsum(~rings.hole) - 1)
    return polygons


def to_level0(polygons: Sequence[Polygon], frame: Frame) -> list[Polygon]:
    """Polygons in the frame's pixels to level-0 pixels; traced ones stay valid.

    Each coordinate becomes a function of itself alone, so points and edges that coincide still do.
    """
    moved = shapely.transform(
        np.array(polygons, np.object_),
        lambda points: points * frame.downsample + frame.origin_level0,
    )
    return list(moved)


def max_diameter(polygon: Polygon, scale: Pair = (1.0, 1.0)) -> float:
    """The largest distance between two points of a polygon, in the unit of `scale`.

    `scale` is units per pixel, x and y apart: a frame's `mpp` for µm.
    """
    hull = shapely.get_coordinates(polygon.convex_hull) * scale
    return max(
        float(distance.cdist(hull[i : i + 256], hull).max()) for i in range(0, len(hull), 256)
    )


def inside_point(polygon: Polygon) -> Pair:
    """A point inside a polygon, in its pixels; always the same one."""
    point = polygon.representative_point()
    return point.x, point.y
