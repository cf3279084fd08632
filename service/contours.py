"""How far an expert's tumour may reach on a slide: contours on its map, and its area's interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shapely import Polygon

from annotations import Feature, shape_key
from model.area_interval import AreaInterval
from model.card import ModelCard
from model.conformal import Contours, contours_in
from model.familiarity import Familiarity
from model.segment import ExtentMap
from tiling.draw import Colour
from tiling.frame import Pair
from tiling.trace import to_level0

from .familiarity import UNLIKE, is_unlike
from .lesions import area_mm2, foreground_regions, shown_class

OUTER_COLOUR: Colour = (0, 90, 200)
INNER_COLOUR: Colour = (120, 0, 120)

ONLY_A_REGION = "only a region was looked at, and intervals are for whole slides"
SKIPPED = "tissue was skipped, and intervals are for maps of all of it"
LEFT_OUT = "small regions were left out, and intervals are for all that a map shows"


@dataclass(frozen=True)
class Reach:
    """The interval and the contours of a slide, or in `no_interval` why it has none.

    `outer` and `inner`: valid polygons in level-0 pixels. All lesions lie within the outer ones,
    the inner ones within the lesions.
    """

    interval: AreaInterval | None = None
    no_interval: str = ""
    outer: Sequence[Polygon] = ()
    inner: Sequence[Polygon] = ()

    def as_rows(self) -> dict[str, object]:
        """What summary.json states."""
        interval = self.interval.to_json() if self.interval else None
        return {"area_interval_mm2": interval, "no_interval": self.no_interval}


def contours_for(
    card: ModelCard, extent_map: ExtentMap, least_mm2: float, familiarity: Familiarity | str
) -> Contours | str:
    """The card's contours, or why a map has none; smaller regions than `least_mm2` do not count.

    Raises:
        CheckpointError: what the card says of contours makes no sense.
    """
    contours, account = contours_in(card.calibration), extent_map.adaptive
    if isinstance(contours, str):
        return contours
    if is_unlike(familiarity):
        return UNLIKE
    if extent_map.region_level0 is not None:
        return ONLY_A_REGION
    if account is not None and account.skipped_mm2 > 0:
        return SKIPPED
    return LEFT_OUT if least_mm2 > 0 else contours


def find_reach(
    extent_map: ExtentMap, mpp_level0: Pair, threshold: float, contours: Contours | str
) -> Reach:
    """Trace contours on a map around what lies above `threshold`, a probability.

    Areas are those of the level-0 polygons, as the lesions' are. `contours` may be the reason why
    there are none: then nothing is traced.
    """
    if isinstance(contours, str):
        return Reach(no_interval=contours)
    outer, inner = (_traced(extent_map, value) for value in contours.around(threshold))
    outer_mm2, inner_mm2 = (
        math.fsum(area_mm2(polygon, mpp_level0) for polygon in polygons)
        for polygons in (outer, inner)
    )
    return Reach(AreaInterval.between(contours, outer_mm2, inner_mm2), "", outer, inner)


def _traced(extent_map: ExtentMap, least_value: int) -> list[Polygon]:
    """Around the pixels with at least a stored value; level-0 pixels."""
    between = (least_value - 0.5) / 255  # tracing keeps what is above a probability
    regions = foreground_regions(extent_map, between)
    return to_level0([region.polygon for region in regions], extent_map.frame)


def contour_features(reach: Reach, class_name: str, key: str) -> Iterator[Feature]:
    """A detection a polygon for QuPath, the outer ones first; ids follow from `key` and the shape.

    Detections, because nobody drew them and nobody is to correct them: whatever reads outlines
    leaves them out.
    """
    if reach.interval is None:
        return
    of_both = (("outer", OUTER_COLOUR, reach.outer), ("inner", INNER_COLOUR, reach.inner))
    for which, colour, polygons in of_both:
        for number, polygon in enumerate(polygons, 1):
            yield Feature(
                polygon,
                classification=f"{shown_class(class_name)} {which} contour",
                colour=colour,
                name=f"{which.capitalize()} contour {number}",
                measurements={"Level": reach.interval.level},
                properties={"kind": reach.interval.kind},
                key=f"{key} {which} {shape_key(polygon)}",
                object_type="detection",
            )
