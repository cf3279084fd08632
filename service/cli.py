"""The command line. Each command lives in its own module and imports what is heavy when it runs."""

import sys
import warnings
from typing import TextIO

import typer

from annotations.errors import ExtentError, OutlineWarning, UsageError

from .cli_calibrate import calibrate
from .cli_cluster import certificates, scheduler, worker
from .cli_convert import convert
from .cli_demo import demo
from .cli_evaluate import evaluate
from .cli_explain import explain
from .cli_info import info
from .cli_keys import keys
from .cli_models import models
from .cli_options import complain
from .cli_predict import predict
from .cli_serve import ENVIRONMENT, serve
from .cli_train import crossvalidate, train
from .failures import system_reason
from .versions import extent_version

app = typer.Typer(
    name="extent",
    help="Measure how far a tumour reaches on histology slides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_commands = (
    *(info, convert, train, crossvalidate, evaluate, calibrate),
    *(predict, explain, demo, models),
)
for _command in _commands:
    app.command()(_command)
app.command(context_settings=ENVIRONMENT)(serve)
for _member in (scheduler, worker, certificates):
    app.command()(_member)
app.add_typer(keys)


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


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    complain(f"note: {message}")


def main() -> None:
    """Run `extent`: exit code 2 for wrong usage, 1 for what failed; a line, never a traceback."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", OutlineWarning)
    warnings.showwarning = _show_warning
    try:
        app(prog_name="extent")
    except ExtentError as error:
        complain(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        complain(system_reason(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
