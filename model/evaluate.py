"""From stored results to metrics.json: every slide measured, figures with intervals."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from annotations.errors import CohortError, ExtentError
from tiling.slide_files import slide_name

from .boundary import TOLERANCES_UM
from .cohort import Case
from .measure import Question, SlideMeasures, measure_slide
from .metrics import (
    CELL_MEASURES,
    CONFIDENCE,
    PIXEL_MEASURES,
    RESAMPLES,
    Figure,
    PatientBootstrap,
    Statistic,
    auc,
    mean_of,
    of_counts,
    wins_of_histograms,
    wins_of_scores,
)
from .selection import Selection

N = TypeVar("N", np.float64, np.int64)
SEEN_WARNING = (
    "Patients that the model was trained or tuned on are among those measured: every figure here "
    "is better than what other patients would give."
)


def measure_cases(
    cases: Sequence[Case],
    results: Path,
    question: Question,
    progress: Callable[[int, int], None] | None = None,
    failed: Callable[[Case, ExtentError], None] | None = None,
) -> list[SlideMeasures]:
    """Each case against the result in `results`/<slide name>; `progress` hears of slides.

    With `failed`, which hears of cases that cannot be measured, the others are measured.

    Raises:
        what measure_slide raises, where nobody hears of it.
    """
    measures = []
    for number, case in enumerate(cases, 1):
        try:
            measures.append(measure_slide(case, results / slide_name(case.slide), question))
        except ExtentError as error:
            if failed is None:
                raise
            failed(case, error)
        if progress:
            progress(number, len(cases))
    return measures


def summarise(
    measures: Sequence[SlideMeasures],
    *,
    cell_um: float,
    seed: int,
    selection: Selection | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, object]:
    """What metrics.json holds, JSON values only; a figure is value, low, high, or nulls.

    Figures of pixels and cells pool all slides; intervals come from drawing patients again.

    Raises:
        CohortError: there are no slides.
    """
    if not measures:
        raise CohortError("no slides to measure")
    seen = frozenset(selection.seen if selection else ())
    group = _Group(measures, seed, resamples, marked=bool(seen))
    thresholds = sorted({m.threshold for m in measures})
    return {
        "threshold": thresholds[0] if len(thresholds) == 1 else thresholds,
        "cell_um": cell_um,
        "n_slides": len(measures),
        "n_patients": len(group.patients),
        "n_pixels": int(sum(m.histogram.sum() for m in measures)),
        "n_cells": int(sum(len(m.cell_truth) for m in measures)),
        "interval": f"{CONFIDENCE:.0%}, percentiles of {resamples} resamples of patients",
        "seed": seed,
        "split": selection.split if selection else None,
        "left_out": list(selection.left_out) if selection else [],
        "seen": sorted(seen),
        "includes_seen": bool(seen),
        **({"warning": SEEN_WARNING} if seen else {}),
        "pixels": group.pixels(),
        "cells": group.cells(),
        "per_slide": group.per_slide(),
        "slides": [slide_row(m, seen) for m in measures],
    }


def slide_row(m: SlideMeasures, seen: Collection[str] = ()) -> dict[str, object]:
    """A slide's row in metrics.json; areas in mm² on labelled tissue but for `map_area_mm2`."""
    counts = m.counts
    values = {name: float(measure(counts)) for name, measure in PIXEL_MEASURES.items()}
    distances = {f"surface_dice_{um}_um": m.boundary.surface_dice[um] for um in TOLERANCES_UM}
    return {
        "slide": m.slide,
        "patient": m.patient,
        **{name: value if np.isfinite(value) else None for name, value in values.items()},
        "dice": m.dice,
        "tumour_area_mm2": m.tumour_area_mm2,
        "expert_area_mm2": m.expert_area_mm2,
        "false_positive_mm2": m.false_positive_mm2,
        "labelled_tissue_mm2": m.labelled_mm2,
        "map_area_mm2": m.map_area_mm2,
        "hd95_um": m.boundary.hd95_um,
        **distances,
        "n_cells": len(m.cell_truth),
        "threshold": m.threshold,
        "includes_seen": m.patient in seen,
    }


