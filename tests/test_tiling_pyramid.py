import errno
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations.errors import ResultError
from tiling.frame import Box, Frame
from tiling.pyramid import halved, level_sizes, write_pyramid

Map = NDArray[np.uint8]


def frame_of(values: Map, mpp: tuple[float, float] = (4.0, 4.0)) -> Frame:
    return Frame((0.0, 0.0), (16.0, 16.0), mpp, values.shape[1], values.shape[0])


def reader(values: Map) -> Callable[[Box], Map]:
    return lambda box: values[box.y : box.bottom, box.x : box.right]


def some_map(width: int, height: int, seed: int = 0) -> Map:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width), np.uint8)


def mean_of_existing_pixels(values: Map) -> Map:
    """The 2 x 2 mean in plain words: sum what there is, divide, round half up."""
    height, width = values.shape
    out = np.zeros((-(-height // 2), -(-width // 2)), np.uint8)
    for y, x in np.ndindex(*out.shape):
        cell = values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(int)
        out[y, x] = (2 * cell.sum() + cell.size) // (2 * cell.size)
    return out


@settings(max_examples=50)
@given(width=st.integers(1, 9), height=st.integers(1, 9), seed=st.integers(0, 999))
def test_halving_is_the_mean_half_up(width: int, height: int, seed: int) -> None:
    values = some_map(width, height, seed)
    np.testing.assert_array_equal(halved(values), mean_of_existing_pixels(values))


def test_level_sizes() -> None:
    assert level_sizes(1, 1) == [(1, 1)]
    assert level_sizes(512, 512) == [(512, 512)]
    assert level_sizes(3, 1025) == [(3, 1025), (2, 513), (1, 257)]


SIZES = [(1, 1), (3, 700), (700, 3), (512, 512), (513, 512), (1300, 2051), (2048, 1024)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [256, 512])
def test_every_level_is_the_mean_of_the_one_above(
    tmp_path: Path, size: tuple[int, int], tile: int
) -> None:
    values = some_map(*size)
    path = tmp_path / "map.tiff"
    write_pyramid(path, reader(values), frame_of(values), tile=tile)
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        assert [(p.imagewidth, p.imagelength) for p in pages] == level_sizes(*size)
        assert [int(p.subfiletype) for p in pages] == [0, *[1] * (len(pages) - 1)]
        for page in pages:
            assert page.is_tiled and page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            np.testing.assert_array_equal(page.asarray(), values)
            values = halved(values)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", SIZES)
def test_openslide_sees_all_levels_and_the_resolution(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    values = some_map(*size)
    path = tmp_path / "map.tiff"
    write_pyramid(path, reader(values), frame_of(values, (3.9571, 4.0123)))
    with openslide.OpenSlide(path) as slide:
        assert list(slide.level_dimensions) == level_sizes(*size)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(3.9571, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(4.0123, rel=1e-6)
        for level, (width, height) in enumerate(slide.level_dimensions):
            pixels = np.asarray(slide.read_region((0, 0), level, (width, height)))
            assert (pixels[..., 3] == 255).all()
            np.testing.assert_array_equal(pixels[..., 0], values)
            values = halved(values)


@settings(max_examples=50)
@given(mpp=st.tuples(st.floats(0.05, 40), st.floats(0.05, 40)))
def test_the_resolution_tags_are_precise(
    tmp_path_factory: pytest.TempPathFactory, mpp: tuple[float, float]
) -> None:
    values = some_map(3, 2)
    path = tmp_path_factory.mktemp("pyramid") / "map.tiff"
    write_pyramid(path, reader(values), frame_of(values, mpp))
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        for name, expected in zip(("XResolution", "YResolution"), mpp, strict=True):
            top, bottom = tags[name].value
            assert 10_000 / (top / bottom) == pytest.approx(expected, rel=1e-8)


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    values = some_map(900, 700)
    written = []
    for name in ("a.tiff", "b.tiff"):
        write_pyramid(tmp_path / name, reader(values), frame_of(values))
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_each_pixel_is_read_once_and_progress_is_told(tmp_path: Path) -> None:
    values = some_map(1100, 900)
    count = np.zeros(values.shape, int)
    heard: list[tuple[int, int]] = []

    def read(box: Box) -> Map:
        count[box.y : box.bottom, box.x : box.right] += 1
        return values[box.y : box.bottom, box.x : box.right]

    write_pyramid(
        tmp_path / "map.tiff", read, frame_of(values), progress=lambda *told: heard.append(told)
    )
    assert (count == 1).all()
    total = 3 * 2 + 2 * 1 + 1
    assert heard == [(n + 1, total) for n in range(total)]


def test_memory_does_not_grow_with_the_map(tmp_path: Path) -> None:
    def read(box: Box) -> Map:
        return np.full((box.height, box.width), 7, np.uint8)

    peaks = []
    for side in (2048, 8192):
        frame = Frame((0.0, 0.0), (1.0, 1.0), (4.0, 4.0), side, side)
        tracemalloc.start()
        write_pyramid(tmp_path / "map.tiff", read, frame)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20
    assert peaks[1] < 8 * 2**20


def test_nothing_is_left_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    values = some_map(1100, 900)
    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ResultError, match="disk is full"):
        write_pyramid(tmp_path / "map.tiff", reader(values), frame_of(values))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    values = some_map(3, 3)
    with pytest.raises(ResultError, match="cannot be written"):
        write_pyramid(tmp_path / "none" / "map.tiff", reader(values), frame_of(values))
