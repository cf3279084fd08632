"""`extent info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .cli_options import ForceMpp, Mpp, resolution_of


def info(
    slide: Annotated[Path, typer.Argument(help="A slide file, DICOM folder, PNG or JPEG.")],
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines.")] = False,
) -> None:
    """Show what Extent sees in a slide."""
    from .info import describe_slide

    facts = describe_slide(slide, resolution_of(mpp, force_mpp))
    if as_json:
        typer.echo(json.dumps(facts.as_dict(), indent=2, ensure_ascii=False))
        return
    lines = list(facts.lines())
    width = max(len(heading) for heading, _ in lines)
    for heading, value in lines:
        typer.echo(f"{heading:<{width}}  {value}")
