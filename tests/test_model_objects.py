"""Objects side by side: what training puts between them, what maps and results show as one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from shapely import box

from annotations.errors import UsageError
from model.calibrate import Calibration
from model.card import ModelCard
from model.cohort import Case
from model.config import TrainConfig
from model.dataset import LabelledSlide
from model.labelled import IGNORED
from model.network_config import NetworkConfig
from model.object_rules import ObjectRules
from model.objects import between, find_objects
from model.scaling import Scaling
from model.shipped import SHIPPED_CONFIGS
from tests.fabricated import write_rectangles, write_tissue
from tests.scene import Scene
from tiling.frame import Box, Frame

MPP, SIDE = 0.5, 256
SETTINGS: dict[str, Any] = {
    "mpp": MPP,
    "classes": ["background", "tumour", "boundary"],
    "objects": {"boundary_um": 2.0},
    "network": {"stem_stride": 2, "widths": [4, 4], "convolutions": [1, 1], "output_stride": 4},
    "crop": 64,
    "ignore_band_um": 0.0,
}
CONFIG = TrainConfig.from_dict(SETTINGS)
FRAME = Frame.over((0.0, 0.0), (SIDE, SIDE), (MPP, MPP), 2.0)  # 4 pixels of the slide each
Values = npt.NDArray[np.uint8]


def outlined(
    folder: Path, *rectangles: tuple[float, float, float, float], config: TrainConfig = CONFIG
) -> LabelledSlide:
    """A cut-out of 256 pixels a side with outlines."""
    slide = write_tissue(folder / "s.png", SIDE, SIDE)
    outlines = write_rectangles(folder / "s.geojson", *rectangles)
    return LabelledSlide(Case(slide, outlines, "p", mpp=MPP), config)


def reader(values: Values) -> Callable[[Box], Values]:
    return lambda part: values[part.y : part.bottom, part.x : part.right]


def perfect_map(slide: LabelledSlide) -> Values:
    """Sure of every label."""
    return np.where(slide.labels(slide.map_frame.box) == 1, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("edge", [100, 101, 102.5])
def test_close_and_touching_objects_stay_apart_on_a_map(
    tmp_path: Path, gap: float, edge: float
) -> None:
    pair = (20, 20, edge, 200), (edge + gap, 40, 230, 220)
    found = find_objects(reader(perfect_map(outlined(tmp_path, *pair))), FRAME, 0.5, None)
    assert len(found) == 2
    without = replace(CONFIG, objects=None)
    joined = perfect_map(outlined(tmp_path, *pair, config=without))
    alone = len(find_objects(reader(joined), FRAME, 0.5, None))
    assert alone == 1 or gap == 3, "a gap narrower than a pixel of the map is not on it by itself"


def test_real_glands_that_touch_stay_apart_on_a_map(data: Path) -> None:
    """Four glands, of which two are one on a map of gland and background."""
    glas, config = data / "glas", TrainConfig.from_toml(SHIPPED_CONFIGS / "gland-glas.toml")
    case = Case(glas / "train_15.png", glas / "train_15.geojson", "p", mpp=0.62005)
    counts = []
    for settings in (replace(config, objects=None), config):
        slide = LabelledSlide(case, settings)
        found = find_objects(reader(perfect_map(slide)), slide.map_frame, 0.5, config.objects)
        counts.append(len(found))
    assert counts == [3, 4]


def test_the_boundary_lies_between_objects_and_nowhere_else(tmp_path: Path) -> None:
    slide = outlined(tmp_path, (20, 20, 100, 200), (104, 20, 200, 200), (20, 240, 100, 250))
    boundary = slide.labels(slide.map_frame.box) == 2
    rows, columns = np.nonzero(boundary)
    assert set(columns) == {25}, "x of 100 to 104: 2 µm wide, both are 2 µm away at most"
    assert rows.min() in (4, 5) and rows.max() in (49, 50)


def test_between_is_as_wide_as_it_says() -> None:
    def width(gap: float) -> float:
        pieces = between([box(0, 0, 100, 1000), box(100 + gap, 0, 200, 1000)], (0.5, 0.5), 4.0)
        middle = shapely.union_all(pieces).intersection(box(0, 500, 300, 501))
        return float(middle.area)

    assert [width(gap) for gap in (0, 8, 12, 16, 20)] == pytest.approx([16, 8, 4, 0, 0])
    assert between([box(0, 0, 9, 9)], (1, 1), 4.0) == between([], (1, 1), 4.0) == []


def test_between_takes_pixels_that_are_not_square() -> None:
    across = between([box(0, 0, 10, 10), box(10, 0, 20, 10)], (1.0, 2.0), 2.0)
    along = between([box(0, 0, 10, 10), box(0, 10, 10, 20)], (1.0, 2.0), 2.0)
    assert np.ptp(np.array(across[0].bounds)[[0, 2]]) == pytest.approx(4)
    assert np.ptp(np.array(along[0].bounds)[[1, 3]]) == pytest.approx(2)


def test_nobody_judges_beyond_the_edges_of_a_cut_out(tmp_path: Path) -> None:
    """What is read there is the mirrored image; labels would say that it is all background."""
    slide = outlined(tmp_path, (0, 0, 256, 128))
    piece = slide.crop((0, 16), 128)
    assert (piece.labels[:, :16] == IGNORED).all()
    assert (piece.labels[:, 16:] == 1).all()


def test_a_map_pixel_that_sticks_out_of_a_cut_out_is_not_judged(tmp_path: Path) -> None:
    slide = write_tissue(tmp_path / "s.png", 30, 20)  # 8 x 5 map pixels of 4: the last centre at 30
    outlines = write_rectangles(tmp_path / "s.geojson", (0, 0, 30, 20))
    labels = LabelledSlide(Case(slide, outlines, "p", mpp=MPP), CONFIG).labels(Box(0, 0, 8, 5))
    assert (labels[:, :7] == 1).all() and (labels[:, 7] == IGNORED).all()


RING = np.zeros((64, 64), np.uint8)
RING[4:24, 4:24] = 200  # an object of 400 pixels
RING[8:20, 8:20] = 0  # with a hole of 144
RING[12:14, 12:14] = 255  # and something in it
RING[40:42, 40:45] = 255  # 10 pixels elsewhere


@pytest.mark.parametrize(
    ("rules", "areas"),
    [
        (None, [256, 10, 4]),
        (ObjectRules(2.0), [256, 10, 4]),
        (ObjectRules(2.0, fill_um2=4 * 143), [256, 10, 4]),
        (ObjectRules(2.0, fill_um2=4 * 144), [400, 10]),
        (ObjectRules(2.0, least_um2=4 * 10), [256, 10]),
        (ObjectRules(2.0, fill_um2=4 * 144, least_um2=4 * 300), [400]),
    ],
)
def test_holes_are_filled_and_small_objects_left_out(
    rules: ObjectRules | None, areas: list[float]
) -> None:
    found = find_objects(reader(RING), FRAME, 0.5, rules)
    assert [region.polygon.area for region in found] == areas
    assert found[0].area_px == 256 and found[0].value_sum == 256 * 200


def test_a_result_shows_the_objects_that_the_card_asks_for(tmp_path: Path) -> None:
    scene = Scene(
        classes=("background", "gland", "boundary"), objects=ObjectRules(4.0, 16 * 144, 16 * 20)
    )
    planes = scene.empty(tmp_path)
    planes[0, : RING.shape[0], : RING.shape[1]] = RING
    planes[1, 30, 30] = 9
    summary = scene.write(tmp_path, planes)
    listed = json.loads((tmp_path / "out" / "extent.geojson").read_text())["features"]
    assert [feature["properties"]["name"] for feature in listed] == ["Region 1"]
    assert len(listed[0]["geometry"]["coordinates"]) == 1, "no hole"
    assert summary["tumour_area_mm2"] == pytest.approx(400 * 16e-6)
    regions: Any = summary["regions"]
    assert regions[0]["mean_probability"] == pytest.approx(200 / 255)
    assert (tmp_path / "out" / "probability-boundary.tiff").exists()


def test_a_model_of_objects_states_no_interval() -> None:
    class Measured:
        objects, appearance = object(), None

    found = Calibration(Scaling(), 0.5).with_contours([Measured()] * 20, "guaranteed")  # type: ignore[list-item]
    assert found.contours is None and "objects" in found.no_contours


def a_card(objects: ObjectRules | None) -> ModelCard:
    network = NetworkConfig(classes=3)
    return ModelCard("m", network, ("background", "gland", "boundary"), 1, 1.0, objects=objects)


def test_the_card_keeps_the_rules_and_is_as_before_without() -> None:
    card = a_card(ObjectRules(2.5, 100, 50))
    assert ModelCard.from_json(card.to_json()) == card
    plain = a_card(None)
    assert "objects" not in json.loads(plain.to_json())
    assert ModelCard.from_json(plain.to_json()) == plain
    assert "objects" not in TrainConfig().to_dict()
    assert TrainConfig.from_dict(CONFIG.to_dict()) == CONFIG


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"objects": {"boundary_um": 1.9}}, "at least a pixel of the map, 2 µm"),
        ({"objects": {"boundary_um": "wide"}}, "numbers from 0 up"),
        ({"objects": {"boundary_um": 2.0, "fill_um2": -1}}, "numbers from 0 up"),
        ({"objects": {"boundary_um": 2.0, "fil_um2": 1}}, "fil_um2"),
        ({"objects": {}}, "boundary_um"),
        ({"foreground": "boundary"}, "what lies between them"),
    ],
)
def test_settings_that_keep_nothing_apart_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainConfig.from_dict({**SETTINGS, **wrong})
