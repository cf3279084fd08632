"""kill -9 of `extent predict` at seeded random times: the result stays the same to the byte."""

import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import tifffile

from tests.conftest import REPOSITORY, command, draw_slide

KILLS, AT_MOST = 50, 150
SEED = 20
LONGEST_WAIT_S = 5.0
NAME = "drawn"
PHASES = {"start", "reading", "canvas", "pyramid", "tracing", "overlay", "publishing"}
AIMS = ("start", "reading", "canvas", "pyramid", "report", "report", "publishing", "the end")
FILES = {"extent.geojson", "overlay.png", "probability.tiff"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def content(folder: Path) -> dict[str, bytes]:
    """A result's bytes, without what may differ from run to run."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    summary = json.loads(found.pop("summary.json"))
    del summary["seconds"], summary["provenance"]["run"]
    return found | {"summary.json": json.dumps(summary).encode()}


def is_whole(folder: Path) -> bool:
    """Whether each file is what summary.json says."""
    try:
        outputs = json.loads((folder / "summary.json").read_text())["provenance"]["outputs"]
    except (OSError, ValueError):
        return False
    return set(outputs) == FILES and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in outputs.items()
    )


def is_map(path: Path) -> bool:
    """Whether a map was written to its end."""
    try:
        return bool(tifffile.imread(path).size)
    except (OSError, ValueError, IndexError, tifffile.TiffFileError):
        return False


def phase_on_disk(out: Path) -> str:
    """In which phase after the canvas a kill came, from what it left."""
    work = out / ".work" / "slides" / NAME
    result = work / "result"
    if (out / NAME).exists():
        return "publishing" if work.exists() else "published"
    if is_whole(result):
        return "publishing"
    if (result / "extent.geojson").exists():
        return "overlay"
    return "tracing" if is_map(result / "probability.tiff") else "pyramid"


@dataclass
class Run:
    """`extent predict` under way, in a process group of its own; `phase` is what it said last."""

    arguments: tuple[object, ...]
    out: Path
    phase: str = "start"
    said: str = ""

    def __post_init__(self) -> None:
        self.began = {self.phase: time.monotonic()}
        self.process = subprocess.Popen(
            command(*self.arguments),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.said += line
                if line.startswith(f"{NAME}: "):
                    self.phase = line.split()[1]
                    self.began.setdefault(self.phase, time.monotonic())

    def has_reached(self, aim: str) -> bool:
        """Whether a phase has begun; `report` is all that follows the canvas."""
        later = self.phase not in ("start", "reading", "canvas")
        result = self.out / ".work" / "slides" / NAME / "result"
        if aim == "publishing":  # sooner than its line comes, which is almost too late
            return self.phase == aim or (later and (result / "summary.json").exists())
        if aim == "pyramid":  # likewise: it takes milliseconds
            return later or (self.phase == "canvas" and (result / "probability.tiff").exists())
        return later if aim == "report" else self.phase == aim

    def kill_at(self, aim: str, wait_s: float) -> str | None:
        """Kill all processes `wait_s` after a phase began; None when the run ended before."""
        while self.process.poll() is None:
            if self.has_reached(aim):
                try:
                    self.process.wait(timeout=wait_s)
                except subprocess.TimeoutExpired:
                    os.killpg(self.process.pid, signal.SIGKILL)
                break
            time.sleep(0.0005)
        code = self.process.wait()
        self._reader.join()
        assert code in (0, -signal.SIGKILL), self.said
        if code == 0:
            return None
        early = self.phase in ("start", "reading", "canvas")
        return self.phase if early else phase_on_disk(self.out)


def seconds_by_phase(options: tuple[object, ...], out: Path) -> dict[str, float]:
    """How long an undisturbed run took: to its first line, for the canvas, for the report."""
    run = Run((*options, "--out", out), out)
    assert run.kill_at("the end", 0) is None
    began = run.began
    return {
        "start": began["reading"] - began["start"],
        "reading": began["canvas"] - began["reading"],
        "canvas": began["pyramid"] - began["canvas"],
        "report": began["publishing"] - began["pyramid"],
        "pyramid": 0.004,
        "tracing": 0.02,
        "overlay": began["publishing"] - began["overlay"],
        "publishing": 0.03,
        "the end": 0,
    }


def test_fifty_kills_change_nothing(tmp_path: Path, random_model: Path) -> None:
    slide, out = draw_slide(tmp_path / f"{NAME}.png", 3000, 2400), tmp_path / "out"
    options = ("predict", slide, "--model", random_model, "--mpp", 4, "--window", 64)
    longest = seconds_by_phase(options, tmp_path / "undisturbed")
    expected = content(tmp_path / "undisturbed" / NAME)

    drawn, aims = random.Random(SEED), itertools.cycle(AIMS)
    killed: Counter[str] = Counter()
    completed = 0
    while killed.total() < KILLS or (PHASES - set(killed) and killed.total() < AT_MOST):
        missing = sorted(PHASES - set(killed))
        aim = next(aims) if killed.total() < KILLS else missing[killed.total() % len(missing)]
        run = Run((*options, "--out", out), out)
        phase = run.kill_at(aim, drawn.uniform(0, min(longest[aim], LONGEST_WAIT_S)))
        if phase:
            killed[phase] += 1
        if (out / NAME).exists():
            assert is_whole(out / NAME), f"a half result after a kill in {phase}"
            assert content(out / NAME) == expected
        if not phase:
            assert sorted(path.name for path in out.iterdir()) == [NAME, "slides.csv"]
            completed += 1
            shutil.rmtree(out)
    assert Run((*options, "--out", out), out).kill_at("the end", 0) is None
    assert content(out / NAME) == expected
    print(f"\n{killed.total()} kills: {dict(killed)}; runs completed in between: {completed}")
    assert set(killed) >= PHASES
