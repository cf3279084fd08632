"""Attempts at a drawn slide, as the server's runner makes them."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from service.engine.attempt import FENCE, Attempt, AttemptEnd, Progress
from service.engine.run import supervise


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
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for progress in list(self.progress):
                if condition(progress):
                    return progress
            assert not self.ends, self.ends
            time.sleep(0.005)
        raise AssertionError("it did not come so far")

    def has_reached(self, phase: str) -> bool:
        return any(progress.phase == phase for progress in self.progress)

    def end(self) -> AttemptEnd:
        self._thread.join(120)
        assert self.ends, "it does not end"
        return self.ends[0]


def engines() -> list[psutil.Process]:
    """The kept engines of this process."""
    return [child for child in psutil.Process().children() if _is_engine(child)]


def workers() -> list[psutil.Process]:
    """The engines' children, each at an attempt."""
    return [child for engine in engines() for child in engine.children()]


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
