"""How training shows what it is doing: a bar an epoch on a terminal, a line an epoch elsewhere."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .cli_options import say

if TYPE_CHECKING:
    from model.trainer import Epoch


class TrainingDisplay:
    """Listens to one or several trainings; `epochs` is how many each may take."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console, self._epochs = console, epochs
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._bar = self._progress.add_task("opening slides", total=None)

    def shown(self) -> AbstractContextManager[object]:
        """Be on the screen within this context."""
        return self._progress if self._console.is_terminal else nullcontext()

    def step(self, name: str, epoch: int, step: int, steps: int) -> None:
        """`step` of `steps` in an epoch (counted from 0) of the training `name` is done."""
        self._progress.update(
            self._bar,
            description=f"{name}: epoch {epoch + 1} of {self._epochs}",
            completed=epoch * steps + step,
            total=self._epochs * steps,
        )

    def epoch(self, name: str, row: "Epoch") -> None:
        """An epoch is over."""
        text = f"{name}: epoch {row.epoch} of {self._epochs}, loss {row.train_loss:.3f}"
        if row.validation_loss is not None:
            text += (
                f", validation loss {row.validation_loss:.3f}, Dice {row.validation_dice:.3f}, "
                f"balanced accuracy {row.validation_balanced_accuracy:.3f}"
            )
        elapsed = time.monotonic() - self._started
        say(self._console, f"{text} ({elapsed:.0f} s)")
