"""The folder of a training or evaluation: one writer, nothing lost by accident or when stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from annotations.errors import UsageError
from tiling.rawplanes import disk_errors

from .cli_options import complain
from .interrupts import Interrupted, stoppable
from .locks import sole_writer


@contextmanager
def writing_folder(out: Path, how_to_go_on: str = "run the same command again") -> Iterator[None]:
    """Be the only writer in `out`, which is made when absent; a signal ends with a line and 128+n.

    Raises:
        ResultError: it is a file, not writable, the disk is full, or another process writes there.
    """
    try:
        with stoppable(), sole_writer(out), disk_errors(out):
            yield
    except Interrupted as stop:
        complain(f"stopped by {stop}. What is finished is kept: {how_to_go_on}")
        raise typer.Exit(stop.exit_code) from None


@contextmanager
def training_folder(out: Path, marks: tuple[str, ...], *, resume: bool) -> Iterator[None]:
    """The same for a training; `marks` are names that an earlier one leaves in `out`.

    Raises:
        UsageError: an earlier training is there and `resume` was not asked for.
    """
    with disk_errors(out):
        earlier = any((out / mark).exists() for mark in marks)
    if earlier and not resume:
        raise UsageError(
            f"{out}: holds an earlier training; go on with --resume, or give another --out"
        )
    with writing_folder(out, "the same command with --resume goes on"):
        yield
