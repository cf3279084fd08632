"""What maps of patients that a model never saw teach about its probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotations.errors import CheckpointError

from .checkpoint import Checkpoint, ModelCard, load_checkpoint, save_checkpoint
from .conformal import NEVER_MEASURED, Contours, Kind, contours_in, contours_of
from .familiarity import FIELD
from .known_looks import NEVER_MEASURED as NEVER_LOOKED_AT
from .known_looks import KnownLooks, known_looks_in
from .measure import Question, SlideMeasures
from .scaling import Scaling, best_threshold

OF_OBJECTS = "outlines are tidied up into objects here, and intervals are for maps as they are"
NEUTRAL = 0.5  # the threshold where nothing speaks for another


@dataclass(frozen=True)
class Calibration:
    """How a network's probabilities were scaled, what counts as tumour, how far it may reach.

    `threshold` is a scaled probability. Without `contours`, `no_contours` says why. `known`: what
    the slides looked like that it was all measured on, or why nothing is known of them.
    """

    scaling: Scaling
    threshold: float
    contours: Contours | None = None
    no_contours: str = NEVER_MEASURED
    known: KnownLooks | str = NEVER_LOOKED_AT

    @classmethod
    def of_maps(cls, measures: Sequence[SlideMeasures], question: Question) -> Self:
        """From maps of a network that was not scaled yet; neutral where they tell nothing."""
        histograms = [m.histogram for m in measures if m.histogram.any()]
        if not all(np.sum(histograms, axis=(0, 2)) if histograms else [0]):
            return cls(Scaling(), NEUTRAL)
        scaling = Scaling.fitted(histograms, len(question.classes))
        return cls(scaling, round(float(scaling.on(best_threshold(histograms))), 4))

    def with_contours(self, measures: Sequence[SlideMeasures], kind: Kind) -> Self:
        """The same with contours by maps that were made with this scaling, or one much like it.

        They are for slides that look like these.
        """
        objects = any(m.objects is not None for m in measures)
        found = OF_OBJECTS if objects else contours_of(measures, self.threshold, kind)
        known = KnownLooks.of(measures)
        if isinstance(found, str):
            return replace(self, contours=None, no_contours=found, known=known)
        return replace(self, contours=found, no_contours="", known=known)

    def applied(self, model: Path, to: Path) -> Checkpoint:
        """Write a copy of an unscaled model that is calibrated so.

        Raises:
            CheckpointError: the model is not usable.
        """
        found = load_checkpoint(model)
        network = self.scaling.built_into(found.network, found.card.foreground)
        return save_checkpoint(to, self.on(found.card), network)

    def on(self, card: ModelCard) -> ModelCard:
        """The card of a model that is calibrated so."""
        return replace(card, threshold=self.threshold, calibration=self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "scaling": self.scaling.to_json(),
            "threshold": self.threshold,
            "contours": self.contours.to_json() if self.contours else None,
            "no_contours": self.no_contours,
            FIELD: None if isinstance(self.known, str) else self.known.to_json(),
            f"no_{FIELD}": self.known if isinstance(self.known, str) else "",
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises ValueError: it is no such thing."""
        try:
            scaling, threshold = Scaling(**values["scaling"]), float(values["threshold"])
            found = cls(scaling, threshold, known=known_looks_in(values))
            contours = contours_in(values)
        except (KeyError, TypeError, CheckpointError) as error:
            raise ValueError(f"no calibration: {error!r}") from error
        if isinstance(contours, str):
            return replace(found, no_contours=contours)
        return replace(found, contours=contours, no_contours="")

    @classmethod
    def of_card(cls, card: ModelCard) -> Self:
        """What a model's card says; the neutral one where it says nothing.

        Raises:
            CheckpointError: what it says makes no sense.
        """
        if not card.calibration:
            return cls(Scaling(), card.threshold)
        try:
            return cls.from_json(card.calibration)
        except ValueError as error:
            raise CheckpointError(f"{card.name}: its card's calibration: {error}") from error
