"""Ctrl-C and SIGTERM as one exception, raised once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from .cli_options import complain

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The user or the system asked the command to stop."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Interrupted on the first signal; further ones are ignored, so that closing is whole.

    For the main thread.
    """

    def stop(signum: int, _: FrameType | None) -> None:
        for known in SIGNALS:
            signal.signal(known, signal.SIG_IGN)
        raise Interrupted(signum)

    before = {known: signal.signal(known, stop) for known in SIGNALS}
    try:
        yield
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)


@contextmanager
def resumable(state: str) -> Iterator[None]:
    """End a command on Ctrl-C or SIGTERM with a line that says what is left and how to go on.

    Raises:
        typer.Exit: with the exit code that shells expect of a signal.
    """
    try:
        with stoppable():
            yield
    except Interrupted as stop:
        complain(f"stopped by {stop}. {state}")
        raise typer.Exit(stop.exit_code) from None
