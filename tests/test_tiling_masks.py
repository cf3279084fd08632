import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon, affinity

from tiling.frame import Box, Frame
from tiling.masks import rasterise

FRAME = Frame((11.25, -7.5), (15.83, 15.83), (4.0, 4.0), 40, 30)


def centres_inside(shape: Polygon | MultiPolygon, frame: Frame, box: Box) -> NDArray[np.bool_]:
    """The pixel-centre rule, said once more by another library."""
    x, y = np.meshgrid(
        np.arange(box.x, box.right) + 0.5,
        np.arange(box.y, box.bottom) + 0.5,
    )
    (ox, oy), (dx, dy) = frame.origin_level0, frame.downsample
    return np.asarray(shapely.contains_xy(shape, ox + x * dx, oy + y * dy))


def star(seed: int, centre: tuple[float, float], radius: float, points: int) -> Polygon:
    random = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    radii = radius * random.uniform(0.3, 1, points)
    return Polygon(
        np.column_stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)])
    )


@settings(max_examples=50)
@given(
    seed=st.integers(0, 9999),
    points=st.integers(3, 40),
    hole=st.booleans(),
    downsample=st.floats(0.3, 40),
    stretch=st.floats(0.9, 1.1),
    box=st.builds(
        Box, st.integers(-10, 30), st.integers(-10, 30), st.integers(0, 40), st.integers(0, 40)
    ),
)
def test_a_pixel_is_inside_when_its_centre_is(
    seed: int, points: int, hole: bool, downsample: float, stretch: float, box: Box
) -> None:
    frame = Frame((11.25, -7.5), (downsample, downsample * stretch), (4.0, 4.0), 40, 30)
    centre = frame.to_level0(20, 15)
    shape = star(seed, centre, 18 * downsample, points)
    if hole:
        shape = shape.difference(star(seed + 1, centre, 9 * downsample, points))
    assume(shape.geom_type in ("Polygon", "MultiPolygon") and not shape.is_empty)
    np.testing.assert_array_equal(
        rasterise([(shape, 1)], frame, box), centres_inside(shape, frame, box)
    )


@settings(max_examples=50)
@given(x=st.integers(-15, 45), y=st.integers(-15, 35), w=st.integers(0, 30), h=st.integers(0, 30))
def test_every_box_gives_the_pixels_of_the_whole(x: int, y: int, w: int, h: int) -> None:
    shape = star(3, FRAME.to_level0(20, 15), 400, 25)
    whole = rasterise([(shape, 1)], FRAME, Box(-20, -20, 100, 90))
    part = rasterise([(shape, 1)], FRAME, Box(x, y, w, h))
    np.testing.assert_array_equal(part, whole[y + 20 : y + h + 20, x + 20 : x + w + 20])


@settings(max_examples=50)
@given(step=st.sampled_from([1.0, 2.0, 4.0]), turn=st.integers(0, 3), seed=st.integers(0, 999))
def test_neighbours_share_no_pixel_and_lose_none(step: float, turn: int, seed: int) -> None:
    """Integer outlines at even downsamples put edges and corners right on pixel centres."""
    frame = Frame((0.0, 0.0), (step, step), (1.0, 1.0), 32, 32)
    random = np.random.default_rng(seed)
    cut = [(0, 20), *((x, int(random.integers(5, 60))) for x in range(5, 60, 5)), (64, 30)]
    above = Polygon([*cut, (64, 0), (0, 0)])
    below = Polygon([*cut, (64, 64), (0, 64)])
    counts = np.zeros((64, 64), int)
    for shape in (above, below):
        turned = affinity.rotate(shape, 90 * turn, origin=(32, 32))
        counts += rasterise([(turned, 1)], frame, Box(0, 0, 64, 64))
    inside = int(64 / step)
    assert (counts[:inside, :inside] == 1).all()
    assert counts.sum() == inside**2


def test_a_centre_on_the_border_belongs_to_the_right_and_below() -> None:
    frame = Frame((0.0, 0.0), (2.0, 2.0), (1.0, 1.0), 4, 4)
    mask = rasterise([(shapely.box(1, 1, 5, 5), 1)], frame, frame.box)
    np.testing.assert_array_equal(np.argwhere(mask), [(0, 0), (0, 1), (1, 0), (1, 1)])


def test_later_shapes_cover_earlier_ones_and_the_background_stays() -> None:
    frame = Frame((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 6, 1)
    shapes = [(shapely.box(0, 0, 3, 1), 1), (shapely.box(2, 0, 4, 1), 7)]
    np.testing.assert_array_equal(
        rasterise(shapes, frame, frame.box, background=255), [[1, 1, 7, 7, 255, 255]]
    )


def test_holes_and_parts_survive() -> None:
    frame = Frame((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 20, 10)
    ring = Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(2, 2, 7, 7).exterior])
    shape = MultiPolygon([ring, shapely.box(3, 3, 6, 6), shapely.box(12, 2, 18, 8)])
    mask = rasterise([(shape, 1)], frame, frame.box)
    assert mask.sum() == shape.area
    assert not mask[2, 2] and mask[3, 3] and mask[5, 15]


def test_nothing_to_paint() -> None:
    assert (rasterise([], FRAME, Box(0, 0, 3, 2), background=9) == 9).all()
    empty = rasterise([(Polygon(), 1), (shapely.box(1e7, 1e7, 2e7, 2e7), 1)], FRAME, FRAME.box)
    assert not empty.any()


def test_more_crossings_than_a_byte_counts() -> None:
    teeth = [shapely.box((i + 0.25) / 600, 0, (i + 0.75) / 600, 1) for i in range(600)]
    frame = Frame((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 3, 1)
    shape = MultiPolygon([*teeth, shapely.box(1, 0, 2.75, 1)])
    np.testing.assert_array_equal(rasterise([(shape, 1)], frame, frame.box), [[0, 1, 1]])


def test_values_are_bytes() -> None:
    with pytest.raises(OverflowError):
        rasterise([(shapely.box(0, 0, 500, 500), 256)], FRAME, FRAME.box)
