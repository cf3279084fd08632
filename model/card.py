"""The card of a model: what it is, what it was made from, what was measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from .network_config import OFFSET, SCALE, NetworkConfig
from .object_rules import ObjectRules

CARD_VERSION = 1
CROSS_VALIDATION, CROSS_VALIDATION_INT8 = "cross_validation", "cross_validation_int8"  # measures
COMMAND = "command"  # of `training` and of what was measured: what was typed to make it
INT8_MAY_LOSE = 0.005  # of the balanced accuracy of cells, for int8 to be taken unasked


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it was made from and what was measured.

    `classes[foreground]` is what maps show; `mpp` the µm per input pixel; `threshold` the
    probability above which a place counts as foreground. `limits`: where it is known to fail.
    `patients` are keyed hashes by split (see cohort.hashed_patient): enough to keep seen patients
    out of a test, not to name anyone.
    `objects`: how the foreground falls into objects, None where it is one expanse.
    `int8`: what computing in int8 takes, as int8.value_ranges gives it; empty where it is unknown.
    """

    name: str
    network: NetworkConfig
    classes: tuple[str, ...]
    foreground: int
    mpp: float
    threshold: float = 0.5
    intended_use: str = "Research use only. Not for diagnosis."
    data: str = ""
    licence: str = ""
    limits: str = ""
    cohort_digest: str = ""
    patient_salt: str = ""
    patients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    int8: Mapping[str, float] = field(default_factory=dict)
    objects: ObjectRules | None = None
    weights_digest: str = ""

    def __post_init__(self) -> None:
        if len(self.classes) != self.network.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f"{self.network.classes} output classes, but names for {', '.join(self.classes)}"
            )
        if not 0 <= self.foreground < len(self.classes):
            raise ValueError(
                f"foreground class {self.foreground} is not one of {len(self.classes)}"
            )
        if not 0.05 <= self.mpp <= 20 or not 0 < self.threshold < 1:
            raise ValueError(f"mpp {self.mpp:g} or threshold {self.threshold:g} out of range")

    @property
    def output_stride(self) -> int:
        return self.network.output_stride

    @property
    def int8_holds(self) -> bool:
        """Whether cross-validation gave cells the same balanced accuracy in int8, or nearly."""
        usual, int8 = (
            _balanced_accuracy(self.measures.get(name))
            for name in (CROSS_VALIDATION, CROSS_VALIDATION_INT8)
        )
        return bool(self.int8) and int8 >= usual - INT8_MAY_LOSE

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from the network, for who reads the card; in input pixels."""
        return {
            "output_stride": self.network.output_stride,
            "total_stride": self.network.total_stride,
            "receptive_radius": self.network.receptive_radius,
            "normalisation": {"scale": SCALE, "offset": OFFSET},
        }

    def to_json(self) -> str:
        """The card as text; equal cards give equal text."""
        values = {"version": CARD_VERSION, "derived": self.derived, **asdict(self)}
        if self.objects is None:
            del values["objects"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a card.

        Raises:
            ValueError: not a card, of a later version, or with values no card can have.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("version", None) != CARD_VERSION:
            raise ValueError(f"not a version {CARD_VERSION} model card")
        derived = values.pop("derived", None)
        if set(values) - {f.name for f in fields(cls)}:
            raise ValueError("the card has entries that this version does not know")
        for name, kind in _KINDS.items():
            if name in values and not isinstance(values[name], kind):
                raise ValueError(f"the card's {name} is of the wrong kind")
        try:
            network = NetworkConfig.from_dict(values.pop("network"))
            patients = {split: tuple(hashes) for split, hashes in values.pop("patients").items()}
            classes = tuple(str(name) for name in values.pop("classes"))
            if "objects" in values:
                values["objects"] = ObjectRules.from_dict(values["objects"])
            card = cls(network=network, patients=patients, classes=classes, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a card entry is missing or of the wrong kind: {error}") from error
        if derived != card.derived:
            raise ValueError("the card's stride, receptive field or normalisation is another's")
        return card


def _balanced_accuracy(measured: Any) -> float:
    """Of the cells in what evaluate.headline kept; NaN where there is none."""
    try:
        return float(measured["cells"]["balanced_accuracy"]["value"])
    except (KeyError, TypeError, ValueError):
        return float("nan")


_KINDS = {
    **dict.fromkeys(("name", "intended_use", "data", "licence", "limits"), str),
    **dict.fromkeys(("cohort_digest", "patient_salt", "weights_digest"), str),
    **dict.fromkeys(("network", "patients", "training", "measures", "calibration", "int8"), dict),
    "objects": dict,
    "classes": list,
    "foreground": int,
}
