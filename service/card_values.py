"""What a card says of measures, taken with care: anybody may have written the card."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from model.card import ModelCard

PARTS = ("value", "low", "high")  # of a figure
FAR = 1e12  # no figure is larger


def measures_of(card: ModelCard, name: str) -> Mapping[str, Any]:
    """One evaluation that the card keeps; empty where it keeps none of that name."""
    found = card.measures.get(name)
    return found if isinstance(found, Mapping) else {}


def figures_in(rows: object) -> dict[str, Mapping[str, Any]]:
    """What of a group of figures are figures."""
    if not isinstance(rows, Mapping):
        return {}
    return {
        str(name): row
        for name, row in rows.items()
        if isinstance(row, Mapping)
        and all(part in row and _may_be_number(row[part]) for part in PARTS)
    }


def is_curve(curve: object) -> TypeGuard[Mapping[str, list[float | None]]]:
    """Whether it is lists of numbers, or None, beside one another."""
    if not isinstance(curve, Mapping):
        return False
    columns = [curve.get(part) for part in ("at", *PARTS)]
    lists = [column for column in columns if isinstance(column, list)]
    return (
        len(lists) == len(columns)
        and len({len(column) for column in lists}) == 1
        and all(_may_be_number(value) for column in lists for value in column)
    )


def told(measured: Mapping[str, Any], name: str) -> str:
    """A number in words, or a question mark."""
    value = measured.get(name)
    return f"{value:g}" if is_number(value) else "?"


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -FAR < value < FAR


def _may_be_number(value: object) -> bool:
    return value is None or is_number(value)
