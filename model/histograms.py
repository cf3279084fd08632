"""Measures from histograms of scores: [..., 2, n], a number a score, row 1 what is tumour.

Undefined ones (0 / 0) are NaN.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .metrics import Floats, Statistic, ratio

BINS = 15  # of equal width, as Guo et al. 2017 have it
LEVELS = 1001  # of scores counted in thousandths
_PROBABILITY = np.arange(256) / 255
_BIN = np.maximum(np.arange(256) - 1, 0) // 17  # a value on the border lies in the lower bin


def levels_of(scores: Floats) -> npt.NDArray[np.int64]:
    """Scores (0-1) in thousandths, of the shape given."""
    return np.rint(scores * (LEVELS - 1)).astype(np.int64)


def histogram_of(scores: Floats, truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Scores [n] (0-1) and what is tumour [n], counted in thousandths; int64 [2, LEVELS]."""
    flat = np.bincount(levels_of(scores) + LEVELS * truth, minlength=2 * LEVELS)
    return flat.reshape(2, LEVELS)


def average_precision(histograms: npt.ArrayLike) -> Floats:
    """The area under the steps of precision over recall; undefined without tumour."""
    falling = np.asarray(histograms, np.float64)[..., ::-1]
    positives = falling[..., 1, :]
    true, called = positives.cumsum(axis=-1), falling.sum(axis=-2).cumsum(axis=-1)
    won = (positives * np.nan_to_num(ratio(true, called))).sum(axis=-1)
    return np.minimum(ratio(won, true[..., -1]), 1.0)


def expected_calibration_error(histograms: npt.ArrayLike) -> Floats:
    """How far probabilities lie from the share of tumour, on average over pixels (ECE).

    Naeini et al. 2015: within each of BINS bins of stored values, the mean probability against
    the share of tumour. Histograms of stored values, [..., 2, 256].
    """
    pixels, said, tumour = _binned(histograms)
    return ratio(np.abs(said - tumour).sum(axis=-1), pixels.sum(axis=-1))


def brier(histograms: npt.ArrayLike) -> Floats:
    """The mean squared difference between probability and truth, 0 or 1 (Brier 1950).

    Histograms of stored values, [..., 2, 256].
    """
    counts = np.asarray(histograms, np.float64)
    wrong = counts[..., 0, :] @ _PROBABILITY**2 + counts[..., 1, :] @ (1 - _PROBABILITY) ** 2
    return ratio(wrong, counts.sum(axis=(-2, -1)))


def said_in_bins(histograms: npt.ArrayLike) -> Floats:
    """The mean probability in each bin of stored values, [..., BINS]."""
    pixels, said, _ = _binned(histograms)
    return ratio(said, pixels)


def tumour_in_bins(histograms: npt.ArrayLike) -> Floats:
    """The share of tumour in each bin of stored values, [..., BINS]."""
    pixels, _, tumour = _binned(histograms)
    return ratio(tumour, pixels)


def shares_in_bins(histograms: npt.ArrayLike) -> Floats:
    """The share of all pixels that lie in each bin of stored values, [..., 2, BINS]; or 0."""
    pixels, _, tumour = _binned(histograms)
    split = np.stack([pixels - tumour, tumour], axis=-2)
    shares: Floats = split / np.maximum(split.sum(axis=(-2, -1), keepdims=True), 1)
    return shares


def _binned(histograms: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Pixels, their probabilities added up, and those that are tumour: [..., BINS] each."""
    counts = np.asarray(histograms, np.float64)
    into = (_BIN[:, None] == np.arange(BINS)).astype(np.float64)
    pixels = counts.sum(axis=-2)
    return pixels @ into, (pixels * _PROBABILITY) @ into, counts[..., 1, :] @ into


def of_histograms(measure: Callable[[Floats], Floats], histograms: npt.ArrayLike) -> Statistic:
    """A measure of the pooled histograms of weighted patients; histograms [P, 2, n]."""
    counts = np.asarray(histograms, np.float64)
    return lambda weights: measure(np.tensordot(weights, counts, 1))


def found_at(false_alarms: Floats) -> Callable[[Floats], Floats]:
    """The ROC curve: the share of tumour found where so many (0-1) of the others are called so."""

    def measure(histograms: Floats) -> Floats:
        others, tumour = _falling(histograms)
        rows = [
            np.interp(false_alarms * o[-1], o, t) / t[-1]
            if o[-1] and t[-1]
            else np.full(len(false_alarms), np.nan)
            for o, t in zip(others, tumour, strict=True)
        ]
        return np.stack(rows)

    return measure


def precision_at(recalls: Floats) -> Callable[[Floats], Floats]:
    """The curve of precision where such shares (above 0, to 1) of the tumour are found.

    Counts between two scores in a straight line (Davis & Goadrich 2006).
    """

    def measure(histograms: Floats) -> Floats:
        others, tumour = _falling(histograms)
        rows = []
        for o, t in zip(others, tumour, strict=True):
            true = recalls * t[-1]
            # Both ways round: where found tumour stays the same, the fewest false alarms count.
            false = np.interp(-true, -t[::-1], o[::-1])
            rows.append(ratio(true, true + false) if t[-1] else np.full(len(recalls), np.nan))
        return np.stack(rows)

    return measure


def _falling(histograms: Floats) -> tuple[Floats, Floats]:
    """Others and tumour called so as the threshold falls, from none to all: [R, n + 1] each."""
    cumulated = np.pad(histograms[..., ::-1].cumsum(axis=-1), ((0, 0), (0, 0), (1, 0)))
    return cumulated[:, 0], cumulated[:, 1]
