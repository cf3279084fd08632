"""Measures of agreement: from counts, from histograms, from scores; patients as the unit.

Arrays of counts are float64 [..., 4]: true positives, false positives, false negatives, true
negatives. Every measure lies within 0 and 1. One that is not defined (0 / 0) is NaN in arrays and
None, JSON's null, in a Figure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = Floats  # [..., 4]: tp, fp, fn, tn
Histogram = npt.NDArray[np.int64]  # [2, 256]: pixels of each stored value; row 1 is tumour
Statistic = Callable[[Floats], Floats]  # weights [R, patients] -> values [R]

RESAMPLES = 2000
CONFIDENCE = 0.95


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element by element; NaN where the denominator is 0."""
    out = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
    return out


def dice(counts: Counts) -> Floats:
    """2 TP / (2 TP + FP + FN), which is also F1; undefined where nobody sees any tumour."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(2 * tp, 2 * tp + fp + fn)


def precision(counts: Counts) -> Floats:
    """TP / (TP + FP): of what was called tumour, the share that is (PPV)."""
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp)


def recall(counts: Counts) -> Floats:
    """TP / (TP + FN): of the tumour, the share that was found (TPR, sensitivity)."""
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fn)


def specificity(counts: Counts) -> Floats:
    """TN / (TN + FP): of what is no tumour, the share that was left alone (TNR)."""
    _, fp, _, tn = np.moveaxis(counts, -1, 0)
    return ratio(tn, tn + fp)


def npv(counts: Counts) -> Floats:
    """TN / (TN + FN): of what was called no tumour, the share that is none."""
    _, _, fn, tn = np.moveaxis(counts, -1, 0)
    return ratio(tn, tn + fn)


def accuracy(counts: Counts) -> Floats:
    """(TP + TN) / all."""
    return ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1))


def balanced_accuracy(counts: Counts) -> Floats:
    """The mean of recall and specificity."""
    return 0.5 * (recall(counts) + specificity(counts))


PIXEL_MEASURES: Mapping[str, Callable[[Counts], Floats]] = {
    "dice": dice,
    "precision": precision,
    "recall": recall,
    "specificity": specificity,
    "accuracy": accuracy,
    "npv": npv,
}
CELL_MEASURES: Mapping[str, Callable[[Counts], Floats]] = {
    "f1": dice,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "specificity": specificity,
}


def counts_of(truth: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]) -> Counts:
    """The four counts of two bool arrays of one shape; float64 [4]."""
    both = np.bincount(2 * truth.ravel().astype(np.int64) + said.ravel(), minlength=4)
    tn, fp, fn, tp = both
    return np.array([tp, fp, fn, tn], np.float64)


def counts_above(histogram: Histogram, threshold: float) -> Counts:
    """The four counts when a stored value v means tumour if v / 255 > threshold; float64 [4]."""
    above = np.arange(256) / 255 > threshold
    fp, tp = histogram[:, above].sum(axis=1)
    tn, fn = histogram[:, ~above].sum(axis=1)
    return np.array([tp, fp, fn, tn], np.float64)


def wins_of_scores(
    scores: Sequence[Floats], truths: Sequence[npt.NDArray[np.bool_]]
) -> tuple[Floats, Floats, Floats]:
    """What the AUC of any mixture of patients is made of.

    `scores[p]`, `truths[p]`: what patient p has, 1-d. Returns wins [P, P], how often a positive of
    the first patient scores above a negative of the second (a tie is half a win: Mann & Whitney
    1947), and the numbers of positives and of negatives [P].
    """
    positives = [s[t] for s, t in zip(scores, truths, strict=True)]
    negatives = [np.sort(s[~t]) for s, t in zip(scores, truths, strict=True)]
    sizes = [len(p) for p in positives]
    owner, pooled = (
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate([*positives, [0.0]])[:-1],
    )
    wins = np.zeros((len(sizes), len(sizes)))
    for j, lower in enumerate(negatives):
        below = np.searchsorted(lower, pooled, "left") + np.searchsorted(lower, pooled, "right")
        wins[:, j] = np.bincount(owner, below / 2, len(sizes))
    return wins, np.array(sizes, np.float64), np.array([len(n) for n in negatives], np.float64)


def wins_of_histograms(histograms: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """The same from histograms of stored values; int64 [P, 2, 256]."""
    negatives, positives = np.moveaxis(histograms.astype(np.float64), 1, 0)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    return positives @ below.T, positives.sum(axis=1), negatives.sum(axis=1)


def auc(wins: Floats, positives: Floats, negatives: Floats) -> Statistic:
    """The area under the ROC curve of weighted patients, from what `wins_of_...` gives."""

    def statistic(weights: Floats) -> Floats:
        won = (weights @ wins * weights).sum(axis=1)
        return np.minimum(ratio(won, (weights @ positives) * (weights @ negatives)), 1.0)

    return statistic


def of_counts(measure: Callable[[Counts], Floats], counts: Counts) -> Statistic:
    """A measure of the pooled counts of weighted patients; counts float64 [P, 4]."""
    return lambda weights: measure(weights @ counts)


def mean_of(sums: Floats, numbers: Floats) -> Statistic:
    """The mean over slides of weighted patients: `numbers` [P] of them that add up to `sums`."""
    return lambda weights: ratio(weights @ sums, weights @ numbers)


@dataclass(frozen=True)
class Figure:
    """A value with its interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_row(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.value is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True)
class PatientBootstrap:
    """Intervals by drawing patients with replacement (Efron & Tibshirani 1993, percentiles).

    Patients, because pixels, cells and slides of one patient resemble each other.
    `weights` [R, P]: how often each resample holds each patient.
    """

    weights: Floats

    @classmethod
    def of(cls, patients: int, seed: int, resamples: int = RESAMPLES) -> "PatientBootstrap":
        """Equal arguments give equal resamples."""
        drawn = np.random.default_rng(seed).integers(patients, size=(resamples, patients))
        drawn += np.arange(resamples)[:, None] * patients
        counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
        return cls(counts.reshape(resamples, patients).astype(np.float64))

    def figure(self, statistic: Statistic) -> Figure:
        """The statistic of all patients with its 95 % interval.

        Resamples in which it is not defined do not count. The interval is widened to hold the
        value, which percentiles need not. None for a single patient, who tells nothing of others.
        """
        return self.figures(lambda weights: statistic(weights)[:, None])[0]

    def figures(self, statistic: Statistic) -> list[Figure]:
        """The same for a statistic with n values for each row of weights, [R, n]."""
        patients = self.weights.shape[1]
        values, drawn = statistic(np.ones((1, patients)))[0], statistic(self.weights)
        return [
            _figure(value, alike if patients > 1 else alike[:0])
            for value, alike in zip(values.tolist(), drawn.T, strict=True)
        ]


def _figure(value: float, drawn: Floats) -> Figure:
    """A value among those that resamples gave [R]."""
    if not np.isfinite(value):
        return Figure(None)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Figure(value)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Figure(value, min(float(low), value), max(float(high), value))
