"""Reading by plan: what windows share is decoded once, the pixels stay the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import data_dir
from tests.made_slides import write_aperio
from tiling.frame import Box, Frame
from tiling.grid import Window
from tiling.planned import PlannedLevel, TiledLevel
from tiling.reader import read_windows
from tiling.resample import RGB
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.tissue import read_overview

NOISE = np.random.default_rng(8).integers(0, 256, (190, 230, 3), dtype=np.uint8)


class NoiseTiles:
    """NOISE in tiles of 32 x 16 pixels, cut short on the far edges; counts what is decoded."""

    size, downsample, tile = (230, 190), (1.0, 1.0), (32, 16)

    def __init__(self) -> None:
        self.decoded: Counter[tuple[int, int]] = Counter()

    def read(self, box: Box) -> RGB:
        return NOISE[box.y : box.bottom, box.x : box.right]

    def decode(self, column: int, row: int) -> RGB:
        self.decoded[column, row] += 1
        return NOISE[row * 16 : row * 16 + 16, column * 32 : column * 32 + 32]


class Counted:
    """A slide's level that counts how often each of its tiles is decoded."""

    def __init__(self, level: TiledLevel) -> None:
        self._level = level
        self.size, self.downsample, self.tile = level.size, level.downsample, level.tile
        self.decoded: Counter[tuple[int, int]] = Counter()

    def read(self, box: Box) -> RGB:
        raise AssertionError("pixels were read outside the plan")

    def decode(self, column: int, row: int) -> RGB:
        self.decoded[column, row] += 1
        return self._level.decode(column, row)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.integers(0, 229)), draw(st.integers(0, 189))
    return Box(x, y, draw(st.integers(1, 230 - x)), draw(st.integers(1, 190 - y)))


@given(st.lists(boxes(), min_size=1, max_size=12))
def test_with_room_each_tile_is_decoded_once(planned: list[Box]) -> None:
    tiles = NoiseTiles()
    level = PlannedLevel(tiles, planned)
    for box in planned:
        expected = NOISE[box.y : box.bottom, box.x : box.right]
        np.testing.assert_array_equal(level.read(box), expected)
    assert set(tiles.decoded.values()) == {1}
    assert level.held_bytes == 0


@given(st.lists(boxes(), min_size=1, max_size=12), st.integers(0, 20_000))
def test_without_room_the_pixels_are_the_same(planned: list[Box], most: int) -> None:
    level = PlannedLevel(NoiseTiles(), planned, most)
    for box in planned:
        expected = NOISE[box.y : box.bottom, box.x : box.right]
        np.testing.assert_array_equal(level.read(box), expected)
        assert level.held_bytes <= most


def test_what_is_needed_last_makes_room() -> None:
    tiles = NoiseTiles()
    first, second = Box(0, 0, 32, 16), Box(32, 0, 32, 16)
    level = PlannedLevel(tiles, [Box(0, 0, 64, 16), second, first], 32 * 16 * 3)
    for box in (Box(0, 0, 64, 16), second, first):
        level.read(box)
    assert tiles.decoded == {(1, 0): 1, (0, 0): 2}


def test_only_what_is_planned_can_be_read_and_in_its_turn() -> None:
    level = PlannedLevel(NoiseTiles(), [Box(0, 0, 9, 9), Box(5, 5, 9, 9)])
    level.read(Box(5, 5, 9, 9))
    for box in (Box(0, 0, 9, 9), Box(1, 1, 9, 9)):
        with pytest.raises(ValueError, match="not"):
            level.read(box)


def _windows(frame: Frame, side: int, halo: int) -> list[Window]:
    """Squares with a halo over all of a frame and beyond, row by row."""
    return [
        Window(Box(x, y, side, side).padded(halo), Box(x, y, side, side))
        for y in range(0, frame.height, side)
        for x in range(0, frame.width, side)
    ]


def _counted(slide: Slide) -> tuple[Slide, list[Counted]]:
    levels = []
    for level in slide.levels:
        assert isinstance(level, TiledLevel)
        levels.append(Counted(level))
    return replace(slide, levels=list(levels)), levels


def _decoded_once(levels: Sequence[Counted]) -> bool:
    counts = [count for level in levels for count in level.decoded.values()]
    return bool(counts) and set(counts) == {1}


@pytest.mark.parametrize("mpp", [0.5, 1.7, 2.0])
def test_windows_of_a_map_decode_each_tile_once(tmp_path: Path, mpp: float) -> None:
    with Slide.open(write_aperio(tmp_path / "slide.tiff")) as slide:
        frame = slide.frame(mpp)
        counted, levels = _counted(slide)
        for window, pixels in read_windows(counted, frame, _windows(frame, 200, 40)):
            np.testing.assert_array_equal(pixels, slide.read(frame, window.read))
        assert _decoded_once(levels)


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "TCGA-CR-7395-01A-01-TS1.svs",
        "packer_example.tif",
        "fluorescence TRITC.ndpi",
        "dicom_cmu1_small_region",
    ],
)
def test_windows_of_real_slides_decode_each_tile_once(data: Path, name: str) -> None:
    with Slide.open(data_dir() / "slides" / name, Resolution(0.5)) as slide:
        frame = slide.frame(1.0)
        counted, levels = _counted(slide)
        for window, pixels in read_windows(counted, frame, _windows(frame, 300, 64)):
            np.testing.assert_array_equal(pixels, slide.read(frame, window.read))
        assert _decoded_once(levels)


def test_an_overview_of_a_slide_without_smaller_levels_decodes_each_tile_once(
    tmp_path: Path,
) -> None:
    with Slide.open(write_aperio(tmp_path / "slide.tiff")) as slide:
        frame = slide.frame(20.0)
        counted, levels = _counted(slide)
        np.testing.assert_array_equal(read_overview(counted, frame), slide.read(frame, frame.box))
        assert _decoded_once(levels)
