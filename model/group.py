"""Figures of a group of slides, each with its interval from drawing patients again."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from . import histograms as h
from .areas import limit_of_agreement, log_ratio
from .boundary import TOLERANCES_UM
from .froc import RATES, Froc
from .measure import SlideMeasures
from .metrics import (
    CELL_MEASURES,
    PIXEL_MEASURES,
    Figure,
    Floats,
    PatientBootstrap,
    Statistic,
    auc,
    mean_of,
    of_counts,
    wins_of_histograms,
    wins_of_scores,
)
from .object_scores import OBJECT_MEASURES, of_objects

N = TypeVar("N", np.float64, np.int64)
Row = dict[str, object]
STEPS = np.linspace(0, 1, 101)  # of ROC and precision-recall curves
ALARMS = np.geomspace(1 / 8, 128, 41)  # false alarms a slide of FROC curves


class Group:
    """Slides gathered by patient, and the resamples that every figure shares.

    Figures are JSON values: value, low, high; `marked` ones say that they include seen patients.
    """

    def __init__(
        self, measures: Sequence[SlideMeasures], seed: int, resamples: int, *, marked: bool
    ) -> None:
        self._measures, self._marked = measures, marked
        self.patients = sorted({m.patient for m in measures})
        self._owner = np.array([self.patients.index(m.patient) for m in measures])
        self._bootstrap = PatientBootstrap.of(len(self.patients), seed, resamples)
        self._pixels = self._by_patient(np.stack([m.histogram for m in measures]))
        self._cells = self._by_patient(
            np.stack([h.histogram_of(m.cell_scores, m.cell_truth) for m in measures])
        )

    def pixels(self) -> Row:
        """All slides' labelled tissue together."""
        counts = self._by_patient(np.stack([m.counts for m in self._measures]))
        return {
            **{k: self._row(of_counts(f, counts)) for k, f in PIXEL_MEASURES.items()},
            "auc": self._row(auc(*wins_of_histograms(self._pixels))),
            "average_precision": self._row(h.of_histograms(h.average_precision, self._pixels)),
        }

    def cells(self) -> Row:
        """All slides' cells together; average precision from scores in thousandths."""
        counts = self._by_patient(np.stack([m.cell_counts for m in self._measures]))
        own = [[m for m in self._measures if m.patient == p] for p in self.patients]
        scores = [np.concatenate([m.cell_scores for m in slides]) for slides in own]
        truths = [np.concatenate([m.cell_truth for m in slides]) for slides in own]
        return {
            **{k: self._row(of_counts(f, counts)) for k, f in CELL_MEASURES.items()},
            "auc": self._row(auc(*wins_of_scores(scores, truths))),
            "average_precision": self._row(h.of_histograms(h.average_precision, self._cells)),
        }

    def per_slide(self) -> Row:
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
            **self._area_ratios(),
        }

    def _area_ratios(self) -> Row:
        """Model / expert: geometric mean and limits of agreement (Bland & Altman 1986)."""
        logs = [log_ratio(m) for m in self._measures]
        slides = self._by_patient(np.array([v is not None for v in logs], np.float64))
        powers = self._by_patient(np.array([[v or 0.0, (v or 0.0) ** 2] for v in logs]))
        mean = mean_of(powers[:, 0], slides)
        limits = {
            f"area_ratio_{name}_limit": self._row(limit_of_agreement(powers, slides, side))
            for name, side in (("lower", -1), ("upper", 1))
        }
        number = sum(v is not None for v in logs)
        return {"area_ratio": {**self._row(lambda w: np.exp(mean(w))), "n": number}, **limits}

    def lesions(self) -> Row:
        """What is found and what is called in vain at the threshold in use, and by FROC."""
        hits = [m.lesions.above(m.threshold) for m in self._measures]
        found, alarms = self._by_patient(np.array(hits, np.float64)).T
        froc = self._froc()
        sensitivity = self._bootstrap.figures(lambda w: froc.sensitivity(RATES, w))
        return {
            "sensitivity": self._row(mean_of(found, froc.lesions)),
            "false_alarms_per_slide": self._row(mean_of(alarms, froc.slides)),
            "froc": self._row(lambda w: froc.sensitivity(RATES, w).mean(axis=1)),
            **{
                f"sensitivity_at_{rate:g}": self._as_row(figure)
                for rate, figure in zip(RATES, sensitivity, strict=True)
            },
        }

    def objects(self) -> Row:
        """All slides' objects together; nothing where the foreground does not fall into objects."""
        each = [m.objects.array for m in self._measures if m.objects is not None]
        if len(each) < len(self._measures):
            return {}
        sums = self._by_patient(np.stack(each))
        return {k: self._row(of_objects(f, sums)) for k, f in OBJECT_MEASURES.items()}

    def reliability(self) -> Row:
        """Whether probabilities mean what they say: means over slides, and all pixels together."""
        each = np.stack([m.histogram for m in self._measures])
        row: Row = {}
        for name, measure in (("ece", h.expected_calibration_error), ("brier", h.brier)):
            values = [float(v) if np.isfinite(v) else None for v in measure(each)]
            row[name] = self._mean(values)
            row[f"pooled_{name}"] = self._row(h.of_histograms(measure, self._pixels))
        return row

    def curves(self) -> dict[str, object]:
        """What pictures are drawn of: `at` along one axis, figures along the other.

        `probabilities`: shares of tissue without tumour and with, by bins of probability.
        """
        froc, recalls = self._froc(), STEPS[1:]
        return {
            **{
                f"{name}_{what}": self._curve(at, h.of_histograms(measure, histograms))
                for name, histograms in (("pixels", self._pixels), ("cells", self._cells))
                for what, at, measure in (
                    ("roc", STEPS, h.found_at(STEPS)),
                    ("precision_recall", recalls, h.precision_at(recalls)),
                )
            },
            "froc": self._curve(ALARMS, lambda w: froc.sensitivity(ALARMS, w)),
            "reliability": self._curve(
                h.said_in_bins(self._pixels.sum(axis=0)),
                h.of_histograms(h.tumour_in_bins, self._pixels),
            ),
            "probabilities": h.shares_in_bins(self._pixels.sum(axis=0)).tolist(),
        }

    def _curve(self, at: Floats, statistic: Statistic) -> dict[str, object]:
        figures = self._bootstrap.figures(statistic)
        known = [(x, f) for x, f in zip(at.tolist(), figures, strict=True) if f.value is not None]
        return {
            "at": [x for x, _ in known],
            "value": [figure.value for _, figure in known],
            "low": [figure.low for _, figure in known],
            "high": [figure.high for _, figure in known],
        }

    def _froc(self) -> Froc:
        lesions = [m.lesions for m in self._measures]
        return Froc(
            slides=self._by_patient(np.ones(len(lesions))),
            lesions=self._by_patient(np.array([float(x.lesions) for x in lesions])),
            found=self._by_patient(np.stack([x.found for x in lesions])).astype(np.float64),
            false_alarms=self._by_patient(np.stack([x.false_alarms for x in lesions])).astype(
                np.float64
            ),
        )

    def _mean(self, values: Sequence[float | None]) -> Row:
        known = np.array([v is not None for v in values], np.float64)
        sums = self._by_patient(np.array([v or 0.0 for v in values]))
        return self._row(mean_of(sums, self._by_patient(known)))

    def _row(self, statistic: Statistic) -> Row:
        return self._as_row(self._bootstrap.figure(statistic))

    def _as_row(self, figure: Figure) -> Row:
        return {**figure.as_row(), **({"includes_seen": True} if self._marked else {})}

    def _by_patient(self, values: npt.NDArray[N]) -> npt.NDArray[N]:
        """[slides, ...] added up to [patients, ...]."""
        sums = np.zeros((len(self.patients), *values.shape[1:]), values.dtype)
        np.add.at(sums, self._owner, values)
        return sums
