"""`extent convert`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .cli_options import ForceMpp, Mpp, resolution_of


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An outline file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    slide: Annotated[
        Path | None, typer.Option(help="Its slide: needed for NDPA, and to check what lies on it.")
    ] = None,
    to: Annotated[
        Literal["asap", "imagescope", "qupath"] | None,
        typer.Option(help="The program to write for; by default as OUT's name says."),
    ] = None,
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
) -> None:
    """Convert outlines between ASAP, ImageScope, QuPath and (reading only) NDPA."""
    from .convert import convert_outlines

    resolution = resolution_of(mpp, force_mpp)
    done = convert_outlines(source, target, slide=slide, to=to, resolution=resolution)
    typer.echo(f"{target}: {done.message}")
