"""One slide's result on disk: what is written is what the map holds, where it lies on the slide."""

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import shapely
import tifffile
from scipy.spatial import KDTree
from shapely import Point, Polygon
from shapely.affinity import scale
from shapely.geometry import shape

from annotations import read_outlines
from annotations.errors import ResultError, UsageError
from service.contours import Reach
from service.findings import Findings
from service.overlay import draw_overlay
from service.report import ReportOptions, RunFacts, write_result
from service.result_files import map_files
from tests.conftest import data_dir
from tests.scene import CALIBRATION, MPP, Scene
from tiling.draw import BRIGHT
from tiling.frame import Box
from tiling.images import read_rgb
from tiling.masks import rasterise


def _features(folder: Path) -> list[dict[str, object]]:
    features: list[dict[str, object]] = json.loads((folder / "extent.geojson").read_text())[
        "features"
    ]
    return features


def _polygons(folder: Path) -> list[Polygon]:
    return [shape(feature["geometry"]) for feature in _features(folder)]


def _regions(summary: dict[str, object]) -> list[dict[str, object]]:
    regions = summary["regions"]
    assert isinstance(regions, list)
    return regions


def _tumour() -> Polygon:
    """Where the tumour really is: an ellipse with a hole, level-0 pixels."""
    outer = scale(Point(1000, 520).buffer(1, quad_segs=64), 400, 250)
    return outer.difference(scale(Point(1100, 560).buffer(1, quad_segs=64), 120, 80))


@pytest.mark.parametrize("bounds", [None, Box(310, 170, 1431, 802)])
def test_a_known_tumour_is_where_it_is_and_as_large(tmp_path: Path, bounds: Box | None) -> None:
    scene = Scene(bounds=bounds)
    with scene.slide(tmp_path) as slide:
        frame = scene.frame(slide)
    assert frame.downsample[0] == pytest.approx(15.83)
    truth = _tumour()
    mask = rasterise([(truth, 230)], frame, frame.box)
    summary = scene.write(tmp_path, mask[None])
    out = tmp_path / "out"

    (polygon,) = _polygons(out)
    assert polygon.is_valid and len(polygon.interiors) == 1
    assert polygon.intersection(truth).area / polygon.union(truth).area > 0.93
    assert polygon.area == pytest.approx(truth.area, rel=0.02)
    assert summary["tumour_area_mm2"] == pytest.approx(polygon.area * MPP**2 / 1e6, rel=1e-9)
    assert summary["tumour_area_mm2"] == pytest.approx((mask > 0).sum() * 16e-6, rel=1e-9)
    assert summary["max_diameter_mm"] == pytest.approx(800 * MPP / 1000, rel=0.05)
    assert summary["mpp"] == [MPP, MPP]

    (region,) = _regions(summary)
    assert polygon.contains(Point(region["inside_point_level0"]))
    assert Point(region["centroid_level0"]).distance(truth.centroid) < 16
    assert region["bbox_level0"] == list(polygon.bounds)
    assert region["mean_probability"] == pytest.approx(230 / 255)

    placed = summary["map"]
    origin = [310.0, 170.0] if bounds else [0.0, 0.0]
    assert placed == {
        "origin_level0": origin,
        "downsample": list(frame.downsample),
        "size": [frame.width, frame.height],
    }
    stored = tifffile.imread(out / "probability.tiff", key=0)
    assert np.array_equal(stored, mask)


def test_the_map_opens_with_all_levels_and_its_resolution(tmp_path: Path) -> None:
    scene = Scene(size=(2600, 650), mpp=4.0)
    values = scene.empty(tmp_path)
    values[0, 100:300, 1500:2000] = 200
    scene.write(tmp_path, values)
    with openslide.OpenSlide(tmp_path / "out" / "probability.tiff") as opened:
        assert opened.level_dimensions == ((2600, 650), (1300, 325), (650, 163), (325, 82))
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(4, rel=1e-6)
        assert opened.read_region((1700, 200), 0, (1, 1)).getpixel((0, 0))[0] == 200


