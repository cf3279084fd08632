"""Objects that lie side by side, such as glands: what lies between, what a map shows as one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon, STRtree

from tiling.frame import Box, Frame, Pair
from tiling.trace import Region, trace_regions

from .object_rules import ObjectRules


def between(polygons: Sequence[Polygon], mpp: Pair, um: float) -> list[Polygon]:
    """Where two of the polygons are both at most `um` away; in the pixels that they are in.

    `mpp`: µm per such pixel. Touching polygons have a band of twice the width between them, those
    `um` apart one of that width, those twice as far apart none.
    """
    grown = shapely.buffer(_scaled(polygons, mpp), um)
    first, second = STRtree(grown).query(grown, predicate="intersects")
    pairs = first < second
    common = shapely.intersection(grown[first[pairs]], grown[second[pairs]])
    pieces = shapely.get_parts(shapely.get_parts(common))
    areas: list[Polygon] = _scaled(
        pieces[shapely.get_dimensions(pieces) == 2], (1 / mpp[0], 1 / mpp[1])
    ).tolist()
    return areas


def _scaled(polygons: Sequence[Polygon], factor: Pair) -> npt.NDArray[np.object_]:
    found: npt.NDArray[np.object_] = shapely.transform(
        np.array(polygons, np.object_), lambda xy: xy * factor
    )
    return found


def find_objects(
    read: Callable[[Box], npt.NDArray[np.uint8]],
    frame: Frame,
    threshold: float,
    rules: ObjectRules | None,
    *,
    least_area_px: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Region]:
    """The regions of a map above `threshold`, tidied up as `rules` say; None leaves them alone.

    `read` as for `trace_regions`. `least_area_px` counts the pixels above the threshold. The
    largest come first.
    """
    regions = trace_regions(
        read,
        (frame.width, frame.height),
        threshold,
        least_area_px=least_area_px,
        progress=progress,
    )
    return regions if rules is None else tidied(regions, frame, rules)


def tidied(regions: Sequence[Region], frame: Frame, rules: ObjectRules) -> list[Region]:
    """Regions with small holes filled, without those that lay in them and those too small.

    `area_px` and `value_sum` go on to count the pixels above the threshold alone.
    """
    if not regions:
        return []
    pixel_um2 = frame.mpp[0] * frame.mpp[1]
    fill_px, least_px = rules.fill_um2 / pixel_um2, rules.least_um2 / pixel_um2
    polygons = np.array([_filled(region.polygon, fill_px) for region in regions], np.object_)
    outer, inner = STRtree(polygons).query(polygons, predicate="contains")
    areas = shapely.area(polygons)
    kept = areas >= least_px
    kept[inner[outer != inner]] = False
    order = np.argsort(-areas, kind="stable")
    return [replace(regions[i], polygon=polygons[i]) for i in order if kept[i]]


def _filled(polygon: Polygon, most_px: float) -> Polygon:
    holes = [ring for ring in polygon.interiors if Polygon(ring).area > most_px]
    return Polygon(polygon.exterior, holes)
