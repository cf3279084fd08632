"""What a slide looks like, in numbers: what changes them, and what must not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from tiling.appearance import LEAST_PIXELS, Appearance
from tiling.quality import assess_quality
from tiling.slide import Slide
from tiling.tissue import find_tissue

Floats = npt.NDArray[np.float64]
SIDE = 200
EVERYWHERE = np.ones((SIDE, SIDE), np.bool_)
SHARP = 0.8


def stain() -> Floats:
    """Optical densities around 0.1, 0.25 and 0.15; [SIDE, SIDE, 3]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(SIDE, SIDE)), 2)
    painted: Floats = (1 + 0.3 * noise / noise.std())[..., None].clip(0.4) * (0.1, 0.25, 0.15)
    return painted


def look(density: Floats, tissue: npt.NDArray[np.bool_] = EVERYWHERE) -> Appearance:
    found = Appearance.of((245 * 10**-density).round().astype(np.uint8), tissue, SHARP)
    assert found is not None
    return found


def test_the_numbers_are_those_of_the_stain() -> None:
    found = look(stain())
    assert found.optical_density == pytest.approx(0.5 / 3, rel=0.05)
    assert found.density_spread == pytest.approx(1.349 * 0.3 * 0.5 / 3, rel=0.15)
    assert found.red_to_green == pytest.approx(0.4, rel=0.05)
    assert found.blue_to_green == pytest.approx(0.6, rel=0.05)
    assert found.sharpness == 0.8


def test_twice_the_density_is_twice_as_dense_and_no_other_colour() -> None:
    plain, dense = look(stain()), look(2 * stain())
    assert dense.optical_density == pytest.approx(2 * plain.optical_density, rel=0.03)
    assert dense.density_spread == pytest.approx(2 * plain.density_spread, rel=0.05)
    assert dense.red_to_green == pytest.approx(plain.red_to_green, rel=0.03)
    assert dense.blue_to_green == pytest.approx(plain.blue_to_green, rel=0.03)


def test_neither_glass_nor_a_blot_changes_what_a_slide_looks_like() -> None:
    density = stain()
    density[:, :60] = 0.01  # glass within the tissue
    density[:15, 60:] = 1.5  # ink
    plain, spoilt = look(stain()), look(density)
    for name, value in plain.to_json().items():
        assert spoilt.to_json()[name] == pytest.approx(value, rel=0.2), name


def test_only_tissue_counts() -> None:
    density, tissue = stain(), EVERYWHERE.copy()
    density[:, 100:], tissue[:, 100:] = 1.0, False
    assert look(density, tissue) == look(stain(), tissue)


def test_too_little_tissue_looks_like_nothing() -> None:
    tissue = np.zeros_like(EVERYWHERE)
    tissue.ravel()[: LEAST_PIXELS - 1] = True
    pixels = np.full((SIDE, SIDE, 3), 150, np.uint8)
    assert Appearance.of(pixels, tissue, SHARP) is None
    assert Appearance.of(np.full_like(pixels, 250), EVERYWHERE, SHARP) is None


def test_it_comes_back_from_a_summary() -> None:
    found = look(stain())
    assert Appearance.from_summary({"appearance": found.to_json()}) == found
    assert Appearance.from_summary({"appearance": None}) is None
    assert Appearance.from_summary({}) is None
    unsharp = replace(found, sharpness=None)
    assert Appearance.from_json(unsharp.to_json()) == unsharp
    with pytest.raises(KeyError):
        Appearance.from_json({"optical_density": 1})


def test_real_slides_differ_as_the_eye_says(data: Path) -> None:
    found = []
    for name in ("CMU-1-Small-Region.svs", "fluorescence TRITC.ndpi"):
        with Slide.open(data / "slides" / name) as slide:
            tissue = find_tissue(slide, slide.frame(4.0), output_stride=4)
            appearance = assess_quality(slide, tissue).appearance
        assert appearance is not None
        found.append(appearance)
    bright, dark = found
    assert bright.optical_density < 0.5 < 1.5 < dark.optical_density
    assert bright.sharpness and 0.3 < bright.sharpness < 2
    assert dark.sharpness is None, "focus is not judged on fluorescence"
