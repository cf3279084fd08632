"""Stain and focus: what factors do to optical density, what a blur does to a picture."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from model.optics import REACH, STAINS, blur, restain, stain_mix

NONE = np.ones(3)


def density(planes: Tensor) -> Tensor:
    """Natural optical density of intensities 0-255, one above to allow for black."""
    return -torch.log((planes + 1) / 256)


def stained(amounts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Tensor:
    """One pixel [3, 1, 1] under amounts of haematoxylin, eosin and the remainder."""
    absorbed = torch.tensor(amounts @ STAINS, dtype=torch.float32)
    return (256 * torch.exp(-absorbed) - 1).view(3, 1, 1)


@pytest.mark.parametrize("factors", [(1.4, 1, 1), (1, 0.7, 1), (0.8, 1.2, 1.1), (1, 1, 1)])
def test_a_factor_on_a_stain_multiplies_its_amount(factors: tuple[float, float, float]) -> None:
    amounts = np.array([0.6, 0.5, 0.1])
    found = restain(stained(amounts), stain_mix(np.array(factors), NONE))
    assert torch.allclose(found, stained(amounts * factors), atol=1e-3)


def test_a_factor_on_a_colour_multiplies_its_density() -> None:
    light = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(1)) * 200 + 50
    factors = torch.tensor([0.9, 1.0, 1.05])
    found = density(restain(light.clone(), stain_mix(NONE, factors.double().numpy())))
    assert torch.allclose(found, density(light) * factors[:, None, None], atol=1e-4)


def test_light_stays_light_between_black_and_white() -> None:
    light = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2)) * 255
    found = restain(light, stain_mix(np.array([2.0, 0.3, 0.5]), NONE))
    assert float(found.min()) >= 0 and float(found.max()) <= 255


@pytest.mark.parametrize("sigma", [0.5, 0.9, 1.5])
def test_a_blur_is_a_gaussian_of_its_sigma(sigma: float) -> None:
    sharp = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(3)) * 255
    want = ndimage.gaussian_filter(sharp.numpy(), sigma, axes=(1, 2), radius=REACH, mode="mirror")
    assert np.allclose(blur(sharp, sigma).numpy(), want, atol=1e-3)


def test_a_blur_takes_as_much_of_the_noise_as_its_sigma_says() -> None:
    """White noise under a Gaussian keeps 1 / (4 pi sigma²) of its variance."""
    noise = torch.randn(3, 256, 256, generator=torch.Generator().manual_seed(4)) * 20 + 128
    assert float(blur(noise, 1.0).var() / noise.var()) == pytest.approx(1 / (4 * np.pi), rel=0.05)
