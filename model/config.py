"""How to train: frozen settings, read from TOML, kept in the card."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from annotations.errors import UsageError
from annotations.labels import LabelRules
from annotations.outline import TUMOUR

from .augment import Augmentation
from .losses import LOSSES
from .network_config import NetworkConfig
from .object_rules import ObjectRules
from .shipped import SHIPPED_CONFIGS as SHIPPED_CONFIGS

BACKGROUND, BOUNDARY = "background", "boundary"
WORDS = ("intended_use", "data", "licence", "limits")  # for the card; they train nothing


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what comes out of training, but for the cohort and the seed.

    `mpp`: µm per input pixel. `classes`: output classes; the first is what no outline claims,
    `foreground` the one that maps show. `crop`: side of a training crop in input pixels.
    `epoch_crops`: crops in an epoch. `losses`: weights by name (see losses.LOSSES).
    `ignore_band_um`: half-width of the band along outlines that training does not look at.
    `patience`: epochs without a better validation loss before it stops; 0 never stops early.
    `average_decay`: of the running average of weights that is kept as the model.
    `limits`: where the model is known to fail; with the other WORDS, for its card alone.
    `objects`: how the foreground falls into objects; the last class is what lies between them.
    """

    name: str = "model"
    mpp: float = 4.0
    classes: tuple[str, ...] = (BACKGROUND, TUMOUR)
    foreground: str = TUMOUR
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    labels: LabelRules = field(default_factory=LabelRules)
    objects: ObjectRules | None = None
    losses: Mapping[str, float] = field(default_factory=lambda: {"cross-entropy": 1.0, "dice": 1.0})
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    warmup_epochs: float = 1.0
    epochs: int = 20
    epoch_crops: int = 512
    batch: int = 8
    crop: int = 512
    ignore_band_um: float = 16.0
    validation_crops: int = 64
    patience: int = 0
    average_decay: float = 0.99
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threshold: float = 0.5
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    intended_use: str = "Research use only. Not for diagnosis."
    data: str = ""
    licence: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        self._check_kinds()
        faults = [
            ("mpp must lie within 0.05 and 20 µm/px", not 0.05 <= self.mpp <= 20),
            ("classes need a background and at least one more", len(self.classes) < 2),
            (
                f"foreground {self.foreground!r} is none of classes",
                self.foreground not in self.classes[1:],
            ),
            (
                "network.classes must be the number of classes",
                self.network.classes != len(self.classes),
            ),
            (
                f"losses are {', '.join(LOSSES)}, with weights",
                not self.losses or bool(set(self.losses) - set(LOSSES)),
            ),
            ("optimiser is adamw or sgd", self.optimiser not in ("adamw", "sgd")),
            (
                "crop must be a multiple of the network's total stride",
                self.crop % self.network.total_stride != 0,
            ),
            (
                "epochs, epoch_crops, batch and crop must be positive",
                min(self.epochs, self.epoch_crops, self.batch, self.crop) < 1,
            ),
            (
                "precision is auto, fp32 or bf16",
                self.precision not in ("auto", "fp32", "bf16"),
            ),
            ("learning_rate must be above 0", not 0 < self.learning_rate < 100),
            ("weight_decay must not be negative", not 0 <= self.weight_decay < 100),
            ("average_decay must lie within 0 and 1", not 0 <= self.average_decay < 1),
            ("momentum must lie within 0 and 1", not 0 <= self.momentum < 1),
            ("epoch_crops must be at least batch", self.epoch_crops < self.batch),
            ("threshold must lie between 0 and 1", not 0 < self.threshold < 1),
            (
                "split is three shares that add up to 1",
                len(self.split) != 3 or abs(sum(self.split) - 1) > 1e-6 or min(self.split) < 0,
            ),
        ]
        wrong = [text for text, fault in faults if fault] + self._wrong_with_objects()
        if wrong:
            raise UsageError("training settings: " + "; ".join(wrong))

    def _wrong_with_objects(self) -> list[str]:
        """A band thinner than a map pixel may have gaps."""
        if self.objects is None:
            return []
        map_pixel_um = self.mpp * self.network.output_stride
        faults = [
            (
                "objects need a last class, beside the foreground, for what lies between them",
                self.foreground == self.classes[-1],
            ),
            (
                f"objects.boundary_um must be at least a pixel of the map, {map_pixel_um:g} µm",
                self.objects.boundary_um < map_pixel_um,
            ),
        ]
        return [text for text, fault in faults if fault]

    def _check_kinds(self) -> None:
        """Refuse text, or fractions, where numbers, or whole numbers, are needed."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type in (int, float) and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise UsageError(f"training settings: {item.name} = {value!r} is not a number")
            if item.type is int and not isinstance(value, int):
                raise UsageError(
                    f"training settings: {item.name} = {value!r} is not a whole number"
                )
        if not all(isinstance(weight, int | float) for weight in self.losses.values()):
            raise UsageError("training settings: losses are names with numbers")

    def to_dict(self) -> dict[str, Any]:
        """As `from_dict` takes it; without `objects` where there are none."""
        values = asdict(self)
        return values if self.objects else {k: v for k, v in values.items() if k != "objects"}

    def trains_like(self, other: Self) -> bool:
        """Whether nothing but words for the card is different."""
        return replace(self, **{name: getattr(other, name) for name in WORDS}) == other

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From nested tables; names not given keep their defaults.

        Raises:
            UsageError: an unknown name or a value of the wrong kind.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise UsageError(f"training settings: unknown names {', '.join(sorted(unknown))}")
        settled: dict[str, Any] = {name: _frozen(value) for name, value in values.items()}
        try:
            if "classes" in settled:
                settled["network"] = {
                    "classes": len(settled["classes"]),
                    **settled.get("network", {}),
                }
            if "network" in settled:
                settled["network"] = NetworkConfig.from_dict(settled["network"])
            if "augmentation" in settled:
                settled["augmentation"] = Augmentation(**settled["augmentation"])
            if "labels" in settled:
                settled["labels"] = LabelRules(**settled["labels"])
            if "objects" in settled:
                settled["objects"] = ObjectRules.from_dict(settled["objects"])
            return cls(**settled)
        except (TypeError, ValueError) as error:
            raise UsageError(f"training settings: {error}") from error

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """From a TOML file.

        Raises:
            UsageError: missing, not TOML, or with settings that make no sense.
        """
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path}: not a readable TOML file: {error}") from error
        except UsageError as error:
            raise UsageError(f"{path.name}: {error}") from error


def _frozen(value: Any) -> Any:
    """TOML's lists as tuples, all the way down."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return value
