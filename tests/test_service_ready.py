"""Models made ready: loaded once, kept compiled, and torch left alone where it does not compute."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from annotations.errors import CheckpointError
from model.compiled import SUFFIX, CompiledModels, InHand
from service.cli_options import compiled_models
from service.tasks import MapSettings, Model
from service.worker import ready, seated, settled
from tests.conftest import REPOSITORY, draw_slide, write_random_model

CPU = MapSettings(device="cpu", runtime="openvino", precision="fp32", threads=1)
MAP = """
import sys
from pathlib import Path
from service.inputs import SlideInput
from service.tasks import MapSettings, SlideJob, settle
from service.worker import work
slide, model, out, compiled = map(Path, sys.argv[1:])
settings = MapSettings(runtime="openvino", threads=1)
job = SlideJob(SlideInput(slide, "s"), out, settle(str(model), settings, compiled), mpp=4.0)
outcome = work(job, lambda update: None)
assert outcome.status == "done", outcome
print("torch" in sys.modules)
"""


def map_in_a_process(*arguments: Path) -> str:
    command = [sys.executable, "-c", MAP, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_torch_is_loaded_to_compile_a_model_and_not_again(
    random_model: Path, tmp_path: Path
) -> None:
    slide, compiled = draw_slide(tmp_path / "slide.png"), tmp_path / "compiled"
    first, again = tmp_path / "first", tmp_path / "again"
    assert map_in_a_process(slide, random_model, first, compiled) == "True"
    assert len(list(compiled.iterdir())) == 1
    assert map_in_a_process(slide, random_model, again, compiled) == "False"
    for name in ("probability.tiff", "extent.geojson"):
        assert (again / "s" / name).read_bytes() == (first / "s" / name).read_bytes()


def test_a_spoilt_compiled_model_is_made_anew(random_model: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "compiled"
    model = settled(str(random_model), CPU, compiled)
    ready(model)
    (kept,) = compiled.glob(f"*{SUFFIX}")
    kept.write_bytes(kept.read_bytes()[:1000])
    shelf = CompiledModels(compiled)
    assert not shelf.find(kept.stem)
    ready(model)
    assert shelf.find(kept.stem)


def test_a_model_that_changed_is_neither_used_nor_kept(tmp_path: Path) -> None:
    path, compiled = write_random_model(tmp_path / "model.safetensors"), tmp_path / "compiled"
    model = settled(str(path), CPU, compiled)
    shutil.copyfile(write_random_model(tmp_path / "other.safetensors", seed=1), path)
    with pytest.raises(CheckpointError, match="changed"):
        ready(model)
    assert not compiled.exists()


def test_bad_weights_are_found_before_any_slide_is_touched(tmp_path: Path) -> None:
    path = write_random_model(tmp_path / "model.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="weights"):
        settled(str(path), CPU, tmp_path / "compiled")


def test_a_shelf_goes_before_the_folder(random_model: Path, tmp_path: Path) -> None:
    compiled, shelf = tmp_path / "compiled", InHand()
    ready(settled(str(random_model), CPU, compiled, shelf), shelf)
    assert shelf.compiled and not compiled.exists()


@pytest.mark.parametrize("said", ["", "relative/cache"])
def test_the_folder_is_in_the_users_cache(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled_models() == Path(os.environ["XDG_CACHE_HOME"]) / "extent" / "compiled"
    monkeypatch.setenv("XDG_CACHE_HOME", said)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert compiled_models() == Path("/home/somebody/.cache/extent/compiled")


@pytest.mark.parametrize(
    ("device", "seat", "expected"),
    [
        ("cuda:1", 0, "cuda:1"),
        ("cpu", 3, "cpu"),
        ("cuda", "tls://worker", "cuda"),
        ("cuda", None, "cuda"),
    ],
)
def test_workers_compute_where_they_are_told(device: str, seat: object, expected: str) -> None:
    model = Model(Path("m"), "m", "digest", MapSettings(device=device))
    assert seated(model, seat).settings.device == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_workers_of_one_machine_share_its_gpus() -> None:
    model = Model(Path("m"), "m", "digest", MapSettings(device="cuda"))
    gpus = torch.cuda.device_count()
    for seat in range(gpus + 1):
        assert seated(model, seat).settings.device == f"cuda:{seat % gpus}"
