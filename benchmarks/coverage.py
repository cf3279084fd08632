"""How often intervals for the area hold: calibrated on some patients, looked at on the others.

    python -m benchmarks.coverage COHORT.csv FOLDS [--patients 9] [--splits 500] [--seed 0]
        [--markdown docs/results.md]

FOLDS is what `extent crossvalidate COHORT.csv --out FOLDS` wrote: a map of every slide by a network
that never saw its patient. Patients are split again and again; no network runs. Beside what was
found stands the law that it should follow (Vovk 2012): the coverage of one calibration on n
patients is drawn from Beta(k, n + 1 - k), k the rank that is taken.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy import stats

from benchmarks.tables import Table, put_section
from model.cohort import read_cohort
from model.config import TrainConfig
from model.conformal import MISSED, Contours, contours_of, rank
from model.evaluate import measure_cases
from model.measure import Question, SlideMeasures


@dataclass(frozen=True)
class Held:
    """Of the patients of one split that were not calibrated on: the share whose slides all hold.

    `width`: the median of (high - low) / the expert's area over their slides with tumour.
    """

    outer: float
    inner: float
    interval: float
    width: float


def held_by(contours: Contours, measures: Sequence[SlideMeasures]) -> Held:
    """What contours promise, on slides that they were not made from."""
    rows, widths = {}, []
    for m in measures:
        pixels, tumour = m.histogram.sum(axis=0), m.histogram[1]
        outside = tumour[: contours.outer].sum() <= contours.slack * tumour.sum() + 1e-9
        within, beside = pixels[contours.inner :].sum(), m.histogram[0, contours.inner :].sum()
        low, high = contours.interval_mm2(pixels[contours.outer :].sum(), within)
        found = (outside, beside <= contours.slack * within + 1e-9, low <= tumour.sum() <= high)
        rows[m.patient] = np.array(found) & rows.get(m.patient, np.array(True))
        if tumour.any():
            widths.append((high - low) / tumour.sum())
    outer, inner, interval = np.mean(list(rows.values()), axis=0)
    return Held(float(outer), float(inner), float(interval), float(np.median(widths)))


def resplit(
    measures: Sequence[SlideMeasures], threshold: float, count: int, splits: int, seed: int
) -> list[Held]:
    """Calibrate on `count` patients drawn anew each time; splits without contours are left out."""
    rng, patients = np.random.default_rng(seed), sorted({m.patient for m in measures})
    found = []
    for _ in range(splits):
        chosen = set(rng.permutation(patients)[:count])
        contours = contours_of(
            [m for m in measures if m.patient in chosen], threshold, "guaranteed"
        )
        if isinstance(contours, Contours):
            found.append(held_by(contours, [m for m in measures if m.patient not in chosen]))
    return found


def table_of(found: Sequence[Held], count: int, others: int) -> Table:
    taken = rank(count)
    # Of few others, shares scatter beside the law of the coverage itself
    law = stats.betabinom(others, taken, count + 1 - taken)
    rows = []
    for name, least, expected in (
        ("outer contour holds", 1 - MISSED, f"{law.mean() / others:.3f}"),
        ("inner contour holds", 1 - MISSED, f"{law.mean() / others:.3f}"),
        ("interval holds", 1 - 2 * MISSED, ""),
    ):
        values = np.array([getattr(each, name.split()[0]) for each in found])
        low, high = np.percentile(values, [5, 95])
        rows.append(
            [name, f"{values.mean():.3f}", f"{low:.2f} to {high:.2f}", expected, f"≥ {least:.2f}"]
        )
    widths = [each.width for each in found]
    note = (
        f"{len(found)} splits into {count} patients to calibrate on and {others} others. By the "
        f"law, 90 % of splits lie within {law.ppf(0.05) / others:.2f} and "
        f"{law.ppf(0.95) / others:.2f} for either contour. Median width of the interval / the "
        f"expert's area: {np.median(widths):.2f}."
    )
    return Table(
        "How often intervals hold", ("", "mean", "90 % of splits", "law", "promised"), rows, [note]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--patients", type=int, default=9)
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    config = TrainConfig()
    question = Question(config.classes, config.foreground, config.labels)
    measures = measure_cases(read_cohort(asked.cohort).cases, asked.folds / "maps", question)
    threshold = float(np.median([m.threshold for m in measures]))
    others = len({m.patient for m in measures}) - asked.patients
    found = resplit(measures, threshold, asked.patients, asked.splits, asked.seed)
    table = table_of(found, asked.patients, others)
    table.show(Console())
    if asked.markdown:
        put_section(asked.markdown, "coverage", table.markdown())


if __name__ == "__main__":
    main()
