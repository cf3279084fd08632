"""The benchmark of predicting does not rot: its parts run, on a tiny slide, without MONAI."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from benchmarks.apart import Apart, Contender, Runner, Timing
from benchmarks.contenders import Extent, Forward, Phases, Way
from benchmarks.job import Facts, prepare
from benchmarks.machine import describe_machine
from benchmarks.measure import Alone, Measured, measure
from benchmarks.one_pass import Crop, Deviation
from benchmarks.predict import parse
from benchmarks.pss import PeakPss, tree_pss
from benchmarks.scaling import BatchRun, Sized, batch_table, size_table
from benchmarks.side_by_side import SideBySide
from benchmarks.tables import Table, put_section
from tiling.frame import Box
from tiling.synthetic import SlideRecipe
from tiling.synthetic_files import write_drawn_slide

MEGABYTE = 1 << 20


class Here:
    """A contender in the test's own process."""

    def __init__(self, contender: Contender) -> None:
        self.pid = os.getpid()
        self._runner: Runner = contender.load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was started."""

    def ready_seconds(self) -> float:
        return 0.0

    def run(self) -> Timing:
        return self._runner.run()

    def deviation(self, crop: Crop) -> Deviation | None:
        return self._runner.deviation(crop)


@dataclass(frozen=True)
class Idle:
    """Does nothing, `broken` not even that; says which process it was in by its seconds."""

    broken: bool = False
    name: str = "idle"

    def load(self) -> "Idle":
        return self

    def run(self) -> Timing:
        if self.broken:
            os._exit(3)
        return Timing(float(os.getpid()), 0.0)

    def deviation(self, crop: Crop) -> Deviation:
        return Deviation(float(crop.box.x), 0.0)


def test_side_by_side_and_sizes(tmp_path: Path, random_model: Path) -> None:
    slide = tmp_path / "drawn.tiff"
    write_drawn_slide(slide, SlideRecipe(3, 3, 512, 512, 1.0), downsamples=(1, 4))
    job, facts, crop = prepare(slide, str(random_model), 1.0, tmp_path)
    assert facts.mpp == 1.0
    assert facts.tissue_megapixels == pytest.approx(facts.tissue_mm2)
    assert facts.read_megapixels > facts.tissue_megapixels > 0

    way = Way.of("torch-fp32")
    contenders: list[Contender] = [Extent(job, way, tmp_path), Forward(job, way)]
    heard: list[str] = []
    extent, forward = measure(contenders, 2, crop=crop, start=Here, say=heard.append)
    assert heard[-1] == "round 2 of 2"
    assert min(extent.seconds, forward.seconds) > 0
    assert set(extent.phases) >= {"canvas", "publishing"}
    assert sum(extent.timings[0].phases.values()) <= extent.timings[0].seconds
    assert extent.alone.peak_bytes > 50 * MEGABYTE
    assert forward.deviation is None
    assert extent.deviation is not None and extent.deviation.stored_steps is not None
    assert extent.deviation.largest <= 1e-4
    assert 0 < extent.deviation.stored_steps <= 0.5 + 255e-4

    tables = SideBySide(facts, [way], [extent], [forward], []).tables()
    assert [row[0] for row in tables[0].rows] == [extent.name, forward.name]
    held = {row[0]: row[-1] for row in tables[1].rows}
    assert held["largest distance from one pass, torch fp32"] == "yes"
    assert size_table([Sized(facts, extent, forward)]).rows[0][-1] == "1.00"


def test_a_contender_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    crop = Crop(Box(7, 0, 8, 8), Box(0, 0, 2, 2), tmp_path / "none")
    with Apart(Idle()) as child:
        assert child.ready_seconds() > 0
        assert child.run().seconds == child.pid != os.getpid()
        assert child.deviation(crop) == Deviation(7.0, 0.0)
    with Apart(Idle(broken=True)) as child, pytest.raises(SystemExit, match=r"idle: .* with 3"):
        child.ready_seconds()
        child.run()


def test_ratios_are_of_one_round() -> None:
    alone = Alone(1.0, 1.0, Timing(1.0, 1.0), 1, 1)
    slow = Measured("slow", alone, [Timing(s, s) for s in (4.0, 30.0, 6.0)])
    fast = Measured("fast", alone, [Timing(s, s) for s in (2.0, 10.0, 1.0)])
    assert slow.seconds == 6.0
    assert slow.ratios_to(fast) == [2.0, 3.0, 6.0]


def test_batches_compare_rounds() -> None:
    runs = [BatchRun(1, 10.0, 1), BatchRun(2, 8.0, 3_000_000), BatchRun(1, 12.0, 1)]
    runs.append(BatchRun(2, 6.0, 2_000_000))
    facts = Facts(1.0, (1024, 1024), 1, 1.0, 1.0, 1.5)
    one, two = batch_table(runs, 4, facts).rows
    assert one[:2] == ["1", "11.0"] and one[4] == "1.00"
    assert two[:2] == ["2", "7.0"] and two[4:] == ["1.62", "3"]


def test_memory_counts_descendants() -> None:
    hold = f"data = b'x' * {64 * MEGABYTE}; print(flush=True); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process, PeakPss(process.pid) as peak:
        assert process.stdout is not None
        process.stdout.readline()
        assert tree_pss(process.pid) > 64 * MEGABYTE
        while peak.bytes <= 64 * MEGABYTE:  # until it has looked
            time.sleep(0.01)
        process.communicate(b"\n")
    assert tree_pss(process.pid) == 0


def test_deviation_looks_at_tissue_only(tmp_path: Path) -> None:
    expected = np.array([[0.5, 0.25], [1.0, 0.0]], np.float32)
    np.savez(tmp_path / "c.npz", probability=expected, tissue=np.array([[1, 1], [1, 0]], bool))
    crop = Crop(Box(0, 0, 8, 8), Box(0, 0, 2, 2), tmp_path / "c.npz")
    values = np.array([[0.5, 0.5], [1.0, np.nan]], np.float32)
    stored = np.array([[127, 64], [255, 99]], np.uint8)
    assert crop.deviation(values, stored) == Deviation(0.25, float(np.float32(0.25 / 3)), 0.5)


def test_phases_that_come_back_are_summed() -> None:
    phases = Phases()
    for phase in ("canvas", "pyramid", "canvas", "pyramid", ""):
        phases.begin(phase)
    assert list(phases.seconds) == ["canvas", "pyramid"]


def test_sections_are_replaced_in_place(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Results\n\n<!-- a -->\n\nold\n\n<!-- /a -->\n\nkept\n")
    put_section(path, "a", Table("New", ("", "x"), [("one", "1")], ["Note."]).markdown())
    put_section(path, "b", "second")
    put_section(path, "b", "third")
    text = path.read_text()
    assert text.startswith(
        "# Results\n\n<!-- a -->\n\n### New\n\n|  | x |\n|---|---:|\n| one | 1 |"
    )
    assert text.endswith("kept\n\n<!-- b -->\n\nthird\n\n<!-- /b -->\n")
    assert "old" not in text and "second" not in text


def test_arguments() -> None:
    asked = parse(["--model-mpp", "own,2", "--scaling", "--workers", "1,2"])
    assert asked.model_mpp == [None, 2.0]
    assert asked.scaling == [16384, 32768, 65536]
    assert asked.workers == [1, 2]
    assert parse(["--monai", "1-0,4-8"]).monai == [(1, 0), (4, 8)]
    assert str(asked.ways[0]) == "openvino int8"
    with pytest.raises(ValueError, match="not such as"):
        Way.of("openvino-int3")


def test_the_machine_is_named_not_its_host() -> None:
    assert "cores" in describe_machine()
    assert os.uname().nodename not in describe_machine()
