"""How a batch shows what it is doing: bars on a terminal, plain lines elsewhere."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from .tasks import PHASES, SlideOutcome, Update

SECONDS_BETWEEN_LINES = 2.0


class Display(Protocol):
    """Hears everything that happens in a batch, on one thread."""

    def shown(self) -> AbstractContextManager[object]:
        """Be on the screen within this context."""

    def update(self, update: Update) -> None:
        """A slide got further."""

    def finished(self, outcome: SlideOutcome) -> None:
        """A slide ended."""


def display_for(console: Console, slides: int) -> Display:
    """The display that suits where the output goes."""
    return Bars(console, slides) if console.is_terminal else Lines(console, slides)


def outcome_text(outcome: SlideOutcome) -> str:
    """One line on how a slide ended."""
    if outcome.tumour_area_mm2 is None or outcome.tissue_area_mm2 is None:
        return f"{outcome.name}: {outcome.status}: {outcome.reason}"
    tumour = f"{outcome.tumour_area_mm2:.4g} mm²{outcome.within}"
    areas = f"{tumour} of {outcome.tissue_area_mm2:.4g} mm² tissue"
    note = f" ({outcome.reason})" if outcome.reason else ""
    return f"{outcome.name}: {outcome.status}: {areas}, {outcome.seconds:.1f} s{note}"


class Lines:
    """A line a phase, and every two seconds within one."""

    def __init__(self, console: Console, slides: int) -> None:
        self._console, self._slides, self._ended = console, slides, 0
        self._last: dict[str, tuple[str, float]] = {}

    def shown(self) -> AbstractContextManager[object]:
        return nullcontext()

    def update(self, update: Update) -> None:
        phase, at = self._last.get(update.name, ("", 0.0))
        now = time.monotonic()
        if update.phase != phase or now >= at + SECONDS_BETWEEN_LINES:
            self._last[update.name] = (update.phase, now)
            counts = f" {update.done}/{update.total}" if update.total else ""
            self._print(f"{update.name}: {update.phase}{counts}")

    def finished(self, outcome: SlideOutcome) -> None:
        self._ended += 1
        self._print(f"[{self._ended}/{self._slides}] {outcome_text(outcome)}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


class Bars:
    """A bar for the batch and one for each slide under way."""

    def __init__(self, console: Console, slides: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._all = self._progress.add_task(f"{slides} slide{'s' * (slides > 1)}", total=slides)
        self._tasks: dict[str, TaskID] = {}

    def shown(self) -> AbstractContextManager[object]:
        return self._progress

    def update(self, update: Update) -> None:
        task = self._tasks.get(update.name)
        if task is None:
            task = self._tasks[update.name] = self._progress.add_task(update.name, total=None)
        step = PHASES.index(update.phase) + 1 if update.phase in PHASES else 0
        self._progress.update(
            task,
            description=f"{update.name}: {update.phase} ({step} of {len(PHASES)})",
            completed=update.done,
            total=update.total or None,
        )

    def finished(self, outcome: SlideOutcome) -> None:
        task = self._tasks.pop(outcome.name, None)
        if task is not None:
            self._progress.remove_task(task)
        self._console.print(outcome_text(outcome), markup=False, highlight=False, soft_wrap=True)
        self._progress.advance(self._all)
