"""An engine as its supervisor sees it: a process that is kept, and forks a child an attempt.

Between the two go JSON lines over pipes. What comes back may come from a child that a hostile
slide has taken over: it is read with bounds, and nothing of it is unpickled or obeyed.
"""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import psutil

from ..process import CHILD_ENVIRONMENT, child_command
from .child import CHILD

SECONDS_TO_START = 120.0
MAX_LINE_BYTES = 1 << 16
_DEVICES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")  # as given to us


class EngineEnded(Exception):  # noqa: N818  (no error of ours: it may have been killed)
    """The engine's own process is gone, or speaks nonsense."""


@dataclass(frozen=True)
class Message:
    """A line from the engine, or from its `child`."""

    child: bool
    fields: dict[str, Any]


class Engine:
    """One engine; it does one attempt at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self._process, self._orders, self._said = process, process.stdin, process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._said, selectors.EVENT_READ)
        self._buffer = b""

    @classmethod
    def start(cls) -> Self:
        """A new engine, ready for attempts.

        Raises:
            EngineEnded: it does not start. OSError: the system has no room for a process.
        """
        own = psutil.Process().environ()
        process = subprocess.Popen(
            child_command("service.engine.child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={**CHILD_ENVIRONMENT, **{name: own[name] for name in _DEVICES if name in own}},
            start_new_session=True,  # Ctrl-C in a terminal is the supervisor's affair
        )
        engine = cls(process)
        deadline = time.monotonic() + SECONDS_TO_START
        try:
            while not engine.messages(1.0):
                if time.monotonic() > deadline:
                    raise EngineEnded("it takes too long to start")
        except BaseException:
            engine.end()
            raise
        return engine

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def order(self, order: dict[str, Any]) -> None:
        """Send an order.

        Raises:
            EngineEnded: there is nobody any more.
        """
        try:
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()
        except OSError as error:
            raise EngineEnded("it is gone") from error

    def messages(self, timeout: float) -> list[Message]:
        """What it has said; waits for it, `timeout` seconds at most.

        Raises:
            EngineEnded: it ended, or said a line without end.
        """
        if not self._selector.select(timeout):
            return []
        data = os.read(self._said.fileno(), MAX_LINE_BYTES)
        if not data:
            raise EngineEnded("it ended")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_LINE_BYTES:
            raise EngineEnded("it said a line without end")
        return list(_messages(lines))

    def end(self) -> None:
        """Kill it; its child goes with it."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._said.close()
        with suppress(OSError):
            self._orders.close()


def _messages(lines: list[bytes]) -> Iterator[Message]:
    for line in lines:
        with suppress(ValueError, RecursionError):
            fields = json.loads(line.removeprefix(CHILD), parse_constant=_refused)
            if isinstance(fields, dict):
                yield Message(line.startswith(CHILD), fields)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_idle: list[Engine] = []
_idle_lock = Lock()


@contextmanager
def lent() -> Iterator[Engine]:
    """An engine of this process, kept for later unless it is gone or something goes wrong.

    Raises:
        what Engine.start raises.
    """
    engine = _kept() or Engine.start()
    try:
        yield engine
    except BaseException:
        engine.end()
        raise
    with _idle_lock:
        _idle.append(engine)


def _kept() -> Engine | None:
    with _idle_lock:
        while _idle:
            engine = _idle.pop()
            if engine.alive:
                return engine
            engine.end()
    return None
