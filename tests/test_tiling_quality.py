"""Quality flags: blur, pen and folds are found where painted, and nothing on plain tissue."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage

from tiling.quality import Quality, assess_quality
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.tissue import find_tissue

UM = 4.0
SIDE = 1000  # pixels: 4 x 4 mm, more than one block
Floats = npt.NDArray[np.float64]


def _tissue() -> Floats:
    """Optical density of pink stroma sown with nuclei of 12 µm on glass; [SIDE, SIDE, 3]."""
    rng = np.random.default_rng(11)
    nuclei = ndimage.gaussian_filter((rng.random((SIDE, SIDE)) < 0.03).astype(float), 1.1) * 8
    fibres = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), (1, 4))
    eosin = np.clip(0.22 + 0.3 * fibres, 0.02, None)
    density = eosin[..., None] * (0.07, 0.99, 0.11) + nuclei[..., None] * (0.33, 0.35, 0.15)
    y, x = np.ogrid[:SIDE, :SIDE]
    painted: Floats = density * ((y - 500) ** 2 + (x - 500) ** 2 < 450**2)[..., None]
    return painted


def _assessed(density: Floats, folder: Path, budget: int = 10**9) -> tuple[Quality, float]:
    grain = np.random.default_rng(2).normal(0, 1.5, density.shape)
    pixels = np.clip(244 * 10**-density + grain, 0, 255).astype(np.uint8)
    path = folder / "painted.png"
    Image.fromarray(pixels).save(path)
    with Slide.open(path, Resolution(UM)) as slide:
        tissue = find_tissue(slide, slide.frame(UM), output_stride=4)
        return assess_quality(slide, tissue, budget=budget), tissue.area_mm2


def test_plain_tissue_has_no_flags(tmp_path: Path) -> None:
    quality, area = _assessed(_tissue(), tmp_path)
    assert area == pytest.approx(np.pi * 1.8**2, rel=0.15)
    assert quality.out_of_focus_mm2 < 0.02 * area
    assert quality.pen_mm2 == 0
    assert quality.folds_mm2 == 0


def test_the_half_out_of_focus_is_measured(tmp_path: Path) -> None:
    density = _tissue()
    density[:, 500:] = ndimage.gaussian_filter(density, (2.5, 2.5, 0))[:, 500:]
    quality, area = _assessed(density, tmp_path)
    assert quality.out_of_focus_mm2 == pytest.approx(area / 2, rel=0.2)
    assert quality.pen_mm2 == 0


def test_a_sample_of_blocks_stands_for_a_slide_over_budget(tmp_path: Path) -> None:
    density = _tissue()
    density[500:] = ndimage.gaussian_filter(density, (2.5, 2.5, 0))[500:]
    whole, area = _assessed(density, tmp_path)
    sample, _ = _assessed(density, tmp_path, budget=SIDE * SIDE * 6 // 10)
    assert sample != whole
    assert sample.out_of_focus_mm2 == pytest.approx(whole.out_of_focus_mm2, rel=0.2)
    assert whole.out_of_focus_mm2 > 0.4 * area


@pytest.mark.parametrize(
    "ink",
    [(0.9, 0.25, 0.7), (1.0, 0.65, 0.12), (0.9, 0.9, 0.9), (0.2, 1.1, 1.1)],
    ids=["green", "blue", "black", "red"],
)
def test_a_stroke_of_a_pen_is_measured(tmp_path: Path, ink: tuple[float, ...]) -> None:
    density = _tissue()
    density[480:520, 200:800] += ink  # 160 µm x 2.4 mm
    quality, area = _assessed(density, tmp_path)
    assert quality.pen_mm2 == pytest.approx(0.16 * 2.4, rel=0.2)
    assert quality.folds_mm2 == 0
    assert quality.out_of_focus_mm2 < 0.05 * area


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.57])
def test_a_fold_is_measured(tmp_path: Path, angle: float) -> None:
    density = _tissue()
    y, x = np.mgrid[:SIDE, :SIDE] - 500.0
    across = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    along = np.abs(-np.sin(angle) * x + np.cos(angle) * y)
    density[(across < 9) & (along < 250)] *= 2.6  # 72 µm x 2 mm
    quality, _ = _assessed(density, tmp_path)
    assert quality.folds_mm2 == pytest.approx(0.072 * 2.0, rel=0.35)
    assert quality.pen_mm2 == 0


def test_a_blank_slide_has_no_flags(tmp_path: Path) -> None:
    quality, area = _assessed(np.zeros((SIDE, SIDE, 3)), tmp_path)
    assert area == 0
    assert quality == Quality(0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["9124.tiff", "9037.tiff"])
def test_good_real_slides_have_little_flagged(data: Path, name: str) -> None:
    """9124 holds a bright red clot, which is no pen."""
    with Slide.open(data / "idc" / name) as slide:
        tissue = find_tissue(slide, slide.frame(4.0), output_stride=4)
        quality = assess_quality(slide, tissue)
    assert quality.out_of_focus_mm2 < 0.01 * tissue.area_mm2
    assert quality.pen_mm2 == 0
    assert quality.folds_mm2 < 0.005 * tissue.area_mm2


@pytest.mark.parametrize(
    "name", ["packer_example.tif", "CMU-1-Small-Region.svs", "fluorescence TRITC.ndpi"]
)
def test_any_real_slide_is_assessed_at_any_model_resolution(data: Path, name: str) -> None:
    for mpp in (1.0, 3.7):
        with Slide.open(data / "slides" / name) as slide:
            tissue = find_tissue(slide, slide.frame(mpp), output_stride=4)
            quality = assess_quality(slide, tissue)
        assert 0 <= quality.out_of_focus_mm2 <= 0.05 * tissue.area_mm2
        assert 0 <= quality.pen_mm2 <= 0.01 * tissue.area_mm2
        assert 0 <= quality.folds_mm2 <= 0.10 * tissue.area_mm2
