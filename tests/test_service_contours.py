"""How far, how sure: contours and the interval in a result, and who must not count them."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree
from shapely import MultiPolygon
from shapely.geometry import shape

from annotations import read_outlines
from annotations.errors import CheckpointError, OutlineWarning
from model.adaptive import Account
from model.area_interval import AreaInterval
from model.checkpoint import load_checkpoint, save_checkpoint
from model.conformal import NEVER_MEASURED
from service.contours import INNER_COLOUR, OUTER_COLOUR
from service.convert import convert_outlines
from service.report import ReportOptions
from service.tasks import MapSettings, settle
from service.wording import ends
from tests.conftest import draw_slide, extent
from tests.scene import CALIBRATION, CONTOURS, Scene, Values
from tiling.frame import Box
from tiling.images import read_rgb

SMALL = Scene(size=(120, 90), mpp=4.0, calibration=CALIBRATION)
PIXEL_MM2 = 16e-6
FOUND, OUTER, INNER = "Tumour", "Tumour outer contour", "Tumour inner contour"


def contours_of(outer: int, inner: int, **more: Any) -> dict[str, Any]:
    """A card's calibration with these contours."""
    return {"contours": CONTOURS.to_json() | {"outer": outer, "inner": inner} | more}


def blotches(seed: int, smooth: float) -> Values:
    """A map of the small scene [1, 90, 120] with every value, speckled unless `smooth`."""
    noise = gaussian_filter(np.random.default_rng(seed).random((90, 120)), smooth)
    ranks = noise.ravel().argsort().argsort().reshape(noise.shape)
    return (ranks * 256 // noise.size).astype(np.uint8)[None]


def features(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "extent.geojson").read_text())["features"]
    return found


def drawn(folder: Path, name: str) -> MultiPolygon:
    """All polygons of a class in a result."""
    shapes = [shape(f["geometry"]) for f in features(folder) if classification(f) == name]
    assert all(polygon.is_valid for polygon in shapes)
    return MultiPolygon(shapes)


def classification(feature: dict[str, Any]) -> str:
    return str(feature["properties"]["classification"]["name"])


def covers(around: MultiPolygon, within: MultiPolygon) -> bool:
    return bool(shapely.difference(within, around.buffer(0)).area < 1e-6)


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[Iterator[str]]:
    """Names for result folders, each another."""
    return iter(str(number) for number in range(1000))


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 99),
    smooth=st.sampled_from([0.0, 1.5, 6.0]),
    values=st.tuples(st.integers(1, 256), st.integers(1, 256)).map(sorted),
    threshold=st.none() | st.floats(0, 1, exclude_max=True),
    slack=st.sampled_from([0.0, 0.2]),
)
def test_inner_lies_within_outline_within_outer(
    tmp_path: Path,
    numbered: Iterator[str],
    seed: int,
    smooth: float,
    values: list[int],
    threshold: float | None,
    slack: float,
) -> None:
    """Whatever map, contours and threshold: the polygons, their areas and the interval agree."""
    stored, out = blotches(seed, smooth), next(numbered)
    scene = replace(SMALL, calibration=contours_of(*values, slack=slack))
    summary = scene.write(tmp_path, stored, ReportOptions(threshold), out=out)
    outer, found, inner = (drawn(tmp_path / out, name) for name in (OUTER, FOUND, INNER))
    assert covers(outer, found) and covers(found, inner)
    above = stored / 255 > (0.5 if threshold is None else threshold)
    assert outer.area == ((stored >= values[0]) | above).sum()
    assert inner.area == ((stored >= values[1]) & above).sum()
    interval: Any = summary["area_interval_mm2"]
    assert interval["high"] == pytest.approx(outer.area * PIXEL_MM2 / (1 - slack), rel=1e-9)
    assert interval["low"] == pytest.approx(inner.area * PIXEL_MM2 * (1 - slack), rel=1e-9)
    area: Any = summary["tumour_area_mm2"]
    assert interval["low"] <= area <= interval["high"]
    assert area == pytest.approx(found.area * PIXEL_MM2, rel=1e-9)


def test_the_summary_states_the_interval(tmp_path: Path) -> None:
    values = SMALL.empty(tmp_path)
    values[0, 10:60, 10:60], values[0, 20:50, 20:50], values[0, 30:40, 30:40] = 60, 128, 200
    summary = SMALL.write(tmp_path, values)
    assert summary["area_interval_mm2"] == {
        "low": pytest.approx(100 * PIXEL_MM2 * 0.8),
        "high": pytest.approx(2500 * PIXEL_MM2 / 0.8),
        "level": 0.8,
        "kind": "approximate",
        "patients": 20,
        "slack": 0.2,
    }
    assert summary["no_interval"] == ""
    assert summary["tumour_area_mm2"] == pytest.approx(900 * PIXEL_MM2)
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == json.loads(json.dumps(summary))


def test_contours_are_detections_of_their_own_classes_after_the_regions(tmp_path: Path) -> None:
    SMALL.write(tmp_path, blotches(1, 3.0))
    found = features(tmp_path / "out")
    order = [FOUND, OUTER, INNER]
    assert list(dict.fromkeys(map(classification, found))) == order
    assert found == sorted(found, key=lambda feature: order.index(classification(feature)))
    assert len({feature["id"] for feature in found}) == len(found)
    colours = {tuple(f["properties"]["classification"]["color"]) for f in found}
    assert {OUTER_COLOUR, INNER_COLOUR} < colours and len(colours) == 3
    for feature in found:
        properties = feature["properties"]
        if classification(feature) == FOUND:
            assert properties["objectType"] == "annotation"
            continue
        assert properties["objectType"] == "detection"
        assert properties["measurements"] == [{"name": "Level", "value": 0.8}]
        assert properties["kind"] == "approximate"


