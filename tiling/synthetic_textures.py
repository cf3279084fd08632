"""Seamless textures of drawn tissue: fibres, nests, acini, fat cells."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import KDTree

from .synthetic_noise import Doubles, Floats, jittered_centres, seamless_noise

TILE = 512  # pixels after which a texture repeats; warps hide it


@dataclass(frozen=True)
class Textures:
    """Seamless squares of TILE pixels."""

    fibre: Floats
    bundle: Floats
    grain: Floats
    ragged: Floats  # deviation 1, as coarse as a ragged border
    nests: Floats  # above 0: nests and cords, half of the area
    acinus: Floats  # µm inside a round acinus
    fat: Floats  # µm from the border between fat cells


@lru_cache(maxsize=4)
def textures(mpp: float) -> Textures:
    rng, size = np.random.default_rng(5), TILE
    nests = seamless_noise(rng, size, 13 / mpp) - 0.5 * seamless_noise(rng, size, 40 / mpp)
    return Textures(
        fibre=seamless_noise(rng, size, 1.8 / mpp, 10),
        bundle=seamless_noise(rng, size, 6 / mpp, 6),
        grain=seamless_noise(rng, size, 0.6),
        ragged=seamless_noise(rng, size, 20 / mpp),
        nests=nests.astype(np.float32),
        acinus=(27 - _nearest(rng, mpp, 62)[0]).astype(np.float32),
        fat=np.diff(_nearest(rng, mpp, 70), axis=0)[0].astype(np.float32),
    )


def _nearest(rng: np.random.Generator, mpp: float, spacing: float) -> Doubles:
    """Distances [2, TILE, TILE] in µm to the nearest and second nearest of periodic points."""
    size = TILE * mpp
    tree = KDTree(jittered_centres(rng, size, spacing), boxsize=size)
    along = (np.arange(TILE) + 0.5) * mpp
    points = np.stack(np.meshgrid(along, along), axis=-1)
    distances: Doubles = np.moveaxis(tree.query(points, k=2)[0], -1, 0)
    return distances
