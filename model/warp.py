"""Rotating, resizing, stretching and bending a crop by one lookup."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from .labelled import IGNORED, Labels


@dataclass(frozen=True)
class Warp:
    """Where in a square piece each pixel of a smaller square crop comes from.

    A position is linear in row and column plus a smooth bend, so the whole lookup is a product of
    small matrices: basis [crop, k] @ `core` [2, k, k] @ basis transposed, for x and y. Positions
    run from -1 to 1 over the piece.
    """

    crop: int
    core: Tensor

    @classmethod
    def of(
        cls,
        side: int,
        crop: int,
        *,
        angle: float,
        size: float,
        stretch: float,
        shift: npt.NDArray[np.float64],
        bend: npt.NDArray[np.float64],
    ) -> Self:
        """A crop of `crop` pixels from a piece of `side`.

        `angle` in radians; `size` and `stretch`: factors on what the crop covers, and on its width
        against its height; `shift` [2] (x, y): a share of the room on either side of the crop;
        `bend` [2, knots, knots]: x and y displacements in the piece's pixels at even knots.
        """
        knots = bend.shape[1]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([size * stretch, size / stretch]) * (crop / side)
        core = np.zeros((2, knots + 2, knots + 2))
        core[:, :knots, :knots] = bend * 2 / side
        core[:, knots, knots] = shift * (1 - crop / side)
        core[:, knots, knots + 1] = linear[:, 0]  # times the column
        core[:, knots + 1, knots] = linear[:, 1]  # times the row
        return cls(crop, torch.tensor(core, dtype=torch.float32))

    def pixels(self, planes: Tensor) -> Tensor:
        """uint8 [3, side, side] -> float32 [3, crop, crop]; white outside."""
        dark = (255 - planes).to(torch.float32, memory_format=torch.contiguous_format)
        found = F.grid_sample(dark[None], self._grid(1), mode="bilinear", align_corners=False)
        return found[0].neg_().add_(255)

    def labels(self, labels: Labels, stride: int) -> Labels:
        """uint8 [side/stride, side/stride] -> uint8 [crop/stride, crop/stride]; IGNORED outside."""
        known = torch.from_numpy(IGNORED - labels)[None, None].float()
        found = F.grid_sample(known, self._grid(stride), mode="nearest", align_corners=False)
        return IGNORED - found[0, 0].byte().numpy()

    def _grid(self, stride: int) -> Tensor:
        """Positions float32 [1, crop/stride, crop/stride, 2] (x, y) of every `stride`-th pixel."""
        basis = _basis(self.crop, self.core.shape[1] - 2, stride)
        columns = (self.core @ basis.T).permute(1, 2, 0).flatten(1)  # [k, crop/stride * 2]
        return (basis @ columns).view(1, len(basis), len(basis), 2)


@lru_cache(maxsize=8)
def _basis(crop: int, knots: int, stride: int) -> Tensor:
    """float32 [crop/stride, knots + 2]: of each block of pixels the share that each knot has in it
    (bicubic), 1, and its position from -1 to 1."""
    spread = F.interpolate(
        torch.eye(knots)[None, None], (crop, knots), mode="bicubic", align_corners=False
    )[0, 0]
    position = (2 * torch.arange(crop) + 1) / crop - 1
    basis = torch.column_stack([spread, torch.ones(crop), position])
    return basis.view(crop // stride, stride, -1).mean(1)
