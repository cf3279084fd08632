"""`extent explain` as a user types it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import draw_slide, extent
from tiling.images import read_rgb

REGION = (200, 152, 48, 40)
NAME = "a-200-152-48-40"


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_slide(tmp_path_factory.mktemp("slide") / "a.png")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, slide: Path, random_model: Path) -> Path:
    """The folder into which the same region was explained by one run after another."""
    folder = tmp_path_factory.mktemp("out")
    for name in ("one", "two"):
        done = extent(*command(slide, random_model, folder / name), "--mpp", 4)
        assert done.returncode == 0, done.stderr
        assert f"picture: {folder / name / NAME / 'explanation.png'}" in done.stdout
        assert "a.png: explaining 0/" in done.stdout and "\x1b" not in done.stdout
    return folder


def command(slide: Path, model: Path, out: Path, region: str | None = None) -> list[object]:
    region = region or ",".join(map(str, REGION))
    return ["explain", slide, "--model", model, "--region", region, "--out", out]


def explanation(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / NAME / "explanation.json").read_text())
    return found


def test_a_picture_and_its_figures_and_nothing_else(out: Path) -> None:
    assert [path.name for path in (out / "one").iterdir()] == [NAME]
    folder = out / "one" / NAME
    assert sorted(path.name for path in folder.iterdir()) == ["explanation.json", "explanation.png"]
    height, width, _ = read_rgb(folder / "explanation.png").shape
    assert width > 1500 and height > 1000


def test_the_figures_add_up(out: Path, slide: Path) -> None:
    found = explanation(out / "one")
    region, influence, checks = found["region"], found["influence"], found["checks"]
    assert region["bbox_level0"] == list(REGION)
    assert region["map_pixels"] == 12 * 10
    assert region["logit_sum"] == pytest.approx(region["logit_mean"] * 120, rel=1e-4)
    due = region["logit_mean"] - region["logit_mean_if_stroma"]
    assert sum(influence["stains"].values()) == pytest.approx(due, abs=0.05 * abs(due) + 1e-3)
    assert 0 < influence["inside_share"] <= 1 and influence["reach_um"] >= 0
    strengths = [abs(place["effect"]) for place in influence["places"]]
    assert strengths and strengths == sorted(strengths, reverse=True)
    assert len(checks["rank_correlation_shuffled_weights"]) == 3
    assert found["provenance"]["slide"] == hashlib.sha256(slide.read_bytes()).hexdigest()
    assert found["provenance"]["parameters"] == {"mpp": [4.0, 4.0], "region_level0": list(REGION)}


def test_the_same_inputs_give_the_same_bytes(out: Path) -> None:
    one, two = (explanation(out / name) for name in ("one", "two"))
    assert one.pop("seconds") and two.pop("seconds")
    assert one == two
    pictures = [(out / name / NAME / "explanation.png").read_bytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]
    digest = hashlib.sha256(pictures[0]).hexdigest()
    assert one["provenance"]["outputs"] == {"explanation.png": digest}


@pytest.mark.parametrize(
    ("region", "extra", "said"),
    [
        ("1,2,3", ("--mpp", 4), "give X,Y,W,H"),
        ("1,2,3,x", ("--mpp", 4), "give X,Y,W,H"),
        ("5000,10,40,40", ("--mpp", 4), "outside what was scanned"),
        ("0,0,16,16", ("--mpp", 4), "no tissue"),
        ("0,0,480,360", ("--mpp", 6), "too large"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, slide: Path, random_model: Path, region: str, extra: tuple[object], said: str
) -> None:
    done = extent(*command(slide, random_model, tmp_path / "out", region), *extra)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")), "nothing is left behind"


def test_what_stands_there_is_not_overwritten(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mine.txt").write_text("keep me")
    done = extent(*command(slide, random_model, tmp_path), "--mpp", 4)
    assert done.returncode == 1 and "move it away" in done.stderr
    assert (tmp_path / NAME / "mine.txt").read_text() == "keep me"


def test_a_slide_without_resolution_is_refused(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    done = extent(*command(slide, random_model, tmp_path / "out"))
    assert done.returncode == 1 and "--mpp" in done.stderr
