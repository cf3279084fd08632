"""Tumour areas beside the expert's: how far they agree, and how often an interval held."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .area_interval import AreaInterval
from .metrics import Floats, Statistic, ratio

LIMIT = 1.96  # standard deviations that hold 95 % of slides


class Areas(Protocol):
    """What is known of a slide: see SlideMeasures."""

    @property
    def patient(self) -> str: ...

    @property
    def tumour_area_mm2(self) -> float: ...

    @property
    def expert_area_mm2(self) -> float: ...

    @property
    def area_interval(self) -> AreaInterval | None: ...


def log_ratio(slide: Areas) -> float | None:
    """The logarithm of model / expert area; None where either sees no tumour."""
    own, expert = slide.tumour_area_mm2, slide.expert_area_mm2
    return float(np.log(own / expert)) if own and expert else None


def limit_of_agreement(logs: Floats, slides: Floats, side: int) -> Statistic:
    """Where the ratios of 95 % of slides end (Bland & Altman 1986), below (-1) or above (1).

    `logs` [P, 2]: log ratios and their squares, added up over a patient's `slides` [P].
    """

    def statistic(weights: Floats) -> Floats:
        number = weights @ slides
        mean, squares = np.moveaxis(ratio(weights @ logs, number[:, None].repeat(2, 1)), -1, 0)
        spread = ratio(np.maximum(squares - mean**2, 0) * number, number - 1)
        limit: Floats = np.exp(mean + side * LIMIT * np.sqrt(spread))
        return limit

    return statistic


def interval_rows(slides: Sequence[Areas]) -> list[dict[str, object]]:
    """How often the expert's area lay within the stated interval: a row a kind of promise.

    A patient counts as held when all slides are. `relative_width`: the median of high - low as a
    share of the expert's area, over slides with tumour.
    """
    stated = [(s, s.area_interval) for s in slides if s.area_interval]
    rows: list[dict[str, object]] = []
    for kind, level in sorted({(i.kind, i.level) for _, i in stated}):
        own = [(s, i) for s, i in stated if (i.kind, i.level) == (kind, level)]
        missed = [s.patient for s, i in own if not i.holds(s.expert_area_mm2)]
        patients = {s.patient for s, _ in own}
        widths = [(i.high - i.low) / s.expert_area_mm2 for s, i in own if s.expert_area_mm2]
        rows.append(
            {
                "kind": kind,
                "level": level,
                "slides": len(own),
                "slides_within": len(own) - len(missed),
                "patients": len(patients),
                "patients_within": len(patients - set(missed)),
                "relative_width": float(np.median(widths)) if widths else None,
            }
        )
    return rows