def test_tumour_is_what_is_stored_above_the_threshold(tmp_path: Path) -> None:
    scene = Scene(size=(64, 40), mpp=4.0)
    values = scene.empty(tmp_path)
    values[0, 5:15, 10:14], values[0, 5:15, 14:20] = 127, 128  # 0.498 and 0.502
    half = scene.write(tmp_path, values, out="half")
    assert half["threshold"] == 0.5
    assert half["tumour_area_mm2"] == pytest.approx(60 * 16e-6, rel=1e-9)
    exactly = scene.write(tmp_path, values, ReportOptions(128 / 255), out="exactly")
    assert exactly["tumour_area_mm2"] == 0
    below = scene.write(tmp_path, values, ReportOptions(0.49), out="below")
    assert below["tumour_area_mm2"] == pytest.approx(100 * 16e-6, rel=1e-9)
    assert _regions(below)[0]["mean_probability"] == pytest.approx((127 * 4 + 128 * 6) / 2550)


def test_regions_come_largest_first_and_small_ones_may_be_left_out(tmp_path: Path) -> None:
    scene = Scene(size=(200, 90), mpp=4.0)
    values = scene.empty(tmp_path)
    values[0, 10:13, 10:14] = 255  # 3 x 4 pixels
    values[0, 30:80, 50:150] = 255  # a C: its centroid is outside of it
    values[0, 35:75, 60:150] = 0
    everything = scene.write(tmp_path, values, out="everything")
    areas = [region["area_mm2"] for region in _regions(everything)]
    assert areas == pytest.approx([1400 * 16e-6, 12 * 16e-6], rel=1e-9)
    large, small = _polygons(tmp_path / "everything")
    first, second = _regions(everything)
    assert not large.contains(Point(first["centroid_level0"]))
    assert large.contains(Point(first["inside_point_level0"]))
    assert small.contains(Point(second["inside_point_level0"]))
    assert second["max_diameter_mm"] == pytest.approx(5 * 4 / 1000)
    assert everything["max_diameter_mm"] == first["max_diameter_mm"]
    assert first["max_diameter_mm"] == pytest.approx(math.hypot(100, 50) * 4 / 1000)

    kept = scene.write(tmp_path, values, ReportOptions(min_region_mm2=12 * 16e-6), out="kept")
    assert len(_regions(kept)) == 2
    left = scene.write(tmp_path, values, ReportOptions(min_region_mm2=13 * 16e-6), out="left")
    assert len(_regions(left)) == len(_features(tmp_path / "left")) == 1
    assert left["tumour_area_mm2"] == pytest.approx(1400 * 16e-6, rel=1e-9)


def test_outlines_are_read_back_as_tumour(tmp_path: Path) -> None:
    scene = Scene(size=(640, 480))
    values = scene.empty(tmp_path)
    rng = np.random.default_rng(3)
    values[0] = rng.choice([0, 255], values[0].shape)  # holes, islands, corners that touch
    summary = scene.write(tmp_path, values)
    outlines = read_outlines(tmp_path / "out" / "extent.geojson")
    assert {outline.label for outline in outlines} == {"tumour"}
    area = sum(outline.polygon.area for outline in outlines) * MPP**2 / 1e6
    assert area == pytest.approx(summary["tumour_area_mm2"], rel=1e-9)
    assert all(polygon.is_valid for polygon in _polygons(tmp_path / "out"))
    first = _features(tmp_path / "out")[0]
    assert first["properties"]["classification"] == {  # type: ignore[index]
        "name": "Tumour",
        "color": [200, 0, 0],
    }
    assert first["properties"]["name"] == "Region 1"  # type: ignore[index]
    ids = [feature["id"] for feature in _features(tmp_path / "out")]
    assert len(set(ids)) == len(ids) == len(outlines)


def test_outlines_say_that_they_are_of_the_full_plane(tmp_path: Path) -> None:
    scene = Scene(bounds=Box(310, 170, 1431, 802))
    scene.write(tmp_path, scene.empty(tmp_path))
    collection = json.loads((tmp_path / "out" / "extent.geojson").read_text())
    assert collection["origin_level0"] == [0.0, 0.0]


def test_a_slide_without_tumour_gives_an_empty_result(tmp_path: Path) -> None:
    scene = Scene()
    summary = scene.write(tmp_path, scene.empty(tmp_path))
    assert summary["tumour_area_mm2"] == summary["max_diameter_mm"] == 0
    assert summary["tumour_fraction"] == 0
    assert summary["regions"] == _features(tmp_path / "out") == []
    assert (tmp_path / "out" / "overlay.png").stat().st_size > 1000


