"""The wheel, installed away from the checkout, is all of Extent."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tiling.images import write_png

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `extent` script of a fresh environment that holds the wheel; libraries are borrowed.

    The libraries come from the environment that runs the tests, by a path file: what is tested is
    the wheel's own content, not the package index.
    """
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        env=clean_environment(),
    )
    (wheel,) = folder.glob("tumour_extent-*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    for entry in Path(libraries).iterdir():  # all but the editable checkout
        if "tumour_extent" not in entry.name and not entry.name.startswith("_editable"):
            (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    return folder / "env" / "bin" / "extent"


def test_predict_with_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal((205, 150, 185), 25, (700, 900, 3)).clip(0, 255).astype(np.uint8)
    write_png(tmp_path / "cut out.png", pixels)
    command = [installed, "predict", "cut out.png", "--model", "breast-idc", "--out", "results"]
    done = subprocess.run(
        [*command, "--mpp", "2.0"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "results" / "cut out" / "summary.json").read_text())
    assert summary["model"] == "breast-idc"
    assert summary["tissue_area_mm2"] == pytest.approx(1400 * 1800 / 1e6, rel=0.02)


def test_it_runs_from_the_wheel_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import service, model; print(service.__file__, model.__file__)"
    python = installed.with_name("python")
    out = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert str(ROOT) not in out.stdout and "site-packages" in out.stdout


def test_the_wheel_types_and_ships(installed: Path, tmp_path: Path) -> None:
    (site,) = installed.parent.parent.glob("lib/python*/site-packages")
    for floor in ("annotations", "tiling", "model", "service"):
        assert (site / floor / "py.typed").exists()
    out = subprocess.run(
        [installed, "models"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert "breast-idc" in out.stdout


def test_the_wheel_holds_the_viewer_and_its_licences(installed: Path) -> None:
    (site,) = installed.parent.parent.glob("lib/python*/site-packages")
    web = site / "service" / "web"
    assert [entry.name for entry in web.iterdir()] == ["dist"]
    page = (web / "dist" / "index.html").read_text()
    for path in re.findall(r'(?:src|href)="/(assets/[^"]+)"', page):
        assert (web / "dist" / path).is_file()
    licences = (web / "dist" / "licences.txt").read_text()
    for part in ("openseadragon", "Annotorious", "Svelte", "pixi.js", "tus-js-client"):
        assert part in licences


def test_a_wheel_can_be_built_without_the_viewer(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        env=clean_environment() | {"EXTENT_WITHOUT_VIEWER": "1"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert not [name for name in content.namelist() if "service/web" in name]
