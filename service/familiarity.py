"""Whether a slide looks like those that its model was measured on, as results say it."""

from model.card import ModelCard
from model.familiarity import FIELD, Familiarity
from model.known_looks import known_looks_in
from model.segment import ExtentMap
from tiling.appearance import Appearance

UNLIKE = "the slide is unlike those that the model was measured on"
ONLY_A_REGION = "only a region was looked at, and it is whole slides that are compared"
NO_TISSUE = "there is too little tissue to tell what the slide looks like"


def familiarity_of(
    card: ModelCard, extent_map: ExtentMap, look: Appearance | None
) -> Familiarity | str:
    """How a slide stands among those that the model was measured on, or why that is not known.

    Raises:
        CheckpointError: what the card says of them makes no sense.
    """
    known = known_looks_in(card.calibration)
    if isinstance(known, str):
        return known
    if extent_map.region_level0 is not None:
        return ONLY_A_REGION
    return NO_TISSUE if look is None else known.judge(look)


def is_unlike(familiarity: Familiarity | str) -> bool:
    """Whether a slide is known to be unlike the others."""
    return isinstance(familiarity, Familiarity) and familiarity.is_unlike


def familiarity_rows(familiarity: Familiarity | str) -> dict[str, object]:
    """What summary.json states."""
    if isinstance(familiarity, str):
        return {FIELD: None, f"no_{FIELD}": familiarity}
    return {FIELD: familiarity.to_json(), f"no_{FIELD}": ""}
