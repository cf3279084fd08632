import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from shapely import Polygon

from tiling.frame import Box, Frame
from tiling.masks import rasterise
from tiling.trace import (
    first_value_above,
    inside_point,
    max_diameter,
    to_level0,
    trace_regions,
)

Map = NDArray[np.uint8]


def reader(values: Map) -> Callable[[Box], Map]:
    def read(box: Box) -> Map:
        assert box == box.intersection(Box(0, 0, values.shape[1], values.shape[0]))
        return values[box.y : box.bottom, box.x : box.right]

    return read


def size(values: Map) -> tuple[int, int]:
    return values.shape[1], values.shape[0]


@st.composite
def maps(draw: st.DrawFn) -> Map:
    """Noise of any density, smooth or not: diagonal contacts, holes, islands, empty, full."""
    width, height = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 99999)))
    noise = random.random((height, width))
    if draw(st.booleans()):
        noise = ndimage.gaussian_filter(noise, 1.0)
    share = draw(st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.6, 0.9, 1.0]))
    mask = noise <= np.quantile(noise, share)
    return np.where(mask, random.integers(128, 256, mask.shape), random.integers(0, 128)).astype(
        np.uint8
    )


@settings(max_examples=50)
@given(values=maps())
def test_polygons_are_what_gdal_traces_at_once(values: Map) -> None:
    mask = (values >= 128).astype(np.uint8)
    expected = [
        shapely.geometry.shape(shape)
        for shape, value in rasterio.features.shapes(mask, connectivity=4)
        if value == 1
    ]
    regions = trace_regions(reader(values), size(values), 0.5)
    assert len(regions) == len(expected)
    found = {shapely.normalize(region.polygon).wkb for region in regions}
    assert found == {shapely.normalize(polygon).wkb for polygon in expected}


@settings(max_examples=50)
@given(values=maps(), block=st.integers(1, 30))
def test_blocks_leave_no_trace(values: Map, block: int) -> None:
    whole = trace_regions(reader(values), size(values), 0.5, block=1000)
    parts = trace_regions(reader(values), size(values), 0.5, block=block)
    assert [r.polygon.wkb for r in parts] == [r.polygon.wkb for r in whole]
    assert [(r.area_px, r.value_sum, r.bbox) for r in parts] == [
        (r.area_px, r.value_sum, r.bbox) for r in whole
    ]


@settings(max_examples=50)
@given(values=maps(), block=st.integers(1, 30))
def test_regions_are_exact_valid_and_in_order(values: Map, block: int) -> None:
    regions = trace_regions(reader(values), size(values), 0.5, block=block)
    labels, count = ndimage.label(values >= 128)
    assert len(regions) == count
    frame = Frame((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), *size(values))
    for region in regions:
        polygon = region.polygon
        assert polygon.is_valid
        inside = rasterise([(polygon, 1)], frame, frame.box) == 1
        assert len(np.unique(labels[inside])) == 1
        assert region.area_px == inside.sum() == polygon.area
        assert region.value_sum == values[inside].sum(dtype=int)
        box = region.bbox
        assert polygon.bounds == (box.x, box.y, box.right, box.bottom)
        for number, ring in enumerate((polygon.exterior, *polygon.interiors)):
            assert_canonical(np.asarray(ring.coords), outer=number == 0)
        starts = [(ring.coords[0][1], ring.coords[0][0]) for ring in polygon.interiors]
        assert starts == sorted(starts)
    keys = [(-r.area_px, r.bbox.y, r.bbox.x) for r in regions]
    assert keys == sorted(keys)


def assert_canonical(points: NDArray[np.float64], outer: bool) -> None:
    steps = np.diff(points, axis=0)
    turns = np.roll(steps, 1, axis=0)
    assert ((steps == 0).sum(axis=1) == 1).all(), "every edge is horizontal or vertical"
    assert (steps * turns == 0).all(), "every vertex is a corner"
    assert tuple(points[0][::-1]) == min((y, x) for x, y in points)
    assert shapely.LinearRing(points).is_ccw == outer


def test_two_pixels_that_touch_by_a_corner_are_two_regions() -> None:
    values = np.array([[255, 0], [0, 255]], np.uint8)
    for block in (1, 2, 3):
        regions = trace_regions(reader(values), (2, 2), 0.5, block=block)
        assert [r.polygon.bounds for r in regions] == [(0, 0, 1, 1), (1, 1, 2, 2)]


def test_a_region_that_touches_itself_by_a_corner_gets_a_hole() -> None:
    values = np.array([[0, 9, 9], [9, 0, 9], [9, 9, 9]], np.uint8)
    for block in (1, 2, 3, 4):
        (region,) = trace_regions(reader(values), (3, 3), 0.0, block=block)
        assert region.polygon.is_valid
        assert region.area_px == region.polygon.area == 7
        (hole,) = region.polygon.interiors
        assert Polygon(hole).bounds == (1, 1, 2, 2)
        assert region.value_sum == 63


