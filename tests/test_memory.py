"""Memory does not grow with the slide: predicting 40,000 x 40,000 pixels stays under 1.5 GB."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pss import PeakPss
from model.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from tiling.synthetic_blocks import write_blocks_slide

pytestmark = pytest.mark.slow
SIDE = 40_000
LIMIT_BYTES = 1_500_000_000


@pytest.fixture(scope="module")
def large_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.tiff"
    write_blocks_slide(path, SIDE, SIDE, mpp=1.0)
    return path


def predict_and_watch(slide: Path, model: str, out: Path) -> int:
    """Run `extent predict`; the highest PSS of its process tree, bytes."""
    command = [sys.executable, "-m", "service.cli", "predict", str(slide), "--model", model]
    running = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL)
    with PeakPss(running.pid) as peak:
        assert running.wait() == 0
    return peak.bytes


def at_one_um(path: Path) -> Path:
    """The weights that ship as a model of 1 µm/px: sixteen times the windows, a map of 10,000²."""
    shipped = load_checkpoint(find_checkpoint("breast-idc"))
    save_checkpoint(path, replace(shipped.card, mpp=1.0), shipped.network)
    return path


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model_mpp", [4.0, 1.0])
def test_a_large_slide_needs_little_memory(
    large_slide: Path, tmp_path: Path, model_mpp: float
) -> None:
    """At the 4 µm/px of the model that ships, and at the slide's own 1 µm/px."""
    model = "breast-idc"
    if model_mpp == 1.0:
        model = str(at_one_um(tmp_path / "fine.safetensors"))
    highest = predict_and_watch(large_slide, model, tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "large" / "summary.json").read_text())
    assert 300 < summary["tissue_area_mm2"] < 900, "about a third of 1,600 mm²"
    print(f"peak PSS {highest / 1e6:.0f} MB, {len(summary['regions'])} regions")
    assert highest < LIMIT_BYTES
