"""`make demo`: from nothing to areas, and the drawn slides pass their gate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished demo, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "service.cli", "demo", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


@pytest.mark.timeout(1800)
def test_it_says_where_everything_is(demo: tuple[Path, str]) -> None:
    out, text = demo
    for part in text.split():
        if part.startswith(str(out)) and Path(part).suffix in (
            ".png",
            ".geojson",
            ".json",
            ".html",
        ):
            assert Path(part).stat().st_size > 200, part
    assert "overlay.png" in text and "extent.geojson" in text and "mm²" in text


@pytest.mark.timeout(1800)
def test_a_small_network_reads_the_drawn_slides(demo: tuple[Path, str]) -> None:
    """The gate: on sites never seen, Dice of at least 0.80, where colour alone stays under 0.60."""
    metrics = json.loads((demo[0] / "evaluation" / "metrics.json").read_text())
    assert metrics["pixels"]["dice"]["value"] >= 0.80
    assert metrics["split"] == "test"


@pytest.mark.timeout(1800)
def test_run_again_it_goes_on_from_what_is_there(demo: tuple[Path, str]) -> None:
    out, _ = demo
    model = (out / "training" / "model.safetensors").read_bytes()
    command = [sys.executable, "-m", "service.cli", "demo", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "training" / "model.safetensors").read_bytes() == model