def test_small_regions_can_be_left_out() -> None:
    values = np.zeros((9, 9), np.uint8)
    values[0, 0] = values[1, 1] = values[5:8, 5:8] = 200
    values[6, 6] = 0
    (region,) = trace_regions(reader(values), (9, 9), 0.5, least_area_px=2, block=4)
    assert (region.area_px, len(region.polygon.interiors)) == (8, 1)
    assert trace_regions(reader(values), (9, 9), 0.5, least_area_px=9) == []


@settings(max_examples=50)
@given(values=maps(), block=st.integers(1, 30), least=st.integers(2, 30))
def test_small_regions_are_left_out_whatever_the_blocks(
    values: Map, block: int, least: int
) -> None:
    every = trace_regions(reader(values), size(values), 0.5)
    some = trace_regions(reader(values), size(values), 0.5, least_area_px=least, block=block)
    assert some == [region for region in every if region.area_px >= least]


def test_memory_does_not_grow_with_the_map() -> None:
    def read(box: Box) -> Map:
        values = np.zeros((box.height, box.width), np.uint8)
        values[50::50, 50::50] = 255  # specks, which are left out
        if (box.x, box.y) == (256, 256):
            values[20:149, 20:220] = 200
        return values

    peaks = []
    for side in (1000, 4000):
        tracemalloc.start()
        (region,) = trace_regions(read, (side, side), 0.5, block=256, least_area_px=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert region.area_px == 129 * 200
    assert peaks[1] < peaks[0] + 2**19


def test_progress_counts_to_the_end() -> None:
    heard: list[tuple[int, int]] = []
    values = np.zeros((20, 30), np.uint8)
    trace_regions(
        reader(values), (30, 20), 0.5, block=8, progress=lambda *counts: heard.append(counts)
    )
    assert [done for done, _ in heard] == list(range(1, heard[-1][1] + 1))
    assert heard[-1][0] == heard[-1][1]


@settings(max_examples=50)
@given(st.floats(-0.5, 1.5))
def test_the_first_value_above_a_threshold(threshold: float) -> None:
    first = first_value_above(threshold)
    assert [v / 255 > threshold for v in range(256)] == [v >= first for v in range(256)]


@pytest.mark.parametrize(
    ("threshold", "first"), [(0.5, 128), (127 / 255, 128), (1.0, 256), (-1.0, 0), (math.nan, 256)]
)
def test_values_at_the_threshold_are_not_above(threshold: float, first: int) -> None:
    assert first_value_above(threshold) == first


@settings(max_examples=50)
@given(
    values=maps(),
    downsample=st.floats(0.3, 60),
    stretch=st.floats(0.9, 1.1),
    origin=st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
)
def test_level0_polygons_are_valid_and_keep_their_area(
    values: Map, downsample: float, stretch: float, origin: tuple[float, float]
) -> None:
    frame = Frame(origin, (downsample, downsample * stretch), (1.0, 1.0), *size(values))
    regions = trace_regions(reader(values), size(values), 0.5)
    polygons = to_level0([region.polygon for region in regions], frame)
    for region, polygon in zip(regions, polygons, strict=True):
        assert polygon.is_valid
        expected = region.area_px * downsample**2 * stretch
        assert polygon.area == pytest.approx(expected, rel=1e-7)
        assert len(polygon.interiors) == len(region.polygon.interiors)
        # and painting it back gives the region
        painted = rasterise([(polygon, 1)], frame, frame.box)
        assert painted.sum() == region.area_px


@settings(max_examples=50)
@given(values=maps(), x=st.floats(0.1, 9), y=st.floats(0.1, 9))
def test_diameter_and_inside_point(values: Map, x: float, y: float) -> None:
    for region in trace_regions(reader(values), size(values), 0.5)[:5]:
        points = shapely.get_coordinates(region.polygon) * (x, y)
        pairs = points[:, None] - points[None]
        expected = np.hypot(pairs[..., 0], pairs[..., 1]).max()
        assert max_diameter(region.polygon, (x, y)) == pytest.approx(expected, rel=1e-12)
        assert shapely.contains_xy(region.polygon, *inside_point(region.polygon))


def test_diameter_of_a_round_shape_with_many_corners() -> None:
    angles = np.linspace(0, 2 * math.pi, 1001)[:-1]
    polygon = Polygon(np.column_stack([3 * np.cos(angles), np.sin(angles)]))
    assert max_diameter(polygon) == pytest.approx(6, abs=1e-3)
    assert max_diameter(polygon, (1.0, 5.0)) == pytest.approx(10, abs=1e-3)
