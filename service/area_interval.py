"""What the area that an expert would outline lies within."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from model.conformal import Contours, Kind

from .wording import number


@dataclass(frozen=True)
class AreaInterval:
    """From `low` to `high` mm²; with a probability of `level`, by so many `patients`.

    `kind` and `slack` are those of the contours that it follows from.
    """

    low: float
    high: float
    level: float
    kind: Kind
    patients: int
    slack: float

    @classmethod
    def between(cls, contours: Contours, outer_mm2: float, inner_mm2: float) -> Self:
        """From the areas of what lies within the contours."""
        low, high = contours.interval_mm2(outer_mm2, inner_mm2)
        return cls(low, high, contours.level, contours.kind, contours.patients, contours.slack)

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Self | None:
        """What summary.json states; None where it states none, as before there were any."""
        stated = summary.get("area_interval_mm2")
        return None if stated is None else cls(**stated)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def ends(self) -> str:
        """As in "6.02 to 11.2"."""
        return f"{number(self.low)} to {number(self.high)}"

    @property
    def words(self) -> str:
        """As in "80% interval 6.02 to 11.2 mm², approximate"."""
        return f"{self.level:.0%} interval {self.ends} mm², {self.kind}"
