"""How far an expert's tumour reaches, with a guarantee: contours by split conformal prediction.

Papadopoulos et al. 2002, Vovk et al. 2005; over patients, for slides of one patient resemble each
other. A contour is a set of the map's pixels, those with at least some stored value. Of a new
patient's slides, each with expert tumour Y: with probability of at least 1 - MISSED the outer
contour O holds (1 - slack) of Y, and with that of at least 1 - MISSED at most a share `slack` of
the inner contour I lies outside Y; so that (1 - slack) |I| <= |Y| <= |O| / (1 - slack) with
probability of at least 1 - 2 MISSED, provided that the patients are drawn alike.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np

from annotations.errors import CheckpointError

from .metrics import Histogram

MISSED = 0.10  # on either side
SLACK = 0.20
NOTHING = 256  # the least value of a contour that holds no pixel
NEVER_MEASURED = "how far outlines reach was never measured for this model"
Kind = Literal["guaranteed", "approximate"]


class Measured(Protocol):
    """What is known of a slide: see SlideMeasures."""

    @property
    def patient(self) -> str: ...

    @property
    def histogram(self) -> Histogram: ...


@dataclass(frozen=True)
class Contours:
    """Pixels of stored values from `outer` up make the outer contour, from `inner` up the inner.

    1 <= outer <= inner <= 256; from so many `patients`. "guaranteed": patients on whom nothing
    else was chosen; "approximate": maps by networks that never saw the patient, one a fold, where
    one network that saw them all makes the maps (cross-conformal prediction, Vovk 2015).
    """

    outer: int
    inner: int
    patients: int
    kind: Kind
    slack: float = SLACK
    missed: float = MISSED

    def __post_init__(self) -> None:
        if not (1 <= self.outer <= self.inner <= NOTHING and 0 <= self.slack < 1):
            raise ValueError("contours do not lie within each other")
        if self.kind not in ("guaranteed", "approximate") or not 0 < self.missed < 0.5:
            raise ValueError("contours of an unknown kind or level")

    @property
    def level(self) -> float:
        """How often the interval holds the expert's area, at least."""
        return round(1 - 2 * self.missed, 10)

    def around(self, threshold: float) -> "tuple[int, int]":
        """Least values (outer, inner) of contours that enclose what lies above a probability."""
        above = least_above(threshold)
        return min(self.outer, above), max(self.inner, above)

    def interval_mm2(self, outer_mm2: float, inner_mm2: float) -> tuple[float, float]:
        """What the expert's area lies within, from the areas of the contours."""
        return (1 - self.slack) * inner_mm2, outer_mm2 / (1 - self.slack)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises TypeError or ValueError: no contours."""
        return cls(**values)


def contours_in(calibration: Mapping[str, Any]) -> Contours | str:
    """What a card's calibration says of contours, or why it has none.

    Raises:
        CheckpointError: it makes no sense.
    """
    try:
        stated = calibration.get("contours")
        if stated is not None:
            return Contours.from_json(stated)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the card's contours make no sense: {error}") from error
    return str(calibration.get("no_contours") or NEVER_MEASURED)


def fewest_patients(missed: float = MISSED) -> int:
    """How many patients a guarantee takes."""
    return math.ceil(1 / missed - 1 - 1e-9)


def rank(count: int) -> int:
    """Which of so many patients' values is taken, the best being the first."""
    return math.ceil((count + 1) * (1 - MISSED) - 1e-9)


def least_above(threshold: float) -> int:
    """The least stored value v with v / 255 above a threshold."""
    return math.floor(threshold * 255) + 1


def too_few(patients: Collection[str]) -> str:
    """Why so many patients make no interval; empty where they do."""
    needed = fewest_patients()
    if len(patients) >= needed:
        return ""
    return f"{len(patients)} patients are too few for an interval, which takes {needed}"


def contours_of(
    measures: Sequence[Measured], threshold: float, kind: Kind, slack: float = SLACK
) -> Contours | str:
    """Contours from slides whose experts' outlines are known, or why there are none.

    Each patient counts once, as the worst of its slides. `threshold` is the probability that the
    prediction lies above: contours enclose it.
    """
    patients = sorted({m.patient for m in measures})
    if reason := too_few(patients):
        return reason
    count = len(patients)
    own = [[m.histogram for m in measures if m.patient == p] for p in patients]
    outer = sorted((min(outer_value(h, slack) for h in slides) for slides in own), reverse=True)
    inner = sorted(max(inner_value(h, slack) for h in slides) for slides in own)
    place, above = rank(count) - 1, least_above(threshold)
    if outer[place] < 1:
        return "on too many patients the map holds too little of the tumour at any threshold"
    return Contours(min(outer[place], above), max(inner[place], above), count, kind, slack)


def outer_value(histogram: Histogram, slack: float) -> int:
    """The largest value from which up pixels hold (1 - slack) of the tumour; 0-256.

    256 where there is no tumour to be held, 0 where only pixels of value 0 would make up for it.
    """
    tumour = histogram[1]
    held = np.append(tumour[::-1].cumsum()[::-1], 0)
    return int(np.flatnonzero(held >= (1 - slack) * tumour.sum() - 1e-9)[-1])


def inner_value(histogram: Histogram, slack: float) -> int:
    """The least value from which up, and from any value above it, few pixels are no tumour; 0-256.

    Few: at most a share `slack`; 256 where there always are more.
    """
    beside, all_pixels = (np.cumsum(h[::-1])[::-1] for h in (histogram[0], histogram.sum(axis=0)))
    failing = np.flatnonzero(beside > slack * all_pixels + 1e-9)
    return int(failing[-1]) + 1 if len(failing) else 0
