"""Slides unlike those that a model was measured on: every result says so, and has no interval."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.errors import CheckpointError
from model.checkpoint import load_checkpoint, save_checkpoint
from model.conformal import NEVER_MEASURED as NO_CONTOURS
from model.known_looks import NEVER_MEASURED
from service.familiarity import NO_TISSUE, ONLY_A_REGION, UNLIKE, familiarity_of
from service.tasks import MapSettings, settle
from tests.conftest import draw_slide, extent
from tests.scene import CALIBRATION, Scene, Values, known_like
from tiling.appearance import Appearance
from tiling.frame import Box
from tiling.images import read_rgb

PLAIN = Scene(size=(120, 90), mpp=4.0, calibration=CALIBRATION)
REASON = "beside the slides of 20 known patients, its stain is far paler (median optical density"


def look_in(summary: Mapping[str, Any]) -> Appearance:
    look = Appearance.from_summary(summary)
    assert look is not None
    return look


@pytest.fixture
def values(tmp_path: Path) -> Values:
    """A map with a tumour."""
    found = PLAIN.empty(tmp_path)
    found[0, 20:60, 20:80], found[0, 30:50, 30:60] = 130, 220
    return found


@pytest.fixture
def look(tmp_path: Path, values: Values) -> Appearance:
    """What the plain scene looks like."""
    return look_in(PLAIN.write(tmp_path, values, out="plain"))


def classes(folder: Path) -> set[str]:
    features = json.loads((folder / "extent.geojson").read_text())["features"]
    return {feature["properties"]["classification"]["name"] for feature in features}


def test_a_slide_like_those_known_has_its_interval(
    tmp_path: Path, values: Values, look: Appearance
) -> None:
    told: Any = replace(PLAIN, calibration=known_like(look)).write(tmp_path, values)
    found = told["familiarity"]
    assert (found["verdict"], found["patients"], found["reason"]) == ("like", 20, "")
    assert 0.05 < found["p_value"] <= 1 and told["no_familiarity"] == ""
    assert told["area_interval_mm2"] and not told["no_interval"]


def test_an_unlike_slide_says_why_and_has_neither_interval_nor_contours(
    tmp_path: Path, values: Values, look: Appearance
) -> None:
    told: Any = replace(PLAIN, calibration=known_like(look, 3.0)).write(tmp_path, values)
    found = told["familiarity"]
    assert found["verdict"] == "unlike" and found["p_value"] == pytest.approx(1 / 21)
    assert found["reason"].startswith(f"{REASON} {look.optical_density:.2g}; theirs")
    assert told["area_interval_mm2"] is None and told["no_interval"] == UNLIKE
    assert told["tumour_area_mm2"] > 0
    assert classes(tmp_path / "out") == {"Tumour"}
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == json.loads(json.dumps(told))


def test_the_picture_of_an_unlike_slide_says_so(
    tmp_path: Path, values: Values, look: Appearance
) -> None:
    """Of two results without contours, which differ in the warning alone."""
    bare = {"familiarity": known_like(look, 3.0)["familiarity"]}
    replace(PLAIN, calibration=bare).write(tmp_path, values, out="unlike")
    replace(PLAIN, calibration={}).write(tmp_path, values, out="unknown")
    unlike, unknown = (read_rgb(tmp_path / out / "overlay.png") for out in ("unlike", "unknown"))
    assert len(unlike) > len(unknown), "a line more"


def test_another_reason_for_no_interval_stays(
    tmp_path: Path, values: Values, look: Appearance
) -> None:
    scene = replace(PLAIN, calibration=known_like(look, 3.0) | {"contours": None})
    told: Any = scene.write(tmp_path, values)
    assert told["familiarity"]["verdict"] == "unlike"
    assert told["no_interval"] == NO_CONTOURS


def test_a_model_that_knows_no_slides_says_so(tmp_path: Path, values: Values) -> None:
    told = PLAIN.write(tmp_path, values)
    assert told["familiarity"] is None and told["no_familiarity"] == NEVER_MEASURED
    assert told["area_interval_mm2"], "which is no reason to have no interval"


def test_regions_and_slides_without_tissue_are_not_judged(
    tmp_path: Path, values: Values, look: Appearance
) -> None:
    scene = replace(PLAIN, calibration=known_like(look, 3.0))
    region = replace(scene, region_level0=Box(0, 0, 50, 50))
    told = region.write(tmp_path, values)
    assert told["familiarity"] is None and told["no_familiarity"] == ONLY_A_REGION
    assert "only a region" in str(told["no_interval"])
    with scene.slide(tmp_path) as slide, scene.map(tmp_path, slide, values) as extent_map:
        assert familiarity_of(scene.card, extent_map, None) == NO_TISSUE


@pytest.fixture(scope="module")
def drawn(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A drawn slide, and the random model as it would be after paler and after equal slides."""
    folder = tmp_path_factory.mktemp("familiar")
    slide, out = draw_slide(folder / "a.png"), folder / "out"
    done = extent("predict", slide, "--model", random_model, "--out", out, "--mpp", 4)
    assert done.returncode == 0, done.stderr
    look = look_in(json.loads((out / "a" / "summary.json").read_text()))
    found, files = load_checkpoint(random_model), {"slide": slide}
    for name, density in (("like", 1.0), ("unlike", 3.0)):
        files[name] = folder / f"{name}.safetensors"
        card = replace(found.card, calibration=known_like(look, density))
        save_checkpoint(files[name], card, found.network)
    return files


@pytest.mark.parametrize("verdict", ["like", "unlike"])
def test_predict_tells_the_verdict(tmp_path: Path, drawn: dict[str, Path], verdict: str) -> None:
    slide, model = drawn["slide"], drawn[verdict]
    done = extent("predict", slide, "--model", model, "--out", tmp_path, "--mpp", 4)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "slides.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["familiarity"] == verdict
    assert bool(row["area_low_mm2"]) == (verdict == "like")
    warned = "1 slide is unlike those that the model was measured on" in done.stderr
    assert warned == (verdict == "unlike")
    assert (f"a: {REASON}" in done.stderr) == warned


def test_a_model_whose_known_slides_make_no_sense_is_refused_at_once(
    tmp_path: Path, random_model: Path
) -> None:
    found, model = load_checkpoint(random_model), tmp_path / "odd.safetensors"
    card = replace(found.card, calibration={"familiarity": [[{"optical_density": "dark"}]]})
    save_checkpoint(model, card, found.network)
    with pytest.raises(CheckpointError, match="make no sense"):
        settle(str(model), MapSettings(runtime="torch", device="cpu"), None)
