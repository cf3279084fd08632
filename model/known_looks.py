"""Whether a slide looks like those that a model was measured on: a conformal rank among patients.

Every slide is some numbers (see Appearance), every patient as strange as they are far from those
of all others. A new slide joins them as one patient more: were it drawn like them, it would be the
strangest of n + 1 with a probability of at most 1 / (n + 1) (full conformal prediction, Vovk et
al. 2005).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from annotations.errors import CheckpointError
from tiling.appearance import Appearance

from .conformal import fewest_patients
from .familiarity import FIELD, Familiarity
from .strangeness import Numbers, spreads_off, strangeness

NEVER_MEASURED = "what slides usually look like was never measured for this model"
UNLIKE = 0.05  # of patients like those known are called unlike them; the strangest always is
FAR = 6.0  # spreads from the median


class Measured(Protocol):
    """What is known of a slide: see SlideMeasures."""

    @property
    def patient(self) -> str: ...

    @property
    def appearance(self) -> Appearance | None: ...


@dataclass(frozen=True)
class KnownLooks:
    """What slides of known patients look like; a tuple a patient, whose order says nothing."""

    patients: tuple[tuple[Appearance, ...], ...]

    def __post_init__(self) -> None:
        if len(self.patients) < fewest_patients() or not all(self.patients):
            raise ValueError("too few patients, or one without slides")

    def judge(self, look: Appearance) -> Familiarity:
        """Compare one more slide with those that are known."""
        known, new = [_numbers(slides) for slides in self.patients], _numbers([look])
        scores = strangeness([*known, new])
        as_strange, count = int((scores >= scores[-1]).sum()), len(scores)
        unlike = as_strange <= max(1, UNLIKE * count)
        return Familiarity(
            verdict="unlike" if unlike else "like",
            p_value=as_strange / count,
            score=round(float(scores[-1]), 3),
            patients=len(known),
            reason=self._difference(np.concatenate(known), new[0]) if unlike else "",
        )

    def _difference(self, known: Numbers, own: Numbers) -> str:
        """The one or two things in which a slide differs most."""
        off = spreads_off(own[None], known)[0]
        low, high = known.min(axis=0), known.max(axis=0)
        beyond = np.where((own < low) | (own > high), np.abs(off), -1.0)  # NaN: neither
        worst = [i for i in np.argsort(-beyond)[:2] if beyond[i] > 0]
        said = [_WORDS[i].said(own[i], (low[i], high[i]), off[i]) for i in worst]
        beside = f"beside the slides of {len(self.patients)} known patients"
        if not said:
            return (
                f"{beside}, it is unusual in several ways at once, though in none beyond them all"
            )
        return f"{beside}, {' and '.join(said)}"

    def to_json(self) -> list[list[dict[str, float | None]]]:
        return [[slide.to_json() for slide in slides] for slides in self.patients]

    @classmethod
    def of(cls, measures: Sequence[Measured]) -> "KnownLooks | str":
        """From measured slides, or why they are too few."""
        looks: dict[str, list[Appearance]] = {}
        for m in measures:
            if m.appearance is not None:
                looks.setdefault(m.patient, []).append(m.appearance)
        if len(looks) < (needed := fewest_patients()):
            return f"{len(looks)} patients are too few to say what is usual, which takes {needed}"
        patients = (tuple(sorted(slides, key=repr)) for slides in looks.values())
        return cls(tuple(sorted(patients, key=repr)))


def known_looks_in(calibration: Mapping[str, Any]) -> KnownLooks | str:
    """What a card's calibration says of known slides, or why it says nothing.

    Raises:
        CheckpointError: it makes no sense.
    """
    stated = calibration.get(FIELD)
    if not stated:
        return str(calibration.get(f"no_{FIELD}") or NEVER_MEASURED)
    try:
        return KnownLooks(tuple(tuple(map(Appearance.from_json, slides)) for slides in stated))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the card's known slides make no sense: {error!r}") from error


def _numbers(slides: Sequence[Appearance]) -> Numbers:
    """Logarithms, for a stain may be twice as dense or half."""
    rows = [[np.nan if v is None else v for v in slide.to_json().values()] for slide in slides]
    return np.log(np.array(rows))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Words:
    """How a number of an appearance is spoken of when it is low or high, and what it is."""

    low: str
    high: str
    name: str

    def said(self, own: float, known: tuple[float, float], off: float) -> str:
        """Of a number and the range of those known, logarithms, so many spreads off the median."""
        degree = "far " if abs(off) > FAR else ""
        words = (self.high if off > 0 else self.low).format(degree)
        value, least, most = np.exp((own, *known))
        return f"{words} ({self.name} {value:.2g}; theirs {least:.2g} to {most:.2g})"


_WORDS = (
    _Words("its stain is {}paler", "its stain is {}darker", "median optical density"),
    _Words(
        "its stain varies {}less", "its stain varies {}more", "interquartile range of the density"
    ),
    _Words("its stain is {}redder", "its stain is {}bluer", "density to red over that to green"),
    _Words(
        "its stain is {}more violet",
        "its stain is {}more yellow",
        "density to blue over that to green",
    ),
    _Words("it is {}more blurred", "it is {}sharper or grainier", "fine over coarser detail"),
)
