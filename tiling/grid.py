"""Windows: which parts of a frame are read and written, so that no seam can show."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tiling.frame import Box, Frame
from tiling.tissue import TissueMask

MAX_CELLS = 1 << 18  # of the lattice that windows are planned on
# What a window costs beside its pixels: a network meets a shape for the first time
WINDOW_PIXELS = 200_000
HOPELESS = 1.15  # halves this much dearer than the whole are not looked into


@dataclass(frozen=True)
class Window:
    """One step over a slide; both boxes in the frame's pixels, both may reach beyond the frame.

    `read` is `write` padded by the halo. Write boxes of one plan are disjoint and lie, with both
    boxes' sides, on multiples of the stride.
    """

    read: Box
    write: Box


def round_up(value: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def plan_windows(
    frame: Frame, tissue: TissueMask, *, write_side: int, halo: int, stride: int
) -> list[Window]:
    """Windows that cover every pixel of tissue inside the frame, and read little else.

    Rectangles are cut in two, again and again, and drawn in to the tissue that is left, wherever
    that saves reading; neighbours follow each other. No write box is longer or wider than
    `write_side`; that and `halo`, in the frame's pixels, are rounded up to `stride`, the network's
    total stride. The mask must cover the frame.
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
    cell = stride
    while frame.width * frame.height > MAX_CELLS * cell**2 and 2 * cell <= side:
        cell *= 2
    taken = _any_within(tissue.mask, tissue.factor, cell, frame.height)
    taken = _any_within(taken.T, tissue.factor, cell, frame.width).T
    cover = _Cover(taken, _Price(side // cell, margin / cell, WINDOW_PIXELS / cell**2))
    boxes = [
        Box(b.x * cell, b.y * cell, b.width * cell, b.height * cell)
        for b in cover.best(Box(0, 0, taken.shape[1], taken.shape[0]))[1]
    ]
    return [Window(box.padded(margin), box) for box in boxes]


@dataclass(frozen=True)
class _Price:
    """What covering a rectangle costs; lengths in cells, costs in cells read."""

    most: int  # cells a window may be long or wide
    margin: float
    window: float

    def of(self, width: NDArray[np.int64], height: NDArray[np.int64]) -> NDArray[np.float64]:
        """The cost of rectangles, cut into equal windows where they are too large for one."""
        columns, rows = -(-width // self.most), -(-height // self.most)
        across, down = (
            length + 2 * self.margin * pieces
            for length, pieces in ((width, columns), (height, rows))
        )
        cost: NDArray[np.float64] = across * down + self.window * columns * rows
        return cost

    def of_one(self, box: Box) -> float:
        """The cost of a box as one window; without end where it is too large."""
        if max(box.width, box.height) > self.most:
            return float("inf")
        return float(self.of(np.array(box.width), np.array(box.height)))


class _Cover:
    """The cheapest rectangles over the cells that are taken, as far as cutting in two finds them.

    `taken` bool [rows, columns].
    """

    def __init__(self, taken: NDArray[np.bool_], price: _Price) -> None:
        self._taken, self._price = taken, price

    def best(self, box: Box) -> tuple[float, list[Box]]:
        """Cost and rectangles of what is taken within a box."""
        cells = self._taken[box.y : box.bottom, box.x : box.right]
        rows, columns = (np.flatnonzero(cells.any(axis)) for axis in (1, 0))
        if not rows.size:
            return 0.0, []
        box = Box(
            box.x + int(columns[0]),
            box.y + int(rows[0]),
            int(columns[-1] - columns[0]) + 1,
            int(rows[-1] - rows[0]) + 1,
        )
        cells = self._taken[box.y : box.bottom, box.x : box.right]
        whole = self._price.of_one(box)
        (cost, at), axis = min(
            (_cheapest_cut(side, self._price), axis) for axis, side in enumerate((cells, cells.T))
        )
        if cost >= HOPELESS * whole or (cells.all() and whole <= cost):
            return whole, [box]
        parts = [self.best(half) for half in _halves(box, axis, at)]
        apart = sum(cost for cost, _ in parts)
        return (whole, [box]) if whole <= apart else (apart, [b for _, bs in parts for b in bs])


def _halves(box: Box, axis: int, at: int) -> tuple[Box, Box]:
    """A box cut in two before row (axis 0) or column (axis 1) `at` of it."""
    if axis == 0:
        above = replace(box, height=at)
        return above, replace(box, y=above.bottom, height=box.height - at)
    left = replace(box, width=at)
    return left, replace(box, x=left.right, width=box.width - at)


def _cheapest_cut(cells: NDArray[np.bool_], price: _Price) -> tuple[float, int]:
    """Cost and row at which to cut in two; row 0 where there is but one row.

    `cells` bool [rows, columns], taken in the first and the last row.
    """
    if len(cells) < 2:
        return float("inf"), 0
    length = cells.shape[1]
    first = np.where(cells.any(1), cells.argmax(1), length)
    last = np.where(cells.any(1), length - 1 - cells[:, ::-1].argmax(1), -1)
    before = _costs_so_far(first, last, price)[:-1]
    after = _costs_so_far(first[::-1], last[::-1], price)[-2::-1]
    at = int(np.argmin(before + after))
    return float(before[at] + after[at]), at + 1


def _costs_so_far(
    first: NDArray[np.int64], last: NDArray[np.int64], price: _Price
) -> NDArray[np.float64]:
    """The cost of what is taken in the first 1, 2, 3 ... rows.

    `first`, `last`: each row's first and last cell taken; beyond all others in an empty row.
    """
    height = 1 + np.maximum.accumulate(np.where(last >= 0, np.arange(len(first)), 0))
    left, right = np.minimum.accumulate(first), np.maximum.accumulate(last)
    return price.of(right - left + 1, height)


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
