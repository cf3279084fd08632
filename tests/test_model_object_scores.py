"""Object F1, Dice and Hausdorff distance: examples worked by hand."""

import numpy as np
import pytest
import shapely
from scipy.spatial import distance
from shapely import Polygon, box

from model.hausdorff import distance_um, nearest_um
from model.object_scores import ObjectSums
from tiling.frame import Frame

FRAME = Frame.over((0.0, 0.0), (200.0, 200.0), (1.0, 1.0), 1.0)  # 1 µm/px throughout


def square(x: float, y: float, width: float = 10, height: float = 10) -> Polygon:
    return box(x, y, x + width, y + height)


def scores(expert: list[Polygon], said: list[Polygon], frame: Frame = FRAME) -> ObjectSums:
    return ObjectSums.of(expert, said, frame)


def test_the_same_objects_are_perfect() -> None:
    objects = [square(0, 0), square(30, 0), square(0, 30)]
    found = scores(objects, objects[::-1])
    assert (found.f1, found.precision, found.recall, found.dice) == (1, 1, 1, 1)
    assert found.hausdorff_um == 0


def test_an_object_moved_by_four_tenths_is_found_and_one_by_six_is_not() -> None:
    found = scores([square(0, 0), square(50, 0)], [square(4, 0), square(56, 0)])
    assert found.f1 == 0.5, "one found, one false alarm, one missed"
    assert found.dice == pytest.approx((0.6 + 0.4) / 2)
    assert found.hausdorff_um == pytest.approx((4 + 6) / 2)


def test_exactly_half_is_found() -> None:
    assert scores([square(0, 0)], [square(5, 0)]).f1 == 1
    assert scores([square(0, 0)], [square(5.01, 0)]).f1 == 0


def test_two_objects_called_one_miss_one() -> None:
    """The map's object is as large as both with the gap of 2; either would be its partner."""
    found = scores([square(0, 0), square(12, 0)], [square(0, 0, 22)])
    assert (found.precision, found.recall) == (1, 0.5)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.dice == pytest.approx(2 * 100 / 320), "from all three objects"
    # (0-9) to (0-21): 12 columns; (12-21) to (0-21): 12 columns; the map's partner is the first
    assert found.hausdorff_um == pytest.approx(12)


def test_one_object_called_two_has_a_false_alarm() -> None:
    """6 and 4 columns of 10: the first covers 60 %, the second 40 %."""
    found = scores([square(0, 0)], [square(0, 0, 6), square(6, 0, 4)])
    assert (found.precision, found.recall) == (0.5, 1)
    assert found.f1 == pytest.approx(2 / 3)
    expert, first, second = 2 * 60 / 160, 2 * 60 / 160, 2 * 40 / 140
    assert found.dice == pytest.approx((expert + (0.6 * first + 0.4 * second)) / 2)
    # the expert's and the first: 4 columns are missed; the second: 6
    assert found.hausdorff_um == pytest.approx((4 + (0.6 * 4 + 0.4 * 6)) / 2)


def test_large_objects_weigh_more() -> None:
    found = scores([square(0, 0, 10, 30), square(50, 0)], [square(0, 0, 10, 30)])
    assert found.dice == pytest.approx((0.75 * 1 + 0.25 * 0) / 2 + 1 / 2)
    # nothing overlaps the second: the last row of the nearest is 20 rows lower, 50 columns away
    assert found.hausdorff_um == pytest.approx(0.25 * np.hypot(50, 20) / 2)


def test_without_partners_there_is_no_dice_and_the_nearest_distance() -> None:
    found = scores([square(0, 0)], [square(60, 0), square(0, 20)])
    assert (found.f1, found.dice) == (0, 0)
    # the expert's nearest is 20 rows away; both of the map's are 60 and 20 from the expert's
    assert found.hausdorff_um == pytest.approx((20 + (60 + 20) / 2) / 2)


def test_where_one_side_has_no_objects_little_is_defined() -> None:
    missed, alarm, nothing = scores([square(0, 0)], []), scores([], [square(0, 0)]), scores([], [])
    assert missed.f1 == alarm.f1 == 0 and np.isnan(nothing.f1)
    assert missed.recall == 0 and np.isnan(missed.precision)
    assert np.isnan([x.hausdorff_um for x in (missed, alarm, nothing)]).all()


def test_slides_add_up() -> None:
    one = scores([square(0, 0)], [square(0, 0)])
    two = scores([square(0, 0), square(50, 0)], [square(50, 0)])
    empty = scores([square(0, 0)], [])
    both = ObjectSums.of_array(one.array + two.array + empty.array)
    assert both.f1 == pytest.approx(2 * 2 / (2 * 2 + 0 + 2))
    assert both.recall == 0.5 and both.precision == 1
    # what the empty slide lacks counts as missed, but has no distance; the missed one of `two`
    # lies 50 columns from the nearest and is one of three
    assert both.hausdorff_um == pytest.approx(50 / 3 / 2)


def test_numbers_are_in_um_whatever_the_pixels() -> None:
    frame = Frame.over((0.0, 0.0), (400.0, 400.0), (0.25, 0.25), 0.5)
    found = scores([square(0, 0, 40, 40)], [square(8, 0, 40, 40)], frame)
    assert found.hausdorff_um == pytest.approx(8 * 0.25)
    assert found.expert_area == pytest.approx((40 * 0.25) ** 2)


def test_a_distance_is_what_all_pairs_of_pixels_give() -> None:
    rng = np.random.default_rng(5)
    columns, rows = np.meshgrid(np.arange(80), np.arange(80))
    for _ in range(5):
        pair = [Polygon(rng.uniform(0, 60, (5, 2))).convex_hull for _ in range(2)]
        inside = [shapely.contains_xy(p, columns + 0.5, rows + 0.5) for p in pair]
        apart = distance.cdist(*(np.argwhere(mask) for mask in inside))
        expected = max(apart.min(axis=0).max(), apart.min(axis=1).max())
        assert distance_um(pair[0], pair[1], FRAME) == pytest.approx(expected)


def test_a_filled_hole_is_far_from_the_ring_around_it() -> None:
    ring = box(0, 0, 41, 41) - box(10, 10, 31, 31)
    assert distance_um(box(0, 0, 41, 41), ring, FRAME) == 11


def test_a_speck_between_centres_has_a_place() -> None:
    speck = box(5.6, 5.6, 5.9, 5.9)
    assert distance_um(speck, box(8, 5, 9, 6), FRAME) == 3


def test_the_nearest_is_found_among_many() -> None:
    rng = np.random.default_rng(1)
    others = [square(*rng.uniform(0, 150, 2), *rng.uniform(2, 40, 2)) for _ in range(40)]
    own = square(70, 70, 7, 25)
    assert nearest_um(own, others, FRAME) == min(distance_um(own, o, FRAME) for o in others)
