"""Randomness that depends on the place only: hashed lattices, value noise, seamless textures.

Whatever rectangle is asked for, a pixel gets the same value: every function here computes a pixel
element by element from its own coordinates.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_SPREAD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


def hashed(seed: int, x: Ints, y: Ints) -> NDArray[np.uint64]:
    """A 64-bit hash per lattice point (SplitMix64's finaliser); `x` and `y` broadcast."""
    # in Python integers, where overflow is no warning
    start = np.uint64(seed * _SPREAD[0] % 2**64)
    h: NDArray[np.uint64] = (
        x.astype(np.uint64) * np.uint64(_SPREAD[1])
        + y.astype(np.uint64) * np.uint64(_SPREAD[2])
        + start
    )
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def uniform(hashes: NDArray[np.uint64], part: int) -> Floats:
    """Four independent numbers in [0, 1) per hash: `part` is 0, 1, 2 or 3."""
    bits = (hashes >> np.uint64(16 * part)) & np.uint64(0xFFFF)
    return bits.astype(np.float32) / np.float32(65536)


@dataclass(frozen=True)
class Between:
    """Where positions fall on a lattice: the index before each, and the part of the way to the
    next. Kept apart, because adding them would round differently from rectangle to rectangle."""

    index: Ints
    part: Floats
    spacing: float

    @classmethod
    def of(cls, positions: Doubles, spacing: float) -> Self:
        scaled = positions / spacing
        whole = np.floor(scaled)
        return cls(whole.astype(np.int64), (scaled - whole).astype(np.float32), spacing)

    @property
    def lattice(self) -> Ints:
        """The indices of all lattice points needed, in order."""
        return np.arange(self.index.min(), self.index.max() + 2)

    @property
    def points(self) -> Doubles:
        """Where those lattice points lie."""
        return self.lattice.astype(np.float64) * self.spacing

    def smooth(self) -> Self:
        """The same with smoothstep, so that slopes are zero at lattice points."""
        return type(self)(self.index, self.part * self.part * (3 - 2 * self.part), self.spacing)


def interpolate(values: Floats, y: Between, x: Between) -> Floats:
    """Bilinear values [len(y), len(x)] of those on the lattice [len(y.lattice), len(x.lattice)]."""
    rows, columns = y.index - y.index.min(), x.index - x.index.min()
    left, right = values[:, columns], values[:, columns + 1]
    wide = left + (right - left) * x.part
    low = wide[rows]
    joined: Floats = low + (wide[rows + 1] - low) * y.part[:, None]
    return joined


def value_noise(seed: int, ys: Doubles, xs: Doubles, spacing: float) -> Floats:
    """Smooth noise in [-1, 1] at rows `ys` and columns `xs` (µm), [len(ys), len(xs)].

    Hashed values on a lattice of `spacing` µm, joined by smoothstep.
    """
    y, x = Between.of(ys, spacing).smooth(), Between.of(xs, spacing).smooth()
    lattice = uniform(hashed(seed, x.lattice[None, :], y.lattice[:, None]), 0)
    return interpolate(lattice * np.float32(2) - np.float32(1), y, x)


def soft_step(values: Floats, width: float) -> Floats:
    """0 below -width / 2, 1 above width / 2, linear between."""
    step: Floats = np.clip(values / np.float32(width) + np.float32(0.5), 0, 1)
    return step


def seamless_noise(
    rng: np.random.Generator, size: int, sigma: float, stretch: float = 1.0
) -> Floats:
    """A periodic square [size, size] of smoothed noise, mean 0, deviation 1, `stretch` times
    smoother along x than along y."""
    noise = rng.standard_normal((size, size))
    smooth = gaussian_filter(noise, (sigma, sigma * stretch), mode="wrap")
    standard: Floats = ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)
    return standard


def jittered_centres(rng: np.random.Generator, size: float, spacing: float) -> Doubles:
    """Points [N, 2] of a jittered grid that repeats after `size`."""
    count = max(1, round(size / spacing))
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), axis=-1).reshape(-1, 2)
    jitter = rng.uniform(0.1, 0.9, grid.shape)
    result: Doubles = (grid + jitter) * (size / count)
    return result
