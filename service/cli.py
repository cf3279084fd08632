"""The command line. Each command lives in its own module and imports what is heavy when it runs."""

import sys

import typer

from annotations.errors import ExtentError, UsageError

from .cli_models import models
from .cli_predict import predict
from .versions import extent_version

app = typer.Typer(
    name="extent",
    help="Measure how far a tumour reaches on histology slides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (predict, models):
    app.command()(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"extent {extent_version()}")
        raise typer.Exit


@app.callback()
def extent(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_show_version, help="Show the version."
    ),
) -> None:
    """Measure how far a tumour reaches on histology slides."""


def main() -> None:
    """Run `extent`: exit code 2 for wrong usage, 1 for what failed; a line, never a traceback."""
    try:
        app(prog_name="extent")
    except ExtentError as error:
        typer.echo(f"extent: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
