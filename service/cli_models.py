"""`extent models`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from model.checkpoint import ModelCard

FIGURES = (("cells", "balanced_accuracy"), ("cells", "f1"), ("cells", "auc"), ("pixels", "dice"))


def models() -> None:
    """List the models that come with Extent, with what their cards say."""
    from model.checkpoint import SHIPPED, read_card, shipped_models

    names = shipped_models()
    if not names:
        typer.echo("no models ship with this version")
    for name in names:
        card = read_card(SHIPPED / f"{name}.safetensors")
        typer.echo(f"{name}: {', '.join(card.classes)} at {card.mpp:g} µm/px")
        for text in (card.data, card.licence, *_measured(card), card.intended_use):
            if text:
                typer.echo(f"    {text}")


def _measured(card: "ModelCard") -> list[str]:
    """What cross-validation gave, a line a figure."""
    from model.card import CROSS_VALIDATION

    found = card.measures.get(CROSS_VALIDATION)
    if not isinstance(found, Mapping):
        return []
    lines = [
        f"cross-validated on {found['n_slides']} slides of {found['n_patients']} patients "
        f"(cells of {found['cell_um']:g} µm; 95 % intervals over patients):"
    ]
    for group, name in FIGURES:
        row = found[group][name]
        lines.append(
            f"    {group} {name.replace('_', ' ')} {row['value']:.3f} "
            f"({row['low']:.3f} to {row['high']:.3f})"
        )
    return lines