def test_a_slide_without_tissue_has_no_fraction(tmp_path: Path) -> None:
    scene = Scene(size=(100, 80), mpp=4.0)
    with (
        scene.slide(tmp_path) as slide,
        scene.map(tmp_path, slide, scene.empty(tmp_path)) as extent_map,
    ):
        bare = replace(extent_map.tissue, mask=np.zeros_like(extent_map.tissue.mask))
        (tmp_path / "out").mkdir()
        summary = write_result(
            tmp_path / "out",
            slide,
            replace(extent_map, tissue=bare),
            card=scene.card,
            facts=scene.facts,
        )
    assert summary["tissue_area_mm2"] == summary["tumour_fraction"] == 0


def test_each_further_class_has_its_map(tmp_path: Path) -> None:
    scene = Scene(size=(90, 60), mpp=4.0, classes=("background", "tumour", "in situ/DCIS", "µ fat"))
    values = scene.empty(tmp_path)
    values[0, :20], values[1, 20:40], values[2, 40:] = 250, 251, 252
    summary = scene.write(tmp_path, values)
    names = ["probability.tiff", "probability-in_situ_DCIS.tiff", "probability-µ_fat.tiff"]
    for name, plane in zip(names, values, strict=True):
        assert np.array_equal(tifffile.imread(tmp_path / "out" / name, key=0), plane)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        [*names, "extent.geojson", "overlay.png", "summary.json"]
    )
    assert summary["tumour_area_mm2"] == pytest.approx(20 * 90 * 16e-6, rel=1e-9)


def test_map_files_stay_apart_whatever_the_names() -> None:
    names = map_files(("bg", "tumour", "x-4", "x", "x?", "X-5", "x!"), foreground=1)
    assert len({name.casefold() for name in names.values()}) == 6


def test_map_files_stay_apart_and_inside_their_folder() -> None:
    names = map_files(("none", "../../x", "tumour", "a/b", "A b", "..."), foreground=2)
    assert names[2] == "probability.tiff"
    assert 0 not in names
    assert all(Path(name).name == name for name in names.values())
    assert len({name.casefold() for name in names.values()}) == 5


