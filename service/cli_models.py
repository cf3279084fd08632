"""`extent models`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotations.errors import UsageError

if TYPE_CHECKING:
    from model.checkpoint import ModelCard

FIGURES = (
    ("cells", "balanced_accuracy"),
    ("cells", "f1"),
    ("cells", "auc"),
    ("pixels", "dice"),
    ("objects", "f1"),
    ("objects", "dice"),
)
Name = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A checkpoint file, or the name of a shipped model."),
]
Page = Annotated[
    Path | None,
    typer.Option(metavar="FILE.html", help="Write the model's card there as a page to read."),
]


def models(model: Name = None, page: Page = None) -> None:
    """List the models that come with Extent, with what their cards say; or tell of one.

    With --page, the card is written as one HTML file, with pictures of what the model does on
    drawn slides that are difficult.
    """
    from model.checkpoint import find_checkpoint, read_card, shipped_models

    if page is not None:
        if model is None:
            raise UsageError("--page needs a model: extent models MODEL --page FILE.html")
        _write_page(find_checkpoint(model), page)
        return
    names = shipped_models() if model is None else [model]
    if not names:
        typer.echo("no models ship with this version")
    for name in names:
        card = read_card(find_checkpoint(name))
        typer.echo(f"{name}: {', '.join(card.classes)} at {card.mpp:g} µm/px")
        for text in (card.data, card.licence, *_measured(card), card.limits, card.intended_use):
            if text:
                typer.echo(f"    {text}")


def _write_page(path: Path, page: Path) -> None:
    from rich.console import Console

    from model.card_file import count_weights, read_model_file

    from .cli_options import say
    from .evaluation_page import write_page
    from .model_page import ModelSheet, model_page
    from .model_trials import try_drawn_slides

    console, found = Console(), read_model_file(path)
    tried = try_drawn_slides(found.card, path, console)
    text = model_page(ModelSheet(found.card, found.digest, count_weights(path), tried))
    write_page(page, text)
    say(console, f"page: {page}")


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
        if group not in found:
            continue
        row = found[group][name]
        lines.append(
            f"    {group} {name.replace('_', ' ')} {row['value']:.3f} "
            f"({row['low']:.3f} to {row['high']:.3f})"
        )
    return lines
