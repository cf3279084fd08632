"""The verdict on whether a slide looks like those that a model was measured on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

FIELD = "familiarity"  # of summary.json and of a card's calibration


@dataclass(frozen=True)
class Familiarity:
    """How a slide stands among the `patients` that a model was measured on.

    `p_value`: the share of patients, this one among them, that are at least as strange; `score`:
    how strange, in spreads. `reason` says what is unlike; empty where it is "like".
    """

    verdict: Literal["like", "unlike"]
    p_value: float
    score: float
    patients: int
    reason: str = ""

    @property
    def is_unlike(self) -> bool:
        return self.verdict == "unlike"

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Self | None:
        """What summary.json states; None where it states none, as before there was any.

        Raises:
            TypeError: what it states is no such thing.
        """
        stated = summary.get(FIELD)
        return cls(**stated) if stated else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
