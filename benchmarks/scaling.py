"""How Extent's time and memory grow: with the slide, and with the workers of a batch."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.job import Facts, Job
from benchmarks.measure import Measured
from benchmarks.pss import PeakPss
from benchmarks.tables import Table

MOST_GROWTH = 1.2  # of the peak memory, from the smallest slide on


@dataclass(frozen=True)
class Sized:
    """Extent and the forward pass alone on a slide of one size."""

    facts: Facts
    extent: Measured
    forward: Measured


def size_table(sized: Sequence[Sized]) -> Table:
    """A row a slide; memory against the first one's."""
    least = sized[0].extent.alone.peak_bytes
    rows = [
        [
            f"{one.facts.size_level0[0]:,} x {one.facts.size_level0[1]:,}",
            f"{one.facts.tissue_mm2:.0f}",
            f"{one.extent.seconds:.2f}",
            f"{1000 * one.extent.seconds / one.facts.tissue_mm2:.1f}",
            f"{median(one.extent.ratios_to(one.forward)):.2f}",
            f"{one.extent.alone.peak_bytes / 1e6:,.0f}",
            f"{one.extent.alone.peak_bytes / least:.2f}",
        ]
        for one in sized
    ]
    columns = (
        "slide, pixels",
        "tissue mm²",
        "seconds",
        "ms per mm²",
        "/ forward pass",
        "peak MB",
        "/ first",
    )
    grown = max(one.extent.alone.peak_bytes for one in sized) / least
    note = f"Memory may grow {MOST_GROWTH:g} times; it grew {grown:.2f} times."
    return Table(f"Over slide size, model at {sized[0].facts.mpp:g} µm/px", columns, rows, [note])


@dataclass(frozen=True)
class BatchRun:
    """One `extent predict`, from its start to its end; `peak_bytes` PSS of all its processes."""

    workers: int
    seconds: float
    peak_bytes: int


def run_batch(job: Job, slides: int, workers: int, folder: Path) -> BatchRun:
    """Map so many slides, links to one file, by the command that users give.

    Later batches find beside the model what the first one compiled.

    Raises:
        SystemExit: the command failed.
    """
    paths = []
    for number in range(slides):
        path = folder / f"slide-{number}{job.slide.suffix}"
        path.hardlink_to(job.slide)
        paths.append(str(path))
    command = [sys.executable, "-m", "service.cli", "predict", *paths]
    command += ["--model", str(job.model), "--out", str(folder / "out"), "--workers", str(workers)]
    began = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": str(job.model.parent / "cache")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    with PeakPss(process.pid) as peak:
        code = process.wait()
    seconds = time.perf_counter() - began
    if code:
        raise SystemExit(f"extent predict --workers {workers} ended with {code}; see above")
    return BatchRun(workers, seconds, peak.bytes)


def batch_table(runs: Sequence[BatchRun], slides: int, facts: Facts) -> Table:
    """A row for each number of workers, medians of its runs."""
    rows = []
    by_workers = {w: [run for run in runs if run.workers == w] for w in dict.fromkeys(_w(runs))}
    first = next(iter(by_workers.values()))
    for workers, mine in by_workers.items():
        seconds = median(run.seconds for run in mine)
        faster = median(a.seconds / b.seconds for a, b in zip(first, mine, strict=True))
        rows.append(
            [
                str(workers),
                f"{seconds:.1f}",
                f"{60 * slides / seconds:.1f}",
                f"{facts.tissue_mm2 * slides / seconds:.1f}",
                f"{faster:.2f}",
                f"{max(run.peak_bytes for run in mine) / 1e6:,.0f}",
            ]
        )
    width, height = facts.size_level0
    return Table(
        f"Over workers: `extent predict` on {slides} slides of {width:,} x {height:,} pixels, "
        f"model at {facts.mpp:g} µm/px",
        ("workers", "seconds", "slides a minute", "tissue mm²/s", "speed-up", "peak MB"),
        rows,
        ["Seconds from the start of the command to its end; memory of all its processes."],
    )


def _w(runs: Sequence[BatchRun]) -> list[int]:
    return [run.workers for run in runs]
