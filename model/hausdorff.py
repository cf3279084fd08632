"""Hausdorff distances between objects, each taken as the set of its pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage
from shapely import Polygon

from tiling.frame import Box, Frame
from tiling.masks import rasterise


def distance_um(one: Polygon, other: Polygon, frame: Frame) -> float:
    """How far the farthest pixel of either is from the nearest of the other, in µm.

    Polygons in level-0 pixels; their pixels are those of `frame`, at least one each. Between
    centres of pixels; inner places count too, so that a hole that the other fills is far from it.
    """
    box = _around([one, other], frame)
    masks = [_pixels(polygon, frame, box) for polygon in (one, other)]
    steps = frame.mpp[::-1]
    return max(
        float(ndimage.distance_transform_edt(~to, sampling=steps)[of].max())
        for of, to in (masks, masks[::-1])
    )


def nearest_um(polygon: Polygon, others: Sequence[Polygon], frame: Frame) -> float:
    """The least `distance_um` from any of the others; 0 where there are none.

    Those that can be the nearest are tried: no distance is below that of the bounding boxes' sides.
    """
    if not others:
        return 0.0
    per_level0 = np.array(frame.mpp) / frame.downsample
    apart = np.abs(shapely.bounds(np.array(others)) - polygon.bounds) * np.tile(per_level0, 2)
    least = apart.max(axis=1) - 2 * max(frame.mpp)  # pixels stick out of polygons
    best = np.inf
    for i in np.argsort(least, kind="stable"):
        if least[i] >= best:
            break
        best = min(best, distance_um(polygon, others[i], frame))
    return float(best)


def _around(polygons: Sequence[Polygon], frame: Frame) -> Box:
    left, top, right, bottom = shapely.total_bounds(np.array(polygons))
    x0, y0 = np.floor(frame.from_level0(left, top)).astype(int).tolist()
    x1, y1 = np.floor(frame.from_level0(right, bottom)).astype(int).tolist()
    return Box(x0, y0, x1 + 1 - x0, y1 + 1 - y0)


def _pixels(polygon: Polygon, frame: Frame, box: Box) -> npt.NDArray[np.bool_]:
    """bool [box.height, box.width]: those with their centre within, or the one around a speck."""
    mask = rasterise([(polygon, 1)], frame, box) > 0
    if not mask.any():
        x, y = frame.from_level0(*polygon.representative_point().coords[0])
        mask[int(np.floor(y)) - box.y, int(np.floor(x)) - box.x] = True
    return mask
