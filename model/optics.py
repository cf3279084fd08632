"""What microscopes and laboratories vary: the amount of each stain, the light, the focus.

Colour is varied in optical density, where stains add up (Ruifrok & Johnston 2001, Tellez et al.
2018). Planes are float32 [3, h, w] in 0-255.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

# Optical density of haematoxylin, eosin and the remainder (Ruifrok & Johnston 2001)
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
WHITE = math.log(256)  # of 1 + intensity
REACH = 3  # pixels that a blur looks at on each side


def stain_mix(stains: npt.NDArray[np.float64], channels: npt.NDArray[np.float64]) -> Tensor:
    """Optical density in, optical density out: float32 [3, 3] for `restain`.

    `stains`: a factor on the amount of each stain; `channels`: one on each colour's density.
    """
    mix = np.linalg.inv(STAINS) @ np.diag(stains) @ STAINS
    return torch.tensor((mix * channels).T, dtype=torch.float32)


def restain(planes: Tensor, mix: Tensor) -> Tensor:
    """With density varied by a mix; white stays white. What is passed is used up."""
    density = planes.view(3, -1).add_(1)
    np.log(density.numpy(), out=density.numpy())  # much faster than torch's
    offset = (WHITE * (1 - mix.sum(1)))[:, None]
    varied = torch.addmm(offset, mix, density)
    np.exp(varied.numpy(), out=varied.numpy())
    return varied.sub_(1).clamp_(0, 255).view(planes.shape)


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Defocused by a Gaussian of `sigma` pixels; the edges mirror."""
    distance = np.arange(REACH + 1)
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights /= 2 * weights.sum() - 1
    padded = F.pad(planes[None], (REACH,) * 4, mode="reflect")[0]
    return _weighted(_weighted(padded, weights, 1), weights, 2)


def _weighted(planes: Tensor, weights: npt.NDArray[np.float64], axis: int) -> Tensor:
    """Sums over neighbours along an axis, by their distance; shorter by twice the reach."""
    length = planes.shape[axis] - 2 * REACH
    total = planes.narrow(axis, REACH, length) * float(weights[0])
    for distance in range(1, REACH + 1):
        before = planes.narrow(axis, REACH - distance, length)
        after = planes.narrow(axis, REACH + distance, length)
        total.add_(before + after, alpha=float(weights[distance]))
    return total
