"""A lock that is passed on in the order in which it was asked for."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class NotInTurn(Exception):  # noqa: N818  (an outcome, not a fault)
    """The lock was not passed on to this one in time."""


class InTurn:
    """Python's own locks let whoever comes at the right moment go first; some then never do."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the lock.

        Raises:
            NotInTurn: it was not this one's turn within so many seconds.
        """
        self._wait(timeout)
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, timeout: float) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return
        with self._guard:
            if not turn.is_set():
                self._waiting.remove(turn)
                raise NotInTurn

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False
