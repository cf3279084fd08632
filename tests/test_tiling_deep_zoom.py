import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tiling.deep_zoom import (
    TILE,
    StoredZoom,
    level_count,
    size_at,
    value_counts,
    zoom_tile,
)
from tiling.frame import Frame
from tiling.images import png_bytes
from tiling.maps import StoredMap
from tiling.pyramid import halved, write_pyramid

Map = NDArray[np.uint8]
SIZES = [(1, 1), (1, 300), (255, 257), (512, 512), (700, 513), (1025, 2047)]


def some_map(width: int, height: int) -> Map:
    return np.random.default_rng(width).integers(0, 256, (height, width), np.uint8)


@contextmanager
def stored(folder: Path, values: Map) -> Iterator[StoredZoom]:
    frame = Frame((0.0, 0.0), (16.0, 16.0), (4.0, 4.0), values.shape[1], values.shape[0])
    path = folder / "probability.tiff"
    write_pyramid(path, lambda box: values[box.y : box.bottom, box.x : box.right], frame, tile=256)
    with StoredMap(path, cache_bytes=1) as opened:
        yield StoredZoom(opened)


def put_together(zoom: StoredZoom, level: int) -> Map:
    width, height = size_at(zoom.size, level_count(zoom.size) - 1 - level)
    rows = []
    for row in range(-(-height // TILE)):
        tiles = [zoom_tile(zoom, level, column, row) for column in range(-(-width // TILE))]
        rows.append(np.hstack([tile for tile in tiles if tile is not None]))
    return np.vstack(rows)


@pytest.mark.parametrize("size", SIZES)
def test_the_finest_level_is_exact_and_each_other_the_mean_of_the_next(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    expected = some_map(*size)
    with stored(tmp_path, expected) as zoom:
        for level in reversed(range(level_count(zoom.size))):
            np.testing.assert_array_equal(put_together(zoom, level), expected)
            expected = halved(expected)


@pytest.mark.parametrize("size", SIZES)
def test_levels_go_down_to_one_pixel_as_deep_zoom_has_them(size: tuple[int, int]) -> None:
    levels = level_count(size)
    assert levels == int(np.ceil(np.log2(max(size)))) + 1
    assert size_at(size, levels - 1) == (1, 1)
    assert size_at(size, 0) == size


@pytest.mark.parametrize("place", [(-1, 0, 0), (12, 0, 0), (10, 3, 0), (10, 0, 3), (10, -1, 0)])
def test_there_are_no_tiles_elsewhere(tmp_path: Path, place: tuple[int, int, int]) -> None:
    with stored(tmp_path, some_map(700, 513)) as zoom:
        assert level_count(zoom.size) == 11
        assert zoom_tile(zoom, *place) is None


def test_values_are_counted_over_the_whole_map(tmp_path: Path) -> None:
    values = some_map(2100, 2300)
    with stored(tmp_path, values) as zoom:
        counts = value_counts(zoom)
    np.testing.assert_array_equal(counts, np.bincount(values.reshape(-1), minlength=256))


def test_a_png_keeps_every_value() -> None:
    values = some_map(256, 200)
    with Image.open(io.BytesIO(png_bytes(values))) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), values)
