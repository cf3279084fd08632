"""Drawn nuclei: banks of small stamps, set on jittered lattices."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .synthetic_noise import Floats, Ints, hashed, uniform

VARIANTS = 96
_FINE_UM = 0.25  # stamps are drawn at this resolution and averaged


@dataclass(frozen=True)
class Nuclei:
    """One sort of nucleus. Lengths in µm."""

    spacing: float  # of the lattice that they are set on, one a cell at most
    jitter: float  # 0 = in rows, 1 = anywhere in its cell
    diameter: tuple[float, float]
    elongation: tuple[float, float]  # length / width
    irregular: float  # amplitude of the outline's waves, part of the radius
    density: tuple[float, float]  # haematoxylin, optical density at full stain
    vesicular: float  # 0 = evenly dark, 1 = pale within a dark rim

    @property
    def reach(self) -> float:
        """A stamp reaches no further from its centre than this, in µm."""
        length = self.diameter[1] * math.sqrt(self.elongation[1])
        return 0.5 * length * (1 + 1.5 * self.irregular) + 1


SPINDLE = Nuclei(19, 1.0, (4.5, 6.5), (2.5, 4.5), 0.05, (0.45, 0.8), 0.0)
LYMPHOCYTE = Nuclei(7.2, 0.7, (5.5, 7.0), (1.0, 1.15), 0.03, (0.95, 1.25), 0.0)
BENIGN = Nuclei(7.8, 0.6, (6.5, 7.8), (1.0, 1.3), 0.03, (0.62, 0.85), 0.1)
IN_SITU = Nuclei(12.0, 0.4, (10.5, 12.0), (1.0, 1.12), 0.03, (0.60, 0.80), 0.5)
TUMOUR = Nuclei(13.5, 0.9, (9.5, 17.5), (1.0, 1.8), 0.16, (0.55, 1.05), 0.6)
DEBRIS = Nuclei(11.0, 1.0, (2.5, 5.0), (1.0, 1.5), 0.2, (0.6, 1.2), 0.0)
SORTS = (SPINDLE, LYMPHOCYTE, BENIGN, IN_SITU, TUMOUR, DEBRIS)


def largest_reach() -> float:
    """No stamp reaches further from its centre, in µm."""
    return max(sort.reach for sort in SORTS)


@lru_cache(maxsize=64)
def stamps(sort: Nuclei, mpp: float) -> Floats:
    """Haematoxylin densities [VARIANTS, s, s] of one sort, s odd, ordered by direction.

    Variant i points to about i / VARIANTS of a half turn.
    """
    rng = np.random.default_rng([SORTS.index(sort), 2])
    half = int(np.ceil(sort.reach / mpp))
    fold = max(1, round(mpp / _FINE_UM))
    size = (2 * half + 1) * fold
    bank = np.empty((VARIANTS, 2 * half + 1, 2 * half + 1), np.float32)
    for i in range(VARIANTS):
        fine = _fine_stamp(rng, sort, size, mpp / fold, np.pi * (i + rng.uniform()) / VARIANTS)
        bank[i] = fine.reshape(2 * half + 1, fold, 2 * half + 1, fold).mean(axis=(1, 3))
    bank.setflags(write=False)
    return bank


def _fine_stamp(
    rng: np.random.Generator, sort: Nuclei, size: int, step: float, angle: float
) -> NDArray[np.float64]:
    along = (np.arange(size) + 0.5 - size / 2) * step
    centre = rng.uniform(-0.5, 0.5, 2)
    dx, dy = along[None, :] - centre[0], along[:, None] - centre[1]
    stretch = np.sqrt(rng.uniform(*sort.elongation))
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / stretch
    v = (dy * np.cos(angle) - dx * np.sin(angle)) * stretch
    theta, rho = np.arctan2(v, u), np.hypot(u, v)
    radius = np.full_like(theta, 0.5 * rng.uniform(*sort.diameter))
    for order in (2, 3, 4, 5):
        wave = sort.irregular * rng.uniform(0, 1) / np.sqrt(order)
        radius = radius * (1 + wave * np.cos(order * theta + rng.uniform(0, 2 * np.pi)))
    depth = radius - rho
    edge = np.clip(depth / 0.8 + 0.5, 0, 1)
    chromatin = gaussian_filter(rng.standard_normal((size, size)), 0.8 / step)
    chromatin = 0.25 * sort.vesicular * chromatin / chromatin.std()
    pale = 0.45 * sort.vesicular * np.clip((depth - 1.0) / 1.5, 0, 1)
    result: NDArray[np.float64] = (
        rng.uniform(*sort.density) * edge * np.clip(1 - pale + chromatin, 0.1, 1.6)
    )
    return result


@dataclass(frozen=True)
class Places:
    """Where nuclei of one sort may lie in a rectangle: one each lattice cell.

    `row`, `column`: int64 [N], pixels of the rectangle; `chance`, `turn`: float32 [N] in [0, 1).
    """

    row: Ints
    column: Ints
    chance: Floats
    turn: Floats

    def chosen(self, keep: NDArray[np.bool_]) -> "Places":
        return Places(self.row[keep], self.column[keep], self.chance[keep], self.turn[keep])


def places(
    seed: int, sort: Nuclei, mpp: float, origin: tuple[int, int], shape: tuple[int, int]
) -> Places:
    """The candidates in the rectangle at pixel `origin` (x, y) with `shape` (rows, columns)."""
    cell = sort.spacing / mpp
    ix = np.arange(int(origin[0] // cell) - 1, int((origin[0] + shape[1]) // cell) + 2)
    iy = np.arange(int(origin[1] // cell) - 1, int((origin[1] + shape[0]) // cell) + 2)
    hashes = hashed(seed * 64 + SORTS.index(sort), ix[None, :], iy[:, None])
    shift = (1 - sort.jitter) / 2
    # every other row is set off by half a cell: no square pattern
    offset = 0.5 * (iy[:, None] % 2)
    x = (ix[None, :] + offset + shift + sort.jitter * uniform(hashes, 0).astype(float)) * cell
    y = (iy[:, None] + shift + sort.jitter * uniform(hashes, 1).astype(float)) * cell
    column, row = np.floor(x).astype(np.int64) - origin[0], np.floor(y).astype(np.int64) - origin[1]
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    chance, turn = uniform(hashes, 2), uniform(hashes, 3)
    return Places(row[inside], column[inside], chance[inside], turn[inside])


def stamp(canvas: Floats, sort: Nuclei, mpp: float, at: Places, darkness: Floats) -> None:
    """Set stamps on `canvas` (the darker wins, so their order is nothing); `darkness` is a factor
    a nucleus. Stamps that stick out of the canvas are left out: pad it."""
    bank = stamps(sort, mpp)
    half = bank.shape[1] // 2
    height, width = canvas.shape
    fits = (at.row >= half) & (at.row < height - half) & (at.column >= half)
    fits &= at.column < width - half
    at, darkness = at.chosen(fits), darkness[fits]
    reach = np.arange(-half, half + 1)
    near = reach[:, None] * width + reach[None, :]
    index = (at.row * width + at.column)[:, None, None] + near
    variant = (at.turn * VARIANTS).astype(np.int64)
    np.maximum.at(
        canvas.reshape(-1), index.reshape(-1), (bank[variant] * darkness[:, None, None]).reshape(-1)
    )
