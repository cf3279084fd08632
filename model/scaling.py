"""Probabilities that mean what they say: logits scaled and shifted by maps of unseen patients.

Temperature scaling (Guo et al. 2017) with an offset (Platt 1999): training sees both classes alike
often, slides hold more tissue without tumour than with it.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from .metrics import Floats, Histogram, balanced_accuracy, counts_above, dice
from .network import Network

VALUES = np.arange(256) / 255
EDGE = 0.5 / 255  # a stored 0 or 1 is no certainty
TEMPERATURES, OFFSETS = (0.5, 4.0), (-3.0, 3.0)  # few slides may ask for anything


@dataclass(frozen=True)
class Scaling:
    """logit(p) becomes logit(p) / temperature + offset, for p of the foreground class."""

    temperature: float = 1.0
    offset: float = 0.0

    def on(self, probability: npt.ArrayLike) -> Floats:
        """Scaled probabilities, of the shape given."""
        p = np.clip(np.asarray(probability, np.float64), EDGE, 1 - EDGE)
        scaled: Floats = 1 / (1 + np.exp(-(np.log(p / (1 - p)) / self.temperature + self.offset)))
        return scaled

    def built_into(self, network: Network, foreground: int) -> Network:
        """A copy whose own probabilities are scaled so: a change of its last convolution."""
        copy = deepcopy(network)
        with torch.no_grad():
            copy.head.weight /= self.temperature
            assert copy.head.bias is not None
            copy.head.bias /= self.temperature
            copy.head.bias[foreground] += self.offset
        return copy

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def fitted(cls, histograms: Sequence[Histogram], classes: int) -> Self:
        """What makes the experts' labels likeliest; every slide counts alike.

        With more than two `classes` there is an offset alone: the temperature of the foreground's
        probability would not be that of the logits.
        """
        shares = np.stack([h / max(1, h.sum()) for h in histograms]).mean(axis=0)
        two = classes == 2

        def loss(parameters: Floats) -> float:
            p = cls(float(np.exp(parameters[0])) if two else 1.0, float(parameters[1])).on(VALUES)
            return float(-(shares[1] * np.log(p) + shares[0] * np.log1p(-p)).sum())

        bounds = [tuple(np.log(TEMPERATURES)), OFFSETS]
        found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=bounds).x
        return cls(round(float(np.exp(found[0])), 4) if two else 1.0, round(float(found[1]), 4))


def best_threshold(histograms: Sequence[Histogram]) -> float:
    """The probability above which a place is best called tumour, between two stored values.

    Pixels of all slides pooled: that of the largest sum of Dice and balanced accuracy, so that
    neither missed tumour nor false alarms are bought dearly.
    """
    pooled = np.sum(histograms, axis=0)
    cuts = (np.arange(255) + 0.5) / 255
    counts = np.stack([counts_above(pooled, cut) for cut in cuts])
    worth = np.nan_to_num(dice(counts)) + np.nan_to_num(balanced_accuracy(counts))
    return float(cuts[int(worth.argmax())])
