"""Deep-zoom tiles lie on the slide's plane, cover it once, and cost what can be paid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from defusedxml import ElementTree

from annotations.errors import SlideError
from tests.conftest import draw_slide
from tiling.deepzoom import DeepZoom
from tiling.frame import Box
from tiling.images import jpeg, read_rgb
from tiling.resample import RGB
from tiling.slide import Slide
from tiling.slide_tiles import deep_zoom, picture, read_tile


def whole_level(slide: Slide, zoom: DeepZoom, level: int) -> RGB:
    """All tiles of a level, side by side."""
    columns, rows = zoom.tiles(level)
    return np.vstack(
        [
            np.hstack([read_tile(slide, zoom, level, column, row) for column in range(columns)])
            for row in range(rows)
        ]
    )


def tiled(path: Path, side: int, tile: int) -> Path:
    pixels = np.zeros((side, side, 3), np.uint8)
    tifffile.imwrite(path, pixels, tile=(tile, tile), photometric="rgb", compression="deflate")
    return path


@pytest.mark.parametrize(
    ("width", "height", "levels"), [(1, 1, 1), (2, 1, 2), (256, 256, 9), (257, 3, 10)]
)
def test_levels_halve_down_to_one_pixel(width: int, height: int, levels: int) -> None:
    zoom = DeepZoom(width, height)
    assert zoom.levels == levels
    assert zoom.size(levels - 1) == (width, height)
    assert zoom.size(0) == (1, 1)
    for level in range(1, levels):
        assert zoom.size(level - 1) == tuple(-(-side // 2) for side in zoom.size(level))


def test_tiles_cover_each_level_once() -> None:
    zoom = DeepZoom(1000, 300, tile=240)
    for level in range(zoom.levels):
        seen = np.zeros(zoom.size(level)[::-1], int)
        columns, rows = zoom.tiles(level)
        for column in range(columns):
            for row in range(rows):
                box = zoom.box(level, column, row)
                assert box is not None
                seen[box.y : box.bottom, box.x : box.right] += 1
        assert (seen == 1).all()


@pytest.mark.parametrize(
    "place", [(-1, 0, 0), (11, 0, 0), (10, 4, 0), (10, 0, 2), (10, -1, 0), (10, 0, -1)]
)
def test_there_are_no_other_tiles(place: tuple[int, int, int]) -> None:
    assert DeepZoom(1000, 300).box(*place) is None


def test_the_document_says_size_and_tiles() -> None:
    image = ElementTree.fromstring(DeepZoom(1000, 300, tile=240).xml("jpeg").encode())
    assert image.attrib == {"Format": "jpeg", "Overlap": "0", "TileSize": "240"}
    assert image[0].attrib == {"Width": "1000", "Height": "300"}


@pytest.mark.parametrize(
    ("stored", "side"), [(240, 240), (256, 256), (512, 256), (1024, 256), (64, 256), (336, 256)]
)
def test_tiles_lie_on_those_of_the_file(tmp_path: Path, stored: int, side: int) -> None:
    with Slide.open(tiled(tmp_path / "s.tif", 1100, stored)) as slide:
        assert deep_zoom(slide).tile == side


def test_the_finest_level_is_the_slide_and_each_other_its_mean(tmp_path: Path) -> None:
    path = draw_slide(tmp_path / "s.png", width=601, height=307)
    pixels = read_rgb(path)
    with Slide.open(path) as slide:
        zoom = deep_zoom(slide)
        np.testing.assert_array_equal(whole_level(slide, zoom, zoom.levels - 1), pixels)
        quarter = whole_level(slide, zoom, zoom.levels - 3)
    even = pixels[:304, :600].reshape(76, 4, 150, 4, 3).mean(axis=(1, 3))
    assert np.abs(quarter[:76, :150] - even).max() <= 0.5
    assert quarter.shape == (77, 151, 3)


@pytest.mark.parametrize(
    "name", ["packer_example.tif", "CMU-1-Small-Region.svs", "fluorescence TRITC.ndpi"]
)
def test_tiles_of_real_slides_fit_together(data: Path, name: str) -> None:
    """Also where a stored level's downsample is no whole number."""
    with Slide.open(data / "slides" / name) as slide:
        zoom = deep_zoom(slide)
        for level in range(zoom.levels - 5, zoom.levels):
            frame = zoom.frame(level)
            np.testing.assert_array_equal(
                whole_level(slide, zoom, level), slide.read(frame, frame.box)
            )


class Untouchable:
    """A level that nobody can afford to read."""

    downsample = (1.0, 1.0)
    size = (40_000, 40_000)

    def read(self, box: Box) -> RGB:
        raise AssertionError(f"{box} was read")


@pytest.mark.parametrize(
    "look", [lambda slide: read_tile(slide, deep_zoom(slide), 8, 0, 0), lambda s: picture(s, 256)]
)
def test_what_takes_too_long_is_refused(look: Callable[[Slide], RGB]) -> None:
    slide = Slide(
        path=Path("flat.tif"),
        name="flat",
        size_level0=Untouchable.size,
        bounds_level0=Box(0, 0, *Untouchable.size),
        stored_mpp=None,
        mpp=None,
        levels=[Untouchable()],
        flat=False,
        properties={},
        close=lambda: None,
    )
    with pytest.raises(SlideError, match="no smaller levels"):
        look(slide)


def test_a_picture_is_no_larger_than_asked_for(tmp_path: Path) -> None:
    with Slide.open(draw_slide(tmp_path / "s.png", width=601, height=307)) as slide:
        assert picture(slide, 100).shape == (52, 100, 3)
        assert picture(slide, 5000).shape == (307, 601, 3)


def test_a_tile_as_jpeg_looks_the_same(tmp_path: Path) -> None:
    pixels = read_rgb(draw_slide(tmp_path / "s.png", width=128, height=96))
    (tmp_path / "t.jpeg").write_bytes(jpeg(pixels))
    again = read_rgb(tmp_path / "t.jpeg")
    assert again.shape == pixels.shape
    assert np.abs(again.astype(int) - pixels).mean() < 6
