"""The tissue mask: generous on tissue, empty on glass, one per slide whatever the windows."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import data_dir
from tiling.frame import Box, Frame
from tiling.images import read_grey
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.tissue import TissueMask, find_tissue, otsu, tissue_of

RGB = npt.NDArray[np.uint8]
IDC = sorted((data_dir() / "idc").glob("*.tiff"))
UM = 16.0  # per pixel of the painted pictures


def _painted(colour: tuple[int, int, int], glass: int = 243) -> RGB:
    """A disk of 0.8 mm radius on glass, 2.4 x 2.4 mm, with a grain as of tissue and scanner."""
    rng = np.random.default_rng(5)
    picture = np.full((150, 150, 3), glass, np.float64)
    y, x = np.ogrid[:150, :150]
    picture[(y - 75) ** 2 + (x - 75) ** 2 < 50**2] = colour
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def _disk(radius_px: float) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[:150, :150]
    disk: npt.NDArray[np.bool_] = (y - 75) ** 2 + (x - 75) ** 2 < radius_px**2
    return disk


@pytest.mark.parametrize(
    "colour", [(200, 120, 180), (120, 80, 150), (240, 205, 225), (90, 50, 110)]
)
@pytest.mark.parametrize("glass", [255, 243, 230])
def test_stained_tissue_is_found_with_a_margin_and_no_more(
    colour: tuple[int, int, int], glass: int
) -> None:
    mask = tissue_of(_painted(colour, glass), UM)
    assert mask[_disk(50 + 2)].all()  # a little outside, so that the border is never cut off
    assert not mask[~_disk(50 + 10)].any()


@pytest.mark.parametrize("value", [0, 128, 200, 243, 255])
def test_a_blank_slide_has_no_tissue(value: int) -> None:
    grain = np.random.default_rng(1).normal(value, 1.5, (150, 150, 3))
    picture = np.clip(grain, 0, 255).astype(np.uint8)
    mask = tissue_of(picture, UM)
    # an even mid-grey is not glass; nothing but glass and black may be called empty
    assert mask.any() == (value in (128, 200))


def test_a_slide_without_glass_is_tissue_throughout() -> None:
    """Two tissues of different density: Otsu alone would call the paler one glass."""
    rng = np.random.default_rng(2)
    picture = np.full((150, 150, 3), (228, 180, 210), np.float64)
    picture[:, 75:] = (110, 70, 140)
    picture = np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255)
    for cut_out in (True, False):
        assert tissue_of(picture.astype(np.uint8), UM, cut_out=cut_out).all()


def test_grey_pen_apart_from_tissue_goes_and_touching_tissue_stays() -> None:
    picture = _painted((200, 120, 180))
    picture[5:9, 5:140] = 110
    picture[73:77, 110:130] = 60  # ink on the margin of the specimen
    mask = tissue_of(picture, UM)
    assert not mask[:15].any()
    assert mask[73:77, 110:130].all()


def test_dust_goes_and_small_holes_are_filled() -> None:
    picture = _painted((200, 120, 180))
    picture[10:13, 10:13] = (150, 60, 120)
    picture[70:80, 70:80] = 243  # 0.026 mm²
    mask = tissue_of(picture, UM)
    assert not mask[:20, :20].any()
    assert mask[70:80, 70:80].all()


def test_a_large_hole_stays() -> None:
    picture = _painted((200, 120, 180))
    picture[50:100, 50:100] = 243
    assert not tissue_of(picture, UM)[60:90, 60:90].any()


def test_black_padding_is_not_tissue() -> None:
    picture = _painted((200, 120, 180))
    padded = np.zeros((150, 250, 3), np.uint8)
    padded[:, :150] = picture
    mask = tissue_of(padded, UM)
    assert mask[:, :150][_disk(50)].all()
    assert not mask[:, 165:].any()


def test_fluorescence_is_what_shines() -> None:
    mask = tissue_of(_painted((90, 4, 6), glass=3), UM)
    assert mask[_disk(50)].all()
    assert not mask[~_disk(60)].any()


def test_otsu_separates_two_classes() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.1, 900), rng.normal(3, 0.1, 100)])
    assert 1.3 < otsu(values.astype(np.float32)) < 2.9


_MASK = TissueMask(
    frame=Frame((3.0, 5.0), (8.0, 8.0), (16.0, 16.0), 9, 7),
    factor=4,
    mask=np.random.default_rng(7).random((7, 9)) > 0.5,
    extent=(8.5, 6.25),
)


@given(st.integers(-20, 60), st.integers(-20, 60), st.integers(0, 60), st.integers(0, 60))
def test_in_any_box_each_pixel_is_that_of_the_mask(x: int, y: int, w: int, h: int) -> None:
    enlarged = np.pad(np.kron(_MASK.mask, np.ones((4, 4), np.bool_)), 100)
    expected = enlarged[y + 100 : y + h + 100, x + 100 : x + w + 100]
    np.testing.assert_array_equal(_MASK.in_box(Box(x, y, w, h)), expected)


def test_on_a_map_each_pixel_is_wholly_tissue_or_not() -> None:
    model = Frame((3.0, 5.0), (2.0, 2.0), (4.0, 4.0), 34, 25)
    on_map = _MASK.on(model.coarser(2), Box(-1, 0, 20, 14))
    expected = np.pad(np.kron(_MASK.mask, np.ones((2, 2), np.bool_)), ((0, 0), (1, 1)))
    np.testing.assert_array_equal(on_map, expected)
    with pytest.raises(ValueError, match="not a whole number"):
        _MASK.on(model.coarser(3), Box(0, 0, 5, 5))


def test_area_counts_only_what_lies_on_the_plane() -> None:
    everything = TissueMask(_MASK.frame, 4, np.ones((7, 9), np.bool_), _MASK.extent)
    assert everything.area_mm2 == pytest.approx(8.5 * 6.25 * 0.016**2)


@pytest.mark.parametrize("stride", [1, 4, 16])
def test_a_mask_pixel_is_whole_map_pixels(tmp_path: Path, stride: int) -> None:
    Image.fromarray(_painted((200, 120, 180)).repeat(4, 0).repeat(4, 1)).save(tmp_path / "s.png")
    with Slide.open(tmp_path / "s.png", Resolution(4.0)) as slide:
        frame = slide.frame(4.0)
        tissue = find_tissue(slide, frame, output_stride=stride)
        assert tissue.factor % stride == 0
        assert 16 <= tissue.frame.mpp[0] <= 64
        assert tissue.frame == frame.coarser(tissue.factor)
        assert tissue.mask.shape == (tissue.frame.height, tissue.frame.width)
        with pytest.raises(ValueError, match="multiple"):
            find_tissue(slide, frame, output_stride=4, factor=6)


def _cells_covered(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixels under the mask and in all: of tumour cells, of cells without, of the rest."""
    with Slide.open(path) as slide:
        tissue = find_tissue(slide, slide.frame(4.0), output_stride=4)
    cells = read_grey(path.parent / "cells" / f"{path.stem}.png").repeat(50, 0).repeat(50, 1)
    mask = tissue.in_box(Box(0, 0, cells.shape[1], cells.shape[0]))
    classes = [cells == value for value in (1, 0, 255)]
    return (
        np.array([np.count_nonzero(mask & one) for one in classes]),
        np.array([np.count_nonzero(one) for one in classes]),
    )