class _Group:
    """Slides gathered by patient, and the resamples that every figure shares."""

    def __init__(
        self, measures: Sequence[SlideMeasures], seed: int, resamples: int, *, marked: bool
    ) -> None:
        self._measures, self._marked = measures, marked
        self.patients = sorted({m.patient for m in measures})
        self._owner = np.array([self.patients.index(m.patient) for m in measures])
        self._bootstrap = PatientBootstrap.of(len(self.patients), seed, resamples)

    def pixels(self) -> dict[str, object]:
        counts = self._by_patient(np.stack([m.counts for m in self._measures]))
        histograms = self._by_patient(np.stack([m.histogram for m in self._measures]))
        rows = {k: self._row(of_counts(f, counts)) for k, f in PIXEL_MEASURES.items()}
        return {**rows, "auc": self._row(auc(*wins_of_histograms(histograms)))}

    def cells(self) -> dict[str, object]:
        counts = self._by_patient(np.stack([m.cell_counts for m in self._measures]))
        rows = {k: self._row(of_counts(f, counts)) for k, f in CELL_MEASURES.items()}
        own = [[m for m in self._measures if m.patient == p] for p in self.patients]
        scores = [np.concatenate([m.cell_scores for m in slides]) for slides in own]
        truths = [np.concatenate([m.cell_truth for m in slides]) for slides in own]
        return {**rows, "auc": self._row(auc(*wins_of_scores(scores, truths)))}

    def per_slide(self) -> dict[str, object]:
        """Means over slides, each slide counting alike; only slides where they are defined."""
        distances = {f"surface_dice_{um}_um": um for um in TOLERANCES_UM}
        return {
            "dice": self._mean([m.dice for m in self._measures]),
            "hd95_um": self._mean([m.boundary.hd95_um for m in self._measures]),
            **{
                name: self._mean([m.boundary.surface_dice[um] for m in self._measures])
                for name, um in distances.items()
            },
            "false_positive_mm2_without_tumour": self._mean(
                [m.false_positive_mm2 if m.dice is None else None for m in self._measures]
            ),
            "area_ratio": self._area_ratio(),
        }

    def _area_ratio(self) -> dict[str, object]:
        """Model / expert: geometric mean and limits of agreement (Bland & Altman 1986)."""
        logs = area_log_ratios(self._measures)
        known = np.array([v for v in logs if v is not None])
        row = self._mean(logs, np.exp)
        limits: list[float] | None = None
        if len(known) > 1:
            half = 1.96 * float(known.std(ddof=1))
            limits = [float(np.exp(known.mean() + sign * half)) for sign in (-1, 1)]
        return {**row, "limits_of_agreement": limits, "n": len(known)}

    def _mean(
        self,
        values: Sequence[float | None],
        shown: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] = np.asarray,
    ) -> dict[str, object]:
        known = np.array([v is not None for v in values])
        sums = self._by_patient(np.array([v or 0.0 for v in values]))
        statistic = mean_of(sums, self._by_patient(known.astype(np.float64)))
        return self._row(lambda weights: shown(statistic(weights)))

    def _row(self, statistic: Statistic) -> dict[str, object]:
        figure: Figure = self._bootstrap.figure(statistic)
        return {**figure.as_row(), **({"includes_seen": True} if self._marked else {})}

    def _by_patient(self, values: npt.NDArray[N]) -> npt.NDArray[N]:
        """[slides, ...] added up to [patients, ...]."""
        sums = np.zeros((len(self.patients), *values.shape[1:]), values.dtype)
        np.add.at(sums, self._owner, values)
        return sums


def area_log_ratios(measures: Sequence[SlideMeasures]) -> list[float | None]:
    """The logarithm of model / expert area, a value a slide; None where either sees no tumour."""
    pairs = [(m.tumour_area_mm2, m.expert_area_mm2) for m in measures]
    return [float(np.log(own / expert)) if own and expert else None for own, expert in pairs]


def headline(metrics: Mapping[str, object]) -> dict[str, object]:
    """What a model's card keeps of a metrics.json: whom it measured, pixels and cells.

    Raises:
        ValueError: it is no such thing.
    """
    kept = ("n_slides", "n_patients", "cell_um", "interval", "includes_seen", "pixels", "cells")
    missing = [name for name in kept if name not in metrics]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    return {name: metrics[name] for name in kept}
