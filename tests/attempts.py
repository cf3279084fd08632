"""Attempts at a drawn slide, as the server's runner makes them."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from service.engine.attempt import FENCE, RESULT, Attempt, AttemptEnd, Progress
from service.engine.run import supervise
from tests.patience import SECONDS


def map_attempt(jobs: Path, slide: Path, model: Path, number: int = 1, **request: Any) -> Attempt:
    """The `number`-th attempt at one job, allowed by its fence; 4 µm/px unless said otherwise."""
    folder = jobs / "job" / str(number)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / FENCE).write_text(str(number))
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    wanted = {
        "slide_path": str(slide),
        "model_path": str(model),
        "model_digest": digest,
        "mpp": 4.0,
        "threshold": None,
        "region_level0": None,
    }
    previous = jobs / "job" / str(number - 1) if number > 1 else None
    return Attempt("job", number, "map", folder, wanted | request, (slide, model), previous)


@dataclass
class UnderWay:
    """An attempt that another thread supervises."""

    attempt: Attempt
    progress: list[Progress] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.ends.append(supervise(self.attempt, self.progress.append))

    def wait_for(self, condition: Callable[[Progress], bool]) -> Progress:
        """The first progress of a kind."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            over = bool(self.ends)  # before the look: then nothing comes after it
            for progress in list(self.progress):
                if condition(progress):
                    return progress
            assert not over, self.ends
            time.sleep(0.005)
        raise AssertionError("it did not come so far")

    def has_reached(self, phase: str) -> bool:
        return any(progress.phase == phase for progress in self.progress)

    def end(self) -> AttemptEnd:
        self._thread.join(SECONDS)
        assert self.ends, "it does not end"
        return self.ends[0]


def halted(begin: Callable[[Path], Attempt], folder: Path) -> UnderWay:
    """An attempt at a map, begun in a folder below `folder`, whose child stands still: it computes.

    One that had its result before it could be suspended is let go, and another begun.
    """
    for number in range(10):
        under_way = UnderWay(begin(folder / f"jobs{number}"))
        under_way.wait_for(lambda progress: progress.phase == "canvas")
        for worker in filter(halt, workers()):
            if not (under_way.attempt.folder / RESULT).exists():
                return under_way
            worker.resume()
        under_way.end()
    raise AssertionError("every attempt was over before it could be suspended")


def halt(process: psutil.Process) -> bool:
    """Suspend a process; whether it was still there for that, and stands still now."""
    with suppress(psutil.NoSuchProcess):
        process.suspend()
        while (status := process.status()) != psutil.STATUS_ZOMBIE:
            if status == psutil.STATUS_STOPPED:
                return True
            time.sleep(0.001)
    return False


@contextmanager
def suspended(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """These stand still until the block ends, as far as they are there."""
    held = list(filter(halt, processes))
    try:
        yield
    finally:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def looking() -> Iterator[None]:
    """What maps a slide below this process stands still during the block, then goes on as long.

    So there is time to look, however fast it is; and it ends, however long a look takes.
    """
    began = time.monotonic()
    with suspended(mapping()):
        yield
    time.sleep(time.monotonic() - began)


def mapping() -> list[psutil.Process]:
    """The engines' children below this process, wherever the engines are."""
    below = psutil.Process().children(recursive=True)
    found = []
    for process in filter(_is_engine, below):
        with suppress(psutil.NoSuchProcess):
            found += process.children()
    return found


def engines() -> list[psutil.Process]:
    """The kept engines of this process."""
    return [child for child in psutil.Process().children() if _is_engine(child)]


def workers() -> list[psutil.Process]:
    """The engines' children, each at an attempt."""
    found: list[psutil.Process] = []
    for engine in engines():
        with suppress(psutil.NoSuchProcess):
            found += engine.children()
    return found


def engine_pids() -> list[int]:
    """Those of whichever process runs this."""
    return [engine.pid for engine in engines()]


def _is_engine(process: psutil.Process) -> bool:
    try:
        return "service.engine.child" in process.cmdline()
    except psutil.Error:
        return False


def content(result: Path) -> dict[str, bytes]:
    """A result's bytes, without what may differ from run to run."""
    found = {path.name: path.read_bytes() for path in result.iterdir()}
    summary = json.loads(found.pop("summary.json"))
    del summary["seconds"], summary["provenance"]["run"]
    return found | {"summary.json": json.dumps(summary).encode()}
