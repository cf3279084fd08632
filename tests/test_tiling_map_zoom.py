import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tiling.canvas import Canvas
from tiling.canvas_view import CanvasFacts, CanvasView
from tiling.deepzoom import DeepZoom
from tiling.frame import Box, Frame
from tiling.images import png_bytes
from tiling.map_zoom import CanvasSource, MapSource, StoredSource, map_tile
from tiling.maps import StoredMap
from tiling.pyramid import halved, write_pyramid

Map = NDArray[np.uint8]
SIZES = [(1, 1), (1, 300), (255, 257), (512, 512), (700, 513), (1025, 2047)]


def some_map(width: int, height: int) -> Map:
    return np.random.default_rng(width).integers(0, 256, (height, width), np.uint8)


@contextmanager
def stored(folder: Path, values: Map) -> Iterator[StoredSource]:
    frame = Frame((0.0, 0.0), (16.0, 16.0), (4.0, 4.0), values.shape[1], values.shape[0])
    path = folder / "probability.tiff"
    write_pyramid(path, lambda box: values[box.y : box.bottom, box.x : box.right], frame, tile=256)
    with StoredMap(path, cache_bytes=1) as opened:
        yield StoredSource(opened)


def put_together(source: MapSource, level: int) -> Map:
    columns, rows = DeepZoom(*source.size).tiles(level)
    lines = []
    for row in range(rows):
        tiles = [map_tile(source, level, column, row) for column in range(columns)]
        lines.append(np.hstack([tile for tile in tiles if tile is not None]))
    return np.vstack(lines)


@pytest.mark.parametrize("size", SIZES)
def test_the_finest_level_is_exact_and_each_other_the_mean_of_the_next(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    expected = some_map(*size)
    with stored(tmp_path, expected) as source:
        for level in reversed(range(DeepZoom(*size).levels)):
            np.testing.assert_array_equal(put_together(source, level), expected)
            expected = halved(expected)


@pytest.mark.parametrize("place", [(-1, 0, 0), (12, 0, 0), (10, 3, 0), (10, 0, 3), (10, -1, 0)])
def test_there_are_no_tiles_elsewhere(tmp_path: Path, place: tuple[int, int, int]) -> None:
    with stored(tmp_path, some_map(700, 513)) as source:  # 11 levels
        assert map_tile(source, *place) is None


def test_values_are_counted_over_the_whole_map(tmp_path: Path) -> None:
    values = some_map(2100, 2300)
    with stored(tmp_path, values) as source:
        counts = source.counts()
    np.testing.assert_array_equal(counts, np.bincount(values.reshape(-1), minlength=256))


def test_a_canvas_shows_what_is_filled_of_it(tmp_path: Path) -> None:
    values = some_map(1300, 700)
    values[:, 600:] = 0
    frame = Frame((0.0, 0.0), (16.0, 16.0), (4.0, 4.0), 1300, 700)
    CanvasFacts(frame, ("background", "tumour"), foreground=1).save(tmp_path)
    with Canvas.open(tmp_path, key="", planes=2, width=1300, height=700) as canvas:
        canvas.write(Box(0, 0, 600, 700), np.stack([255 - values, values])[:, :, :600])
        canvas.flush()
        view = CanvasView.open(tmp_path)
        assert view is not None
        with view:
            source = CanvasSource(view)
            levels = DeepZoom(*source.size).levels
            np.testing.assert_array_equal(put_together(source, levels - 1), values)
            half = put_together(source, levels - 2)
            np.testing.assert_array_equal(half, halved(values))
            assert put_together(source, 0).shape == (1, 1)
            counted = np.bincount(values.reshape(-1), minlength=256)
            np.testing.assert_array_equal(source.counts(), counted)


def test_a_png_keeps_every_value() -> None:
    values = some_map(256, 200)
    with Image.open(io.BytesIO(png_bytes(values))) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), values)