@pytest.mark.skipif(not IDC, reason="no real data")
def test_labelled_tumour_is_never_cut_off_on_real_slides() -> None:
    counts = [_cells_covered(path) for path in IDC]
    covered = np.sum([c[0] for c in counts], axis=0) / np.sum([c[1] for c in counts], axis=0)
    assert covered[0] >= 0.99  # the labelled cells hold some glass
    assert covered[1] >= 0.93
    assert covered[2] <= 0.10  # left out by the publishers: mostly glass
    assert min(c[0][0] / c[1][0] for c in counts) >= 0.97


def test_cut_outs_of_tissue_are_tissue_throughout(data: Path) -> None:
    for path in sorted((data / "glas").glob("*.png"))[::6]:
        with Slide.open(path, Resolution(0.62)) as slide:
            tissue = find_tissue(slide, slide.frame(2.0), output_stride=4)
            assert tissue.mask.mean() >= 0.999, path.name


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("packer_example.tif", 0.2, 0.55),
        ("CMU-1-Small-Region.svs", 0.4, 0.7),
        ("dicom_cmu1_small_region", 0.4, 0.7),
        ("TCGA-CR-7395-01A-01-TS1.svs", 0.6, 0.85),
        ("fluorescence TRITC.ndpi", 0.8, 1.0),
    ],
)
def test_tissue_of_real_slides(data: Path, name: str, least: float, most: float) -> None:
    with Slide.open(data / "slides" / name, Resolution(0.5)) as slide:
        tissue = find_tissue(slide, slide.frame(4.0), output_stride=4)
    assert least <= tissue.mask.mean() <= most
