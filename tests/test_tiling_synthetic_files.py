"""Written test slides, as OpenSlide sees them."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

from tiling.frame import Box
from tiling.slide import Slide
from tiling.synthetic_blocks import PIECE, write_blocks_slide
from tiling.synthetic_files import PyramidPlan, write_pyramid
from tiling.synthetic_known import (
    KnownSlide,
    write_known_tumour_scn,
    write_known_tumour_slide,
)
from tiling.synthetic_noise import hashed

KNOWN = KnownSlide(1170, 810, mpp=0.5)
WHOLE = Box(0, 0, 1170, 810)


def dark(rgb: np.ndarray) -> np.ndarray:
    """Darker than half way from pale tissue to tumour."""
    return np.asarray(rgb[..., 1] < 125)


def test_known_tumour_lies_where_its_outlines_say() -> None:
    rgb = KNOWN.render(WHOLE)
    np.testing.assert_array_equal(dark(rgb), KNOWN.truth(WHOLE))
    part = Box(333, 222, 77, 55)
    np.testing.assert_array_equal(KNOWN.render(part), rgb[222:277, 333:410])
    outlines = KNOWN.outlines()
    assert any(o.polygon.interiors for o in outlines)
    assert all(KNOWN.tissue().contains(o.polygon) for o in outlines)
    area = sum(o.polygon.area for o in outlines)
    assert dark(rgb).sum() == pytest.approx(area, rel=0.005)


def test_odd_downsamples_are_area_means_of_level_0(tmp_path: Path) -> None:
    path = tmp_path / "known.tiff"
    outlines = write_known_tumour_slide(path, KNOWN, downsamples=(1, 4, 15.83))
    with tifffile.TiffFile(path) as tiff:
        levels = [page.asarray() for page in tiff.pages]
    assert [level.shape for level in levels] == [(810, 1170, 3), (202, 292, 3), (51, 74, 3)]
    area = sum(o.polygon.area for o in outlines)
    for level in levels:
        by = 1170 * 810 / (level.shape[0] * level.shape[1])
        assert dark(level).sum() * by == pytest.approx(area, rel=0.06)
        assert level.mean(axis=(0, 1)) == pytest.approx(levels[0].mean(axis=(0, 1)), abs=1)
    with Slide.open(path) as slide:
        assert slide.known_mpp == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("downsample", [1.0, 1.5, 2.0, 3.7, 40.0])
def test_a_constant_stays_constant_at_any_downsample(tmp_path: Path, downsample: float) -> None:
    path = tmp_path / "constant.tiff"
    plan = PyramidPlan(530, 310, 1.0, (1, downsample))
    write_pyramid(path, plan, lambda box: np.full((box.height, box.width, 3), 128, np.uint8))
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            pixels = page.asarray()
            assert (pixels == 128).all()


def test_bounds_as_openslide_reports_them(tmp_path: Path) -> None:
    path = tmp_path / "known.scn"
    outlines = write_known_tumour_scn(path, KNOWN, origin_level0=(413, 207))
    with Slide.open(path) as slide:
        assert slide.properties["openslide.vendor"] == "leica"
        bounds = [slide.properties[f"openslide.bounds-{k}"] for k in ("x", "y", "width", "height")]
        assert bounds == ["413", "207", "1170", "810"]
        assert slide.known_mpp == pytest.approx((0.5, 0.5))
        frame = slide.frame(0.5)
        left, top = (round(v) for v in frame.from_level0(413, 207))
        rgb = slide.read(frame, Box(left, top, 1170, 810))
    union = shapely.union_all([o.polygon for o in outlines])
    x, y = np.meshgrid(np.arange(1170) + 413.5, np.arange(810) + 207.5)
    assert (dark(rgb) != shapely.contains_xy(union, x, y)).mean() < 0.001


@pytest.mark.slow
def test_blocks_repeat_one_piece_between_glass(tmp_path: Path) -> None:
    path = tmp_path / "blocks.tiff"
    width, height = 3 * PIECE - 100, 2 * PIECE + 50
    write_blocks_slide(path, width, height, mpp=1.0, downsamples=(1, 16), seed=3)
    with tifffile.TiffFile(path) as tiff:
        assert [page.shape for page in tiff.pages] == [
            (height, width, 3),
            (round(height / 16), round(width / 16), 3),
        ]
        small = tiff.pages[1].asarray()
    places = [small[y : y + 256, x : x + 256] for y in (0, 256) for x in (0, 256)]
    for place in places[1:]:
        glass = place.min() > 225
        assert glass or np.array_equal(place, places[0])
    with Slide.open(path) as slide:
        assert slide.known_mpp == pytest.approx((1.0, 1.0))
        frame = slide.frame(1.0)
        rgb = slide.read(frame, Box(2000, 1500, 64, 64))
    assert np.abs(rgb.mean() - small[93:98, 125:129].mean()) < 12


def test_blocks_refuse_downsamples_that_do_not_repeat(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="powers of two"):
        write_blocks_slide(tmp_path / "x.tiff", 100, 100, downsamples=(1, 3))


def test_hashes_spread() -> None:
    lattice = hashed(1, np.arange(-50, 50)[None, :], np.arange(-50, 50)[:, None])
    assert len(np.unique(lattice)) == lattice.size
    bits = (lattice[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=(0, 1)) - 0.5).max() < 0.03
