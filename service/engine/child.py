"""The engine: `python -m service.engine.child`, kept by a Dask worker for its attempts.

It loads what is heavy once, and forks a child for each attempt, which confines itself to that
attempt's files before it touches any of them. The engine itself opens no slide, and has but one
thread, as whoever forks must. Models are compiled in a child too, which reads nothing else; the
engine keeps the outcome. It ends with its supervisor: when its standard input does.

What it says are JSON lines. Those that begin with `>` are a child's words, passed on: a child that
a hostile slide has taken over can say what it likes of its own attempt, and nothing else.
"""

import json
import os
import select
import signal
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..process import NICENESS, die_with, lower_priority
from .attempt import Attempt

KEPT_MODELS = 4
MAX_LINE_BYTES = 4096  # a pipe takes this much at once or not at all (PIPE_BUF)
CHILD = b">"
Say = Callable[[dict[str, Any]], None]


class Orders:
    """The supervisor's lines on a descriptor; the process ends when they do."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._buffer = b""

    def receive(self) -> list[dict[str, Any]]:
        """What has come; waits for something."""
        data = os.read(self.file, 1 << 16)
        if not data:
            os._exit(0)  # children are killed with this process
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class Voice:
    """Says lines on a descriptor."""

    file: int

    def say(self, message: dict[str, Any]) -> None:
        """One of at most MAX_LINE_BYTES."""
        data = json.dumps(message, allow_nan=False).encode() + b"\n"
        if len(data) > MAX_LINE_BYTES:
            raise ValueError("a message is too long")
        os.write(self.file, data)


class Engine:
    """Runs one attempt at a time, and hears meanwhile when it is to be killed."""

    def __init__(self, orders: Orders, out: int) -> None:
        self._orders, self._out = orders, out
        self._models: OrderedDict[str, bytes] = OrderedDict()
        self._wake, self._wakes = os.pipe()
        for end in (self._wake, self._wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def serve(self) -> None:
        """For ever."""
        voice = Voice(self._out)
        voice.say({"ready": True})
        while True:
            for order in self._orders.receive():
                if order["do"] == "run":
                    voice.say({"exit": self._attempt(order["attempt"])})

    def _attempt(self, document: dict[str, Any]) -> int:
        """Run one; how its last child ended: its exit code, or the signal as a negative number."""
        from .work import map_slide, model_key, train

        attempt = Attempt.from_json(document)
        if attempt.kind == "training":
            return self._forked(lambda say: train(attempt, say))
        key = model_key(attempt)
        if key not in self._models:
            status = self._compile(attempt, key)
            if key not in self._models:
                return status
        self._models.move_to_end(key)
        product = self._models[key]
        return self._forked(lambda say: map_slide(attempt, product, say))

    def _compile(self, attempt: Attempt, key: str) -> int:
        """Have a child compile the attempt's model, if need be; it says why where it cannot.

        The shelf is this process's alone: a child that a hostile file has taken over could leave
        there what others run.
        """
        from .work import compile_model, load_torch, place_on_shelf

        shelf, name = place_on_shelf(attempt)
        kept = shelf.find(name)
        with tempfile.TemporaryFile() as file:
            status = self._forked(lambda say: compile_model(attempt, kept, file, say))
            file.seek(0)
            product = file.read() if status == 0 else b""
        if not product:
            return status
        self._models[key] = product
        if len(self._models) > KEPT_MODELS:
            self._models.popitem(last=False)
        _, _, compiled = product.partition(b"\n")
        if not compiled:
            load_torch()
        elif compiled != kept:
            shelf.keep(name, compiled)
        return status

    def _forked(self, work: Callable[[Say], None]) -> int:
        """Do something in a child, in a process group of its own, that dies with this process."""
        engine = os.getpid()
        hears, says = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self._leave(engine, hears)
                work(Voice(says).say)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(says)
        os.set_blocking(hears, False)
        with suppress(OSError):  # whichever of the two is first
            os.setpgid(child, child)
        try:
            return self._await(child, hears)
        finally:
            os.close(hears)

    def _await(self, child: int, hears: int) -> int:
        """Pass on what a child says until it ends; it is killed when the supervisor says so."""
        words = b""
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            words, silent = self._pass_on(hears, words)
            if len(words) > MAX_LINE_BYTES:
                _kill_group(child)
            if ended:
                _kill_group(child)  # what it may have started
                return os.waitstatus_to_exitcode(status)
            heard = [] if silent else [hears]
            ready, _, _ = select.select([self._orders.file, self._wake, *heard], [], [])
            if self._wake in ready:
                os.read(self._wake, 1 << 10)
            orders = self._orders.receive() if self._orders.file in ready else []
            if any(order["do"] == "kill" for order in orders):
                _kill_group(child)

    def _pass_on(self, hears: int, words: bytes) -> tuple[bytes, bool]:
        """Pass on whole lines; what is left of the last one, and whether no more will come."""
        while len(words) <= MAX_LINE_BYTES:
            try:
                data = os.read(hears, MAX_LINE_BYTES)
            except BlockingIOError:
                return words, False
            if not data:
                return words, True
            *lines, words = (words + data).split(b"\n")
            for line in lines:
                os.write(self._out, CHILD + line + b"\n")
        return words, False

    def _leave(self, engine: int, hears: int) -> None:
        """In a child: leave the engine's affairs to the engine."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        die_with(engine)
        for file in (self._orders.file, self._out, self._wake, self._wakes, hears):
            os.close(file)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _noted(*_: object) -> None:
    """A signal that only wakes."""


def main() -> None:
    """Serve the process that started this one, until it ends."""
    lower_priority(NICENESS)
    from . import work  # noqa: F401  (what is heavy, once)

    orders, out = Orders(os.dup(0)), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # libraries' last words can quote a file
        os.dup2(nothing, stream)
    Engine(orders, out).serve()


if __name__ == "__main__":
    main()
