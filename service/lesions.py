"""From a map to lesions: each region with what is measured on it, in level-0 pixels and mm."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shapely import Polygon

from annotations import Feature, shape_key
from model.object_rules import ObjectRules
from model.objects import find_objects
from model.segment import ExtentMap
from tiling.frame import Pair
from tiling.trace import Region, inside_point, max_diameter, to_level0

OUTLINE_COLOUR = (200, 0, 0)


@dataclass(frozen=True)
class Lesion:
    """One connected region above the threshold; `polygon_level0` is valid, with its holes.

    `bbox_level0` is left, top, right, bottom; `inside_point_level0` lies within the polygon,
    which a centroid need not. `mean_probability` is over the stored values (0-1) above the
    threshold.
    """

    polygon_level0: Polygon
    area_mm2: float
    max_diameter_mm: float
    inside_point_level0: Pair
    mean_probability: float

    @property
    def centroid_level0(self) -> Pair:
        centroid = self.polygon_level0.centroid
        return centroid.x, centroid.y

    @property
    def bbox_level0(self) -> tuple[float, float, float, float]:
        left, top, right, bottom = self.polygon_level0.bounds
        return left, top, right, bottom

    def as_row(self) -> dict[str, object]:
        """What summary.json lists."""
        return {
            "area_mm2": self.area_mm2,
            "max_diameter_mm": self.max_diameter_mm,
            "centroid_level0": list(self.centroid_level0),
            "inside_point_level0": list(self.inside_point_level0),
            "bbox_level0": list(self.bbox_level0),
            "mean_probability": self.mean_probability,
        }


def find_lesions(
    extent_map: ExtentMap,
    mpp_level0: Pair,
    threshold: float,
    *,
    least_mm2: float = 0.0,
    rules: ObjectRules | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Lesion]:
    """The lesions of a map's foreground class, largest first; `threshold` is a probability.

    With `rules` they are objects, tidied up as those say.
    Areas are those of the level-0 polygons, so that who measures the outlines finds the same.
    """
    frame = extent_map.frame
    # 1e-9: a limit of exactly n pixels keeps regions of n pixels
    least_px = max(1, math.ceil(least_mm2 / frame.pixel_area_mm2 - 1e-9))
    regions = foreground_regions(extent_map, threshold, least_px, rules, progress)
    return [
        Lesion(
            polygon_level0=polygon,
            area_mm2=area_mm2(polygon, mpp_level0),
            max_diameter_mm=max_diameter(region.polygon, frame.mpp) / 1000,
            inside_point_level0=frame.to_level0(*inside_point(region.polygon)),
            mean_probability=region.value_sum / (255 * region.area_px),
        )
        for region, polygon in zip(
            regions, to_level0([region.polygon for region in regions], frame), strict=True
        )
    ]


def foreground_regions(
    extent_map: ExtentMap,
    threshold: float,
    least_area_px: int = 1,
    rules: ObjectRules | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Region]:
    """The regions of a map's foreground class above a probability, in the map's pixels."""
    return find_objects(
        lambda box: extent_map.canvas.read(extent_map.foreground, box),
        extent_map.frame,
        threshold,
        rules,
        least_area_px=least_area_px,
        progress=progress,
    )


def area_mm2(polygon_level0: Polygon, mpp_level0: Pair) -> float:
    """The area of a polygon in level-0 pixels."""
    return float(polygon_level0.area * mpp_level0[0] * mpp_level0[1] / 1e6)


def shown_class(name: str) -> str:
    """A model's class as QuPath lists it."""
    return name[:1].upper() + name[1:]


def lesion_features(lesions: Sequence[Lesion], class_name: str, key: str) -> Iterator[Feature]:
    """An annotation a lesion for QuPath; ids follow from `key` and the shape."""
    for number, lesion in enumerate(lesions, 1):
        yield Feature(
            lesion.polygon_level0,
            classification=shown_class(class_name),
            colour=OUTLINE_COLOUR,
            name=f"Region {number}",
            measurements={
                "Area mm^2": lesion.area_mm2,
                "Max diameter mm": lesion.max_diameter_mm,
                "Mean probability": lesion.mean_probability,
            },
            key=f"{key} {shape_key(lesion.polygon_level0)}",
        )