def test_contours_are_no_outlines_to_who_reads_them_back(tmp_path: Path) -> None:
    SMALL.write(tmp_path, blotches(2, 3.0))
    source, target = tmp_path / "out" / "extent.geojson", tmp_path / "outlines.xml"
    with pytest.warns(OutlineWarning, match="computed, not drawn, left out"):
        outlines = read_outlines(source)
    assert {outline.label for outline in outlines} == {"tumour"}
    area = sum(outline.polygon.area for outline in outlines)
    assert area == drawn(tmp_path / "out", FOUND).area
    with pytest.warns(OutlineWarning, match="computed, not drawn, left out"):
        assert convert_outlines(source, target).outlines == {"tumour": len(outlines)}
    assert "contour" not in target.read_text().lower()


@pytest.mark.parametrize(
    ("scene", "options", "reason"),
    [
        (replace(SMALL, calibration={}), ReportOptions(), NEVER_MEASURED),
        (
            replace(SMALL, calibration={"contours": None, "no_contours": "3 patients are too few"}),
            ReportOptions(),
            "3 patients are too few",
        ),
        (replace(SMALL, region_level0=Box(0, 0, 50, 50)), ReportOptions(), "only a region"),
        (
            replace(SMALL, adaptive=Account(2, "passed", 10, 5, skipped_mm2=0.1)),
            ReportOptions(),
            "tissue was skipped",
        ),
        (SMALL, ReportOptions(min_region_mm2=0.001), "small regions were left out"),
    ],
    ids=["never measured", "the card's own words", "region", "skipped", "left out"],
)
def test_where_there_is_no_interval_it_says_why(
    tmp_path: Path, scene: Scene, options: ReportOptions, reason: str
) -> None:
    summary = scene.write(tmp_path, blotches(3, 3.0), options)
    assert summary["area_interval_mm2"] is None
    assert reason in str(summary["no_interval"])
    assert {classification(feature) for feature in features(tmp_path / "out")} == {FOUND}


def test_coarse_first_that_skipped_nothing_has_its_interval(tmp_path: Path) -> None:
    nothing = Account(2, "not needed", 10, 10)
    told = replace(SMALL, adaptive=nothing).write(tmp_path, blotches(3, 3.0))
    assert told["area_interval_mm2"] and not told["no_interval"]


def test_without_any_tumour_the_area_may_still_be_large(tmp_path: Path) -> None:
    values = SMALL.empty(tmp_path) + np.uint8(100)
    summary = SMALL.write(tmp_path, values)
    assert summary["tumour_area_mm2"] == 0
    interval: Any = summary["area_interval_mm2"]
    assert (interval["low"], interval["high"]) == (0, pytest.approx(90 * 120 * PIXEL_MM2 / 0.8))
    assert drawn(tmp_path / "out", INNER).is_empty


def test_contours_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    scene = replace(SMALL, calibration=contours_of(200, 60))
    with pytest.raises(CheckpointError, match="make no sense"):
        scene.write(tmp_path, blotches(3, 3.0))


def test_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for out in ("one", "two"):
        SMALL.write(tmp_path, blotches(4, 0.0), out=out)
    for name in ("extent.geojson", "overlay.png", "summary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_picture_has_thin_lines_along_both_contours(tmp_path: Path) -> None:
    scene = Scene(size=(900, 700), mpp=4.0, calibration=CALIBRATION)
    values = scene.empty(tmp_path)
    values[0, 100:600, 100:800], values[0, 200:500, 250:650], values[0, 300:400, 350:500] = (
        80,
        160,
        220,
    )
    scene.write(tmp_path, values)
    sheet = read_rgb(tmp_path / "out" / "overlay.png")
    picture = sheet[20:720, 20:920]
    for name, colour in ((OUTER, OUTER_COLOUR), (INNER, INNER_COLOUR)):
        border = shapely.get_coordinates(drawn(tmp_path / "out", name).boundary.segmentize(2))
        line = np.argwhere((picture == colour).all(axis=-1))[:, ::-1] + 0.5
        assert KDTree(border).query(line)[0].max() < 4
        assert KDTree(line).query(border)[0].max() < 4
    plain = replace(scene, calibration={})
    plain.write(tmp_path, values, out="plain")
    assert len(sheet) > len(read_rgb(tmp_path / "plain" / "overlay.png")), "room for the legend"


@pytest.fixture(scope="module")
def calibrated(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model with contours."""
    found = load_checkpoint(random_model)
    path = tmp_path_factory.mktemp("calibrated") / "calibrated.safetensors"
    save_checkpoint(path, replace(found.card, calibration=CALIBRATION), found.network)
    return path


def test_predict_tells_the_interval(tmp_path: Path, calibrated: Path) -> None:
    slide, out = draw_slide(tmp_path / "a.png"), tmp_path / "out"
    done = extent("predict", slide, "--model", calibrated, "--out", out, "--mpp", 4)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "a" / "summary.json").read_text())
    interval = AreaInterval.from_summary(summary)
    assert interval is not None
    said = f"{summary['tumour_area_mm2']:.4g} mm² ({ends(interval)}) of "
    assert said in done.stdout
    with (out / "slides.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["area_low_mm2"]) == interval.low
    assert float(row["area_high_mm2"]) == interval.high


def test_a_model_whose_contours_make_no_sense_is_refused_at_once(
    tmp_path: Path, random_model: Path
) -> None:
    found, model = load_checkpoint(random_model), tmp_path / "odd.safetensors"
    save_checkpoint(model, replace(found.card, calibration=contours_of(9, 8)), found.network)
    with pytest.raises(CheckpointError, match="make no sense"):
        settle(str(model), MapSettings(runtime="torch", device="cpu"), None)
