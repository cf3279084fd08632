"""Rings become valid polygons; polygons with holes become simple ones."""

import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon, box

from annotations.errors import OutlineError, OutlineWarning
from annotations.geometry import hole_free_pieces, parts, polygons_from_rings
from annotations.notes import Notes
from annotations.shapes import Ring, closed_spline, ellipse, rectangle


def polygons(*rings: list[tuple[float, float]] | Ring) -> list[Polygon]:
    return polygons_from_rings([np.array(ring) for ring in rings], "shape 1", Notes("a.xml"))


def test_a_sound_ring_is_left_as_it_is() -> None:
    ring = [(0.1, 0.2), (10.3, 0.2), (10.3, 7.7)]
    (polygon,) = polygons(ring)
    assert list(polygon.exterior.coords)[:3] == ring


def test_a_bow_tie_becomes_its_two_halves_and_is_noted() -> None:
    notes = Notes("a.xml")
    found = polygons_from_rings(
        [np.array([(0, 0), (10, 10), (10, 0), (0, 10)], dtype=float)], "shape 1", notes
    )
    assert sorted(p.area for p in found) == [25, 25]
    with pytest.warns(OutlineWarning, match=r"a\.xml: .*mended: shape 1"):
        notes.warn()


def test_a_tangle_of_400_vertices_is_mended_in_under_a_second() -> None:
    ring = np.random.default_rng(1).random((400, 2)) * 1000
    started = time.process_time()
    found = polygons(ring)
    assert time.process_time() - started < 1
    assert found
    assert all(p.is_valid for p in found)


def test_a_tangle_of_20000_vertices_is_refused_in_seconds() -> None:
    ring = np.random.default_rng(1).random((20_000, 2)) * 1000
    started = time.process_time()
    with pytest.raises(OutlineError, match=r"a\.xml: shape 1 crosses itself about [\d,]+ times"):
        polygons(ring)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e8])
def test_coordinates_that_lie_on_no_slide_are_refused_by_name(bad: float) -> None:
    with pytest.raises(OutlineError, match=r"shape 1 has a vertex at .* which lies on no slide"):
        polygons([(0, 0), (5, bad), (5, 5)])


@pytest.mark.parametrize(
    ("ring", "problem"),
    [
        ([(0, 0), (5, 5)], "fewer than three"),
        ([(0, 0), (5, 5), (0, 0)], "fewer than three"),
        ([(0, 0), (5, 5), (9, 9)], "without an area"),
    ],
)
def test_shapes_without_an_area_are_left_out_and_noted(
    ring: list[tuple[float, float]], problem: str
) -> None:
    notes = Notes("a.xml")
    assert polygons_from_rings([np.array(ring, dtype=float)], "shape 1", notes) == []
    with pytest.warns(OutlineWarning, match=f"{problem}.*left out: shape 1"):
        notes.warn()


def test_a_warning_names_five_shapes_and_counts_the_rest() -> None:
    notes = Notes("a.xml")
    for number in range(12):
        notes.add("left out", f"shape {number}")
    with pytest.warns(OutlineWarning, match="shape 0, .*shape 4 and 7 more"):
        notes.warn()


def test_two_or_four_corners_make_a_rectangle_in_any_order() -> None:
    corners = [(1.0, 2.0), (6.0, 2.0), (6.0, 5.0), (1.0, 5.0)]
    for points in ([corners[0], corners[2]], [corners[3], corners[1]], corners):
        assert Polygon(rectangle(np.array(points))).equals(box(1, 2, 6, 5))
    crossed = np.array([corners[0], corners[2], corners[1], corners[3]])
    assert Polygon(rectangle(crossed)).equals(box(1, 2, 6, 5))


def test_an_ellipse_has_its_exact_area() -> None:
    assert Polygon(ellipse((5, 6), (40, 20))).area == pytest.approx(np.pi * 40 * 20, rel=1e-12)


def test_a_spline_goes_through_its_points_and_is_smooth() -> None:
    angles = np.arange(12) * np.pi / 6
    points = np.column_stack([np.cos(angles), np.sin(angles)]) * 500 + 1000
    curve = Polygon(closed_spline(points))
    assert all(curve.exterior.distance(Point(p)) < 1e-9 for p in points)
    assert curve.area == pytest.approx(np.pi * 500**2, rel=2e-3)
    assert Polygon(points).area < 0.96 * curve.area


def test_a_spline_with_repeated_points_has_no_nan() -> None:
    points = np.array([(0, 0), (0, 0), (90, 0), (90, 90), (90, 90), (0, 90), (0, 0)], dtype=float)
    assert np.isfinite(closed_spline(points)).all()


@st.composite
def holed(draw: st.DrawFn) -> Polygon:
    """A polygon with ragged holes, at awkward coordinates."""
    cells = draw(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=25))
    scale = draw(st.floats(0.3, 977.3))
    gaps = shapely.union_all([box(x, y, x + 1, y + 1) for x, y in cells])
    whole = max(parts(box(0, 0, 10, 10).difference(gaps)), key=lambda p: p.area)
    return shapely.transform(whole, lambda xy: xy * scale + 12345.678)


@given(holed())
@settings(max_examples=100)
def test_pieces_without_holes_make_up_exactly_the_polygon(polygon: Polygon) -> None:
    pieces = hole_free_pieces(polygon)
    assert not any(p.interiors for p in pieces)
    assert all(p.is_valid for p in pieces)
    assert sum(p.area for p in pieces) == pytest.approx(polygon.area, rel=1e-9)
    (union,) = parts(shapely.union_all(pieces))
    assert len(union.interiors) == len(polygon.interiors)
    assert union.symmetric_difference(polygon).area <= 1e-9 * polygon.area
