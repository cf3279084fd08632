"""Windows: which parts of a frame are read and written, so that no seam can show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiling.frame import Box, Frame
from tiling.tissue import TissueMask


@dataclass(frozen=True)
class Window:
    """One step over a slide; both boxes in the frame's pixels, both may reach beyond the frame.

    `read` is `write` padded by the halo. Write boxes of one plan are disjoint and of one size, and
    begin on multiples of the stride.
    """

    read: Box
    write: Box


def round_up(value: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def plan_windows(
    frame: Frame, tissue: TissueMask, *, write_side: int, halo: int, stride: int
) -> list[Window]:
    """The windows that cover every pixel of tissue inside the frame, row by row.

    `stride` is the network's total stride. `write_side` and `halo`, in the frame's pixels, are
    rounded up to it (`write_side` to at least one stride); write boxes lie on the lattice of the
    rounded `write_side`. Windows without tissue are left out. The mask must cover the frame.
    """
    if min(stride, write_side) < 1 or halo < 0:
        raise ValueError(f"no windows of side {write_side}, halo {halo}, stride {stride}")
    expected = frame.coarser(tissue.factor)
    if tissue.mask.shape != (expected.height, expected.width):
        raise ValueError(
            f"a tissue mask of {tissue.mask.shape} does not cover {frame.width} x {frame.height}"
            f" pixels at a factor of {tissue.factor}"
        )
    side, margin = round_up(write_side, stride), round_up(halo, stride)
    needed = _any_within(tissue.mask, tissue.factor, side, frame.height)
    needed = _any_within(needed.T, tissue.factor, side, frame.width).T
    boxes = (Box(int(x) * side, int(y) * side, side, side) for y, x in np.argwhere(needed))
    return [Window(box.padded(margin), box) for box in boxes]


def _any_within(
    pixels: NDArray[np.bool_], factor: int, side: int, length: int
) -> NDArray[np.bool_]:
    """Rows of `factor` frame pixels gathered into rows of `side`: true where any of them is.

    `pixels` bool [rows, n] over `length` frame pixels; returns [ceil(length / side), n].
    """
    starts = np.arange(0, length, side)
    ends = np.minimum(starts + side, length)
    counts = np.zeros((pixels.shape[0] + 1, pixels.shape[1]), np.int32)
    np.cumsum(pixels, axis=0, out=counts[1:])
    within: NDArray[np.bool_] = counts[-(-ends // factor)] > counts[starts // factor]
    return within
