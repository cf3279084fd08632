"""How a task's foreground falls into objects, such as glands: settings that the card keeps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class ObjectRules:
    """How a task's foreground falls into objects.

    `boundary_um`: in training, a place is of the last class, the boundary, where two objects are
    both at most so many µm away; in none of them, or at the edge of one. On maps an object is a
    4-connected region above the threshold, holes of up to `fill_um2` filled, no smaller than
    `least_um2`.
    """

    boundary_um: float
    fill_um2: float = 0.0
    least_um2: float = 0.0

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(self)]
        if not all(type(value) in (int, float) and 0 <= value < math.inf for value in values):
            raise ValueError("objects: boundary_um, fill_um2 and least_um2 are numbers from 0 up")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Raises ValueError: unknown names, or values that make no sense."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"objects: {error}") from error
