"""Drawn slides: the same pixels whatever rectangle, outlines like an expert's, colours no clue."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations import TUMOUR, read_outlines
from benchmarks.drawn_gate import LIMIT, measure
from tiling.frame import Box
from tiling.slide import Slide
from tiling.synthetic import SlideRecipe
from tiling.synthetic_cohort import CohortPlan, draw_cohort
from tiling.synthetic_files import write_drawn_slide
from tiling.synthetic_look import draw_look
from tiling.synthetic_noise import value_noise

RECIPE = SlideRecipe(seed=4, site=2, width=900, height=700, mpp=4.0)
DRAWN = RECIPE.drawn()
WHOLE = DRAWN.render(Box(0, 0, 900, 700))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@settings(max_examples=12)
@given(st.integers(0, 880), st.integers(0, 680), st.integers(1, 90), st.integers(1, 90))
def test_a_rectangle_drawn_alone_has_the_pixels_of_the_whole(
    x: int, y: int, width: int, height: int
) -> None:
    box = Box(x, y, width, height).intersection(Box(0, 0, 900, 700))
    expected = WHOLE[box.y : box.bottom, box.x : box.right]
    np.testing.assert_array_equal(RECIPE.drawn().render(box), expected)
    np.testing.assert_array_equal(
        DRAWN.truth(box), DRAWN.truth(Box(0, 0, 900, 700))[y : box.bottom, x : box.right]
    )


def test_seeds_differ_and_sites_stain_differently() -> None:
    box = Box(300, 250, 200, 150)
    middle = WHOLE[250:400, 300:500]
    other = SlideRecipe(5, 2, 900, 700, 4.0).drawn().render(box)
    assert (middle != other).mean() > 0.5
    assert draw_look(2, 4).eosin != draw_look(3, 4).eosin
    near = np.subtract(draw_look(2, 4).eosin, draw_look(2, 5).eosin)
    assert np.abs(near).max() < 0.35  # slides of one site look alike


def test_what_a_slide_looks_like_does_not_know_of_tumour() -> None:
    without = SlideRecipe(4, 2, 900, 700, 4.0, tumour=False).drawn()
    assert without.outlines() == []
    assert without.quality == DRAWN.quality
    corner = Box(0, 0, 40, 40)  # glass
    np.testing.assert_array_equal(without.render(corner), DRAWN.render(corner))


def test_outlines_are_an_experts() -> None:
    outlines = DRAWN.outlines()
    assert outlines
    for outline in outlines:
        assert outline.label == TUMOUR
        assert outline.polygon.is_valid
        points = shapely.get_coordinates(outline.polygon.exterior)
        steps_um = np.hypot(*np.diff(points, axis=0).T) * RECIPE.mpp
        assert 40 < np.median(steps_um) < 100
    truth = DRAWN.truth(Box(0, 0, 900, 700))
    area = sum(o.polygon.area for o in outlines)
    assert truth.sum() == pytest.approx(area, rel=0.01)
    tissue = WHOLE.min(axis=2) < 215
    assert 0.1 < (truth & tissue).sum() / tissue.sum() < 0.45
    assert (truth & tissue).sum() > 0.7 * truth.sum()


def test_the_file_says_its_resolution_and_equals_the_drawing(tmp_path: Path) -> None:
    path = tmp_path / "drawn.tiff"
    write_drawn_slide(path, RECIPE, downsamples=(1, 2, 4))
    with Slide.open(path) as slide:
        assert slide.known_mpp == pytest.approx((4.0, 4.0))
        for factor in (1, 2, 4):
            frame = slide.frame(4.0 * factor)
            pixels = slide.read(frame, frame.box).astype(float)
            height, width = 700 // factor * factor, 900 // factor * factor
            drawn = WHOLE[:height, :width].astype(float)
            means = drawn.reshape(height // factor, factor, width // factor, factor, 3)
            means = means.mean(axis=(1, 3))
            error = np.abs(pixels[: means.shape[0], : means.shape[1]] - means)
            assert error.mean() < 8  # JPEG, not another place, scale or order of colours
            shifted = np.abs(pixels[: means.shape[0], 1 : means.shape[1]] - means[:, :-1])
            assert shifted.mean() > 1.4 * error.mean()


def test_equal_recipes_give_equal_files(tmp_path: Path) -> None:
    small = SlideRecipe(seed=1, site=1, width=300, height=260, mpp=4.0)
    for name in "ab":
        write_drawn_slide(tmp_path / name, small)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]  # nothing left behind


def test_noise_is_a_matter_of_place() -> None:
    xs, ys = np.arange(-50.0, 70.0) * 1.7, np.arange(-20.0, 40.0) * 1.7
    whole = value_noise(3, ys, xs, 9.0)
    np.testing.assert_array_equal(value_noise(3, ys[7:30], xs[60:61], 9.0), whole[7:30, 60:61])
    assert np.abs(whole).max() <= 1
    assert np.abs(np.diff(whole, axis=1)).max() < 1  # smooth
    assert whole.std() > 0.2


def test_a_cohort_holds_out_whole_sites() -> None:
    recipes = CohortPlan(sites=6, slides_per_site=2, seed=3).recipes()
    splits: dict[str, set[int]] = {}
    for _, split, recipe in recipes:
        splits.setdefault(split, set()).add(recipe.site)
    assert set(splits) == {"train", "validation", "test"}
    assert sum(len(sites) for sites in splits.values()) == 6
    assert all(recipe.tumour for _, split, recipe in recipes if split != "train")
    assert len({recipe.seed for _, _, recipe in recipes}) == 12


def test_too_few_sites_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        draw_cohort(tmp_path, sites=2, slides_per_site=1, seed=0)


@pytest.mark.slow
def test_a_drawn_cohort_is_read_as_drawn(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = draw_cohort(
        tmp_path, sites=3, slides_per_site=2, seed=2, progress=lambda *at: seen.append(at)
    )
    assert seen == [(i, 6) for i in range(1, 7)]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    recipes = CohortPlan(3, 2, 2).recipes()
    for row, (name, split, recipe) in zip(rows, recipes, strict=True):
        assert (row["patient"], row["split"]) == (name, split)
        drawn = recipe.drawn().outlines()
        read = read_outlines(tmp_path / row["annotations"])
        assert {o.label for o in read} <= {TUMOUR}
        area = sum(o.polygon.area for o in drawn)
        assert sum(o.polygon.area for o in read) == pytest.approx(area, rel=1e-4)
        with Slide.open(tmp_path / row["slide"]) as slide:
            assert slide.known_mpp == pytest.approx((2.0, 2.0))


@pytest.mark.slow
def test_colour_alone_does_not_find_the_tumour() -> None:
    assert 0.3 < measure(CohortPlan(sites=3, slides_per_site=1, seed=1), folds=3) <= LIMIT
