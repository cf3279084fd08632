"""What the area that an expert would outline lies within."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from .conformal import Contours

FIELD = "area_interval_mm2"  # of summary.json


@dataclass(frozen=True)
class AreaInterval:
    """From `low` to `high` mm²; with a probability of `level`, by so many `patients`.

    `kind` says how that was promised ("guaranteed" or "approximate"); `slack` is that of the
    contours that it follows from.
    """

    low: float
    high: float
    level: float
    kind: str
    patients: int
    slack: float

    @classmethod
    def between(cls, contours: Contours, outer_mm2: float, inner_mm2: float) -> Self:
        """From the areas of what lies within the contours."""
        low, high = contours.interval_mm2(outer_mm2, inner_mm2)
        return cls(low, high, contours.level, contours.kind, contours.patients, contours.slack)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError: no interval."""
        low, high, level, slack = (float(values[k]) for k in ("low", "high", "level", "slack"))
        return cls(low, high, level, str(values["kind"]), int(values["patients"]), slack)

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Self | None:
        """What summary.json states; None where it states none, as before there were any.

        Raises:
            KeyError, TypeError, ValueError: what it states is no interval.
        """
        stated = summary.get(FIELD)
        return cls.from_json(stated) if stated else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def holds(self, area_mm2: float) -> bool:
        return self.low <= area_mm2 <= self.high
