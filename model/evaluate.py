"""From stored results to metrics.json: every slide measured, figures with intervals."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annotations.errors import CohortError, ExtentError
from tiling.slide_files import slide_name

from .areas import interval_rows
from .boundary import TOLERANCES_UM
from .card import COMMAND
from .cohort import Case
from .group import Group
from .histograms import brier, expected_calibration_error
from .measure import Question, SlideMeasures, measure_slide
from .metrics import CONFIDENCE, PIXEL_MEASURES, RESAMPLES
from .object_scores import OBJECT_MEASURES, ObjectSums
from .selection import Selection

HEADLINE = (
    *("n_slides", "n_patients", "cell_um", "interval", "includes_seen"),
    *("pixels", "cells", "reliability", "curves"),
)
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

    Figures of pixels, cells and lesions pool all slides; intervals come from drawing patients
    again. `curves` holds what the report's pictures show, in lists beside one another.

    Raises:
        CohortError: there are no slides.
    """
    if not measures:
        raise CohortError("no slides to measure")
    seen = frozenset(selection.seen if selection else ())
    group = Group(measures, seed, resamples, marked=bool(seen))
    objects = group.objects()
    thresholds = sorted({m.threshold for m in measures})
    return {
        "threshold": thresholds[0] if len(thresholds) == 1 else thresholds,
        "cell_um": cell_um,
        "n_slides": len(measures),
        "n_patients": len(group.patients),
        "n_pixels": int(sum(m.histogram.sum() for m in measures)),
        "n_cells": int(sum(len(m.cell_truth) for m in measures)),
        "n_lesions": sum(m.lesions.lesions for m in measures),
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
        "lesions": group.lesions(),
        **({"objects": objects} if objects else {}),
        "reliability": group.reliability(),
        "area_intervals": interval_rows(measures),
        "curves": group.curves(),
        "slides": [slide_row(m, seen) for m in measures],
    }


def slide_row(m: SlideMeasures, seen: Collection[str] = ()) -> dict[str, object]:
    """A slide's row in metrics.json; areas in mm² on labelled tissue but for `map_area_mm2`."""
    counts = m.counts
    values = {name: float(measure(counts)) for name, measure in PIXEL_MEASURES.items()}
    values["ece"] = float(expected_calibration_error(m.histogram))
    values["brier"] = float(brier(m.histogram))
    found, false_alarms = m.lesions.above(m.threshold)
    interval = m.area_interval
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
        "n_lesions": m.lesions.lesions,
        "lesions_found": found,
        "false_alarms": false_alarms,
        "area_interval_mm2": [interval.low, interval.high] if interval else None,
        "n_cells": len(m.cell_truth),
        **(_object_row(m.objects) if m.objects else {}),
        "threshold": m.threshold,
        "includes_seen": m.patient in seen,
    }


def _object_row(sums: ObjectSums) -> dict[str, object]:
    values = {name: float(measure(sums)) for name, measure in OBJECT_MEASURES.items()}
    return {
        "n_objects": int(sums.expert),
        "n_objects_found": int(sums.said),
        **{f"object_{k}": v if np.isfinite(v) else None for k, v in values.items()},
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a model's card keeps of a metrics.json: whom it measured, how, and the main figures.

    Raises:
        ValueError: it is no such thing.
    """
    missing = [name for name in HEADLINE if name not in metrics]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    kept = {name: metrics[name] for name in (*HEADLINE[:-1], COMMAND, "objects") if name in metrics}
    curve: Mapping[str, Sequence[float | None]] = metrics["curves"]["reliability"]
    rounded = {
        part: [None if value is None else round(value, 4) for value in values]
        for part, values in curve.items()
    }
    return {**kept, "reliability_curve": rounded}
