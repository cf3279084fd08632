"""`extent models`."""

import typer


def models() -> None:
    """List the models that come with Extent."""
    from model.checkpoint import SHIPPED, read_card, shipped_models

    names = shipped_models()
    if not names:
        typer.echo("no models ship with this version")
    for name in names:
        card = read_card(SHIPPED / f"{name}.safetensors")
        typer.echo(f"{name}: {', '.join(card.classes)} at {card.mpp:g} µm/px")
        for text in (card.data, card.intended_use):
            if text:
                typer.echo(f"    {text}")
