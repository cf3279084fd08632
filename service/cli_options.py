"""Options that several commands share."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from annotations.errors import ResolutionError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from tiling.resolution import Resolution

Mpp = Annotated[
    float | None,
    typer.Option(help="µm per pixel of the finest level, where a slide does not say."),
]
Model = Annotated[str, typer.Option(help="A checkpoint file, or the name of a shipped model.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"],
    typer.Option(help="auto: the fastest that this processor has and the model is as good in."),
]
ForceMpp = Annotated[bool, typer.Option("--force-mpp", help="Let --mpp override the slide.")]


def resolution_of(mpp: float | None, force: bool) -> "Resolution":
    """What the user said of the slides' µm/px.

    Raises:
        UsageError: it cannot be one.
    """
    from tiling.resolution import Resolution

    if force and mpp is None:
        raise UsageError("--force-mpp needs --mpp")
    try:
        return Resolution(mpp, force)
    except ResolutionError as error:
        raise UsageError(str(error)) from None


def compiled_models() -> Path | None:
    """Where models are kept compiled between commands; None for users without a home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # as its specification has it
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            return None
    return cache / "extent" / "compiled"


_BESIDE = ("out", "resume")  # parameters that change nothing of what comes out


def as_asked(context: typer.Context) -> str:
    """The command as it was typed, with files by their names alone: for cards and metrics.

    Without defaults, and without what only says where results go.
    """
    words = ["extent", context.command.name or ""]
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        source = context.get_parameter_source(name)
        if name in _BESIDE or source is None or source.name != "COMMANDLINE":
            continue
        if parameter.param_type_name == "option":
            words.append(parameter.opts[0])
        if value is not True:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)


def complain(text: str) -> None:
    """A line on stderr."""
    typer.echo(f"extent: {text}", err=True)


def say(console: "Console", *lines: str) -> None:
    """Lines on stdout, as they are."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.file.flush()
