"""How far two outlines run apart, in µm."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tiling.frame import Pair

TOLERANCES_UM = (50, 100, 250)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BoundaryDistance:
    """`hd95_um`: None unless both have an outline. `surface_dice`: by tolerance in µm."""

    hd95_um: float | None
    surface_dice: dict[int, float | None]


def boundary(mask: Mask, known: Mask) -> Mask:
    """The pixels of a mask beside a known pixel outside it; bool [h, w].

    Where labels or the map end, nothing is known of a border, so that there is none.
    """
    outside = np.pad(known & ~mask, 1)
    beside = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    return mask & known & beside


def boundary_distance(truth: Mask, said: Mask, known: Mask, um_per_pixel: Pair) -> BoundaryDistance:
    """Distances between the outlines of two masks where both can be judged.

    HD95 is the larger of the two directed 95th percentiles (Huttenlocher et al. 1993); surface
    Dice the share of both outlines within a tolerance of the other (Nikolov et al. 2021): 0 where
    only one has an outline, None where neither has.

    Args:
        truth, said, known: bool [h, w]. um_per_pixel: x, y.
    """
    edges = boundary(truth, known), boundary(said, known)
    either = edges[0] | edges[1]
    if not either.any():
        return BoundaryDistance(None, dict.fromkeys(TOLERANCES_UM))
    if not (edges[0].any() and edges[1].any()):
        return BoundaryDistance(None, dict.fromkeys(TOLERANCES_UM, 0.0))
    rows, columns = (np.flatnonzero(either.any(axis=axis)) for axis in (1, 0))
    crop = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    first, second = (edge[crop] for edge in edges)
    there = _distances(first, second, um_per_pixel)
    back = _distances(second, first, um_per_pixel)
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    both = np.concatenate([there, back])
    return BoundaryDistance(hd95, {um: float((both <= um).mean()) for um in TOLERANCES_UM})


def _distances(edge: Mask, other: Mask, um_per_pixel: Pair) -> npt.NDArray[np.float64]:
    """From each pixel of one edge to the nearest of the other, in µm; 1-d."""
    sampling = (um_per_pixel[1], um_per_pixel[0])
    away: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~other, sampling=sampling)
    return away[edge]
