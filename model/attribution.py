"""What speaks for and against: occlusion by stroma, and gradients integrated from it.

Both change the pixels in optical density, where stains add up, and both say by how much the mean
log-odds of the region would be lower if a place were stroma.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .network import Network
from .optics import STAINS, WHITE
from .site import Score, as_planes
from .stand_in import StandIn

STEP, FLANK = 24, 12  # model pixels between patches, and over which each fades out
MOST_ACROSS = 20  # patches along a side, beyond which they grow
TURNS = 4  # stand-ins that gradients start from
NODES = 48  # of the integral from stroma to the tissue
BATCH_PIXELS = 1 << 20  # computed at once

Floats = npt.NDArray[np.float64]
Tick = Callable[[], None]  # some patches more are done


@dataclass(frozen=True)
class Patches:
    """Overlapping patches over a window; their shares add up to 1 at every pixel.

    `rows` [ny, h] and `columns` [nx, w]: the share that each takes of each pixel, 1 in the middle
    and a raised cosine over `flank` pixels. `step` pixels from one to the next.
    """

    step: int
    flank: int
    rows: Floats
    columns: Floats

    @classmethod
    def over(cls, height: int, width: int) -> Self:
        times = -(-max(height, width) // (STEP * MOST_ACROSS))
        step, flank = STEP * times, FLANK * times
        return cls(step, flank, _shares(height, step, flank), _shares(width, step, flank))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    @property
    def batch(self) -> int:
        """How many are computed at once."""
        return int(max(1, BATCH_PIXELS // (self.rows.shape[1] * self.columns.shape[1])))

    def spread(self, effects: Floats) -> Floats:
        """A value a patch, [ny, nx], as a picture [h, w] in which patches fade into each other."""
        return self.rows.T @ effects @ self.columns

    def gathered(self, values: Floats) -> Floats:
        """A picture summed over each patch; [ny, nx]."""
        return self.rows @ values @ self.columns.T

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and columns of all patches, as many at a time as memory should hold."""
        count, across = len(self.rows) * len(self.columns), len(self.columns)
        for first in range(0, count, self.batch):
            some = torch.arange(first, min(first + self.batch, count))
            yield some // across, some % across


def _shares(size: int, step: int, flank: int) -> Floats:
    centres = (np.arange(-(-size // step)) + 0.5) * step
    away = np.abs(np.arange(size) + 0.5 - centres[:, None])
    faded = np.clip((away - (step - flank) / 2) / flank, 0, 1)
    shares: Floats = np.cos(faded * np.pi / 2) ** 2
    return shares


def density_of(planes: Tensor) -> Tensor:
    """Intensities 0-255 to optical density (natural logarithm, 0 = white)."""
    return WHITE - torch.log1p(planes)


def planes_of(density: Tensor) -> Tensor:
    return torch.expm1(WHITE - density)


def occlusion(
    score: Score, density: Tensor, stand_in: Tensor, patches: Patches, tick: Tick
) -> Floats:
    """By how much the score falls with each patch replaced; float64 [ny, nx].

    `density` and `stand_in` are [1, 3, h, w]: optical densities of the window and of what replaces
    it.
    """
    whole = score(planes_of(density))
    rows, columns = (torch.from_numpy(s).float() for s in (patches.rows, patches.columns))
    change, fallen = stand_in - density, []
    for y, x in patches.batches():
        share = rows[y][:, None, :, None] * columns[x][:, None, None, :]  # [n, 1, h, w]
        fallen.append(whole - score(planes_of(density + share * change)))
        tick()
    return torch.cat(fallen).double().numpy().reshape(patches.shape)


def integrated_gradients(score: Score, density: Tensor, stand_ins: Tensor, tick: Tick) -> Floats:
    """Integrated gradients (Sundararajan et al. 2017) by stain; float64 [3, h, w].

    From stroma to the tissue along straight lines in optical density, averaged over all `stand_ins`
    [k, 3, h, w] (expected gradients, Erion et al. 2021). Planes: haematoxylin, eosin, remainder, in
    the axes of Ruifrok & Johnston (2001). Their sum over everything is the score of the tissue less
    the mean score of the stand-ins.
    """
    at, weights = np.polynomial.legendre.leggauss(NODES)
    at, weights = (at + 1) / 2, weights / 2
    axes = torch.from_numpy(STAINS).float()
    total = torch.zeros(density.shape[1:], dtype=torch.float64)
    for number in range(len(stand_ins)):
        stand_in = stand_ins[number : number + 1]
        change = density - stand_in
        gradient = torch.zeros_like(change)
        for node, weight in zip(at, weights, strict=True):
            there = (stand_in + float(node) * change).requires_grad_()
            (slope,) = torch.autograd.grad(score(planes_of(there)).sum(), there)
            gradient += float(weight) * slope
            tick()
        amounts = torch.einsum("nchw,ck->nkhw", change, torch.linalg.inv(axes))
        slopes = torch.einsum("nchw,kc->nkhw", gradient, axes)
        total += (amounts * slopes)[0].double() / len(stand_ins)
    return total.numpy()


def stand_ins_of(stand_in: StandIn, height: int, width: int) -> Tensor:
    """Optical densities of stroma all over, in some turns; [TURNS, 3, height, width]."""
    spread = (stand_in.spread(height, width, turn) for turn in range(TURNS))
    return torch.cat([density_of(as_planes(pixels)) for pixels in spread])


def randomised(network: Network, seed: int) -> Network:
    """The same network with every weight shuffled within its layer: all that it learned is gone.

    The sanity check of Adebayo et al. (2018).
    """
    generator = torch.Generator().manual_seed(seed)
    copy = deepcopy(network)
    with torch.no_grad():
        for weights in copy.parameters():
            order = torch.randperm(weights.numel(), generator=generator)
            weights.copy_(weights.flatten()[order].view_as(weights))
    return copy
