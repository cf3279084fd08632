"""Lines on pictures: where they lie, how wide they are, however many there are."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling.draw import Paths, Points, rounded, strokes

SQUARE = np.array([[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]], float)


def test_a_line_is_as_wide_as_asked_on_both_sides_of_its_path() -> None:
    line = np.array([[5.0, 20.0], [95.0, 20.0]])
    (share,) = strokes([Paths.joined([line])], (100, 40), (6.0,))
    across = share[:, 50]
    assert across.sum() == pytest.approx(6, abs=1)
    assert (across * (np.arange(40) + 0.5)).sum() / across.sum() == pytest.approx(20, abs=0.5)


@settings(max_examples=50)
@given(
    points=st.lists(st.tuples(st.integers(-50, 150), st.integers(-50, 90)), min_size=2, max_size=5),
    width=st.floats(1, 9),
)
def test_strokes_cover_what_is_near_their_paths(
    points: list[tuple[int, int]], width: float
) -> None:
    line = np.clip(points, (0, 0), (100, 40)).astype(np.float64)
    (share,) = strokes([Paths.joined([line])], (100, 40), (width,))
    y, x = np.indices(share.shape) + 0.5
    away = shapely.distance(shapely.LineString(line), shapely.points(x, y))
    assert (share[away < width / 2 - 1.5] == 1).all()
    assert (share[away > width / 2 + 1.5] == 0).all()


def test_many_lines_are_each_where_they_would_be_alone() -> None:
    random = np.random.default_rng(0)
    lines: list[Points] = [random.uniform(0, 40, (n, 2)) for n in (2, 5, 1, 3)]
    (together,) = strokes([Paths.joined(lines)], (40, 40), (3.0,))
    alone = [strokes([Paths.joined([line])], (40, 40), (3.0,))[0] for line in lines]
    np.testing.assert_array_equal(together > 0, np.max(alone, axis=0) > 0)


def test_lines_far_beyond_the_picture_cost_nothing() -> None:
    far = np.array([[-1e12, 5.0], [1e12, 5.0]])
    (share,) = strokes([Paths.joined([far])], (50, 10), (2.0,))
    assert (share[5] > 0).all()
    assert not strokes([Paths.joined([])], (50, 10), (2.0,))[0].any()


def test_rings_stay_closed_and_lose_their_corners() -> None:
    paths = rounded(Paths.joined([SQUARE, SQUARE + 40]), np.array([2.0, 2.0]))
    first, second = (paths.points[paths.number == number] for number in (0, 1))
    np.testing.assert_array_equal(first[0], first[-1])
    np.testing.assert_array_equal(second, first + 40)
    assert shapely.Polygon(first).area == 20 * 20 - 4 * 2 * 2 / 2
