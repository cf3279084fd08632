"""Progress, told as often as somebody can look at it."""

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

SECONDS_BETWEEN_UPDATES = 0.2


class Step(Protocol):
    """How far something is: `done` of `total` in a phase."""

    @property
    def phase(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


T = TypeVar("T", bound=Step)


class Throttle(Generic[T]):
    """Passes steps on: every new phase and every end, of the rest a few a second."""

    def __init__(self, say: Callable[[T], None]) -> None:
        self._say = say
        self._phase = ""
        self._last = 0.0

    def __call__(self, step: T) -> None:
        now = time.monotonic()
        if (
            step.phase != self._phase
            or (step.total and step.done == step.total)
            or now >= self._last + SECONDS_BETWEEN_UPDATES
        ):
            self._phase, self._last = step.phase, now
            self._say(step)
