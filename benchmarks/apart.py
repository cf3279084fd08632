"""Contenders, each in a process of its own."""

import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Protocol, Self

from benchmarks.one_pass import Crop, Deviation
from service.process import die_with


@dataclass(frozen=True)
class Timing:
    """One run: wall and processor seconds, and the seconds of its phases in their order."""

    seconds: float
    cpu_seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)


class Runner(Protocol):
    """A contender with its model loaded."""

    def run(self) -> Timing:
        """Do the slide once."""

    def deviation(self, crop: Crop) -> Deviation | None:
        """How far the last run's map lies from one pass; None where a run makes no map."""


class Contender(Protocol):
    """Who takes part; can be sent to another process."""

    @property
    def name(self) -> str: ...

    def load(self) -> Runner:
        """Import what is needed and load the model; begins in a fresh process."""


class Started(Protocol):
    """A contender that can be told to run. A context: it ends with it."""

    pid: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def ready_seconds(self) -> float:
        """Wait until the model is loaded; the seconds since the process was started."""

    def run(self) -> Timing: ...

    def deviation(self, crop: Crop) -> Deviation | None: ...


class Apart:
    """A contender in a fresh process, which loads its model at once."""

    def __init__(self, contender: Contender) -> None:
        context = multiprocessing.get_context("spawn")
        self._started = time.perf_counter()
        self._name = contender.name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, theirs, os.getpid()))
        self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        if kind is not None:
            self._process.kill()
        self._process.join()

    def ready_seconds(self) -> float:
        self._received()
        return time.perf_counter() - self._started

    def run(self) -> Timing:
        self._pipe.send(None)
        timing = self._received()
        assert isinstance(timing, Timing)
        return timing

    def deviation(self, crop: Crop) -> Deviation | None:
        self._pipe.send(crop)
        found = self._received()
        assert found is None or isinstance(found, Deviation)
        return found

    def _received(self) -> object:
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise SystemExit(f"{self._name}: its process ended with {code}; see above") from None


def _serve(contender: Contender, pipe: Connection, parent: int) -> None:
    """The other process: load, then run or compare as often as asked, until the pipe closes."""
    die_with(parent)
    runner = contender.load()
    pipe.send(None)
    while True:
        try:
            crop = pipe.recv()
        except EOFError:
            return
        pipe.send(runner.run() if crop is None else runner.deviation(crop))