def test_two_writes_give_equal_bytes(tmp_path: Path) -> None:
    values = np.random.default_rng(1).choice([0, 90, 200], (1, 70, 121)).astype(np.uint8)
    one_second, two_seconds = (lambda: 1.0), (lambda: 2.0)
    for out, elapsed in (("one", one_second), ("two", two_seconds)):
        facts = RunFacts("s", "m", elapsed, {"b": 1, "a": 2}, run={"host": out})
        Scene(facts=facts).write(tmp_path, values, out=out)
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("probability.tiff", "extent.geojson", "overlay.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    texts = [(folder / "summary.json").read_text() for folder in (one, two)]
    assert (
        texts[0]
        .replace('"seconds": 1.0', '"seconds": 2.0')
        .replace('"host": "one"', '"host": "two"')
        == texts[1]
    )


def test_the_summary_vouches_for_its_files_and_names_no_folder(tmp_path: Path) -> None:
    scene = Scene(size=(300, 200))
    values = scene.empty(tmp_path)
    values[0, 3:9, 3:9] = 255
    returned = scene.write(tmp_path, values)
    out = tmp_path / "out"
    text = (out / "summary.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(returned))
    assert str(tmp_path) not in text + (out / "extent.geojson").read_text()
    summary = json.loads(text)
    assert (summary["slide"], summary["model"], summary["seconds"]) == ("drawn", "drawn", 1.5)
    assert set(summary["quality"]) == {"out_of_focus_mm2", "pen_mm2", "folds_mm2"}
    provenance = summary["provenance"]
    assert (provenance["slide"], provenance["model"]) == ("slide-digest", "model-digest")
    assert provenance["outputs"] == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for name in ("probability.tiff", "extent.geojson", "overlay.png")
    }


def test_the_phases_are_told_in_order(tmp_path: Path) -> None:
    scene = Scene()
    heard: list[tuple[str, float]] = []
    with (
        scene.slide(tmp_path) as slide,
        scene.map(tmp_path, slide, scene.empty(tmp_path)) as extent_map,
    ):
        (tmp_path / "out").mkdir()
        write_result(
            tmp_path / "out",
            slide,
            extent_map,
            card=scene.card,
            facts=scene.facts,
            progress=lambda phase, share: heard.append((phase, share)),
        )
    order = ["pyramid", "tracing", "overlay"]
    assert list(dict.fromkeys(phase for phase, _ in heard)) == order
    assert heard == sorted(heard, key=lambda said: (order.index(said[0]), said[1]))
    assert heard[-1] == ("overlay", 1.0)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    scene = Scene(size=(64, 40), mpp=4.0)
    with (
        scene.slide(tmp_path) as slide,
        scene.map(tmp_path, slide, scene.empty(tmp_path)) as extent_map,
        pytest.raises(ResultError, match="nowhere"),
    ):
        write_result(tmp_path / "nowhere", slide, extent_map, card=scene.card, facts=scene.facts)


@pytest.mark.parametrize("threshold", [1.0, -0.1, math.nan])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        ReportOptions(threshold)


@pytest.mark.parametrize("area", [-1.0, math.inf, math.nan])
def test_a_senseless_smallest_region_is_refused(area: float) -> None:
    with pytest.raises(UsageError, match="smallest region"):
        ReportOptions(min_region_mm2=area)


def test_the_overlay_has_its_line_along_the_border(tmp_path: Path) -> None:
    scene = Scene(bounds=Box(310, 170, 1431, 802))
    with scene.slide(tmp_path) as slide:
        frame = scene.frame(slide)
    truth = _tumour()
    scene.write(tmp_path, rasterise([(truth, 230)], frame, frame.box)[None])
    sheet = read_rgb(tmp_path / "out" / "overlay.png")
    picture = sheet[20 : 20 + 802, 20 : 20 + 1431]  # the scanned part, one to one
    bright = np.argwhere((picture == BRIGHT).all(axis=-1))[:, ::-1] + 0.5 + (310, 170)
    assert len(bright) > truth.length
    border = shapely.get_coordinates(truth.boundary.segmentize(4))
    assert KDTree(border).query(bright)[0].max() < 16 + 4
    assert KDTree(bright).query(border)[0].max() < 16 + 4


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (6000, 4), (3, 4000)])
def test_the_overlay_copes_with_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    scene = Scene(size=size, mpp=2.0)
    values = scene.empty(tmp_path) + np.uint8(255)
    summary = scene.write(tmp_path, values)
    assert summary["tumour_fraction"] == 1.0  # though map pixels stick out of the slide
    assert max(read_rgb(tmp_path / "out" / "overlay.png").shape) < 1800


def test_the_overlay_shows_the_smallest_region(tmp_path: Path) -> None:
    scene = Scene(size=(3200, 400), mpp=4.0)
    values = scene.empty(tmp_path)
    values[0, 200, 1600] = 255
    with scene.slide(tmp_path) as slide, scene.map(tmp_path, slide, values) as extent_map:
        bare = draw_overlay(slide, extent_map, Findings(0.5, (), Reach()), caption="")
    scene.write(tmp_path, values)
    sheet = read_rgb(tmp_path / "out" / "overlay.png")
    changed = np.argwhere((sheet[:220] != bare[:220]).any(axis=-1))
    assert 9 <= len(changed) < 100
    assert np.abs(changed.mean(axis=0) - (120, 820)).max() < 2


@pytest.mark.parametrize("calibration", [{}, CALIBRATION], ids=["plain", "with contours"])
def test_the_contract_is_kept(data: Path, tmp_path: Path, calibration: dict[str, Any]) -> None:
    check = data_dir().parent / "check" / "check_result.py"
    if not check.is_file():
        pytest.skip(f"no {check.name} beside the real data")
    scene = Scene(mpp=0.5, calibration=calibration)
    values = scene.empty(tmp_path)
    values[0, 10:70, 20:170], values[0, 20:60, 30:150], values[0, 30:40, 50:60] = 90, 220, 10
    scene.write(tmp_path, values)
    done = subprocess.run(
        [sys.executable, str(check), str(tmp_path / "drawn.png"), str(tmp_path / "out"), "0.5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
