"""Corners of pixel regions, in any order, to closed rings. Whole numbers only, so always exact."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Compact = NDArray[np.int32]

# The four pixels around a corner; bit 0: to the right, bit 1: below.
NW, NE, SW, SE = range(4)


@dataclass(frozen=True)
class Corners:
    """Where region borders turn: arrays of one length, compact because a noisy map has millions.

    The border runs along the two outer sides of the pixel in `quadrant` (NW, NE, SW or SE of
    `x`, `y`). `convex`: that pixel is in the region and its two neighbours there are not;
    otherwise the other way round. `region` numbers the 4-connected region.
    """

    x: Compact
    y: Compact
    quadrant: NDArray[np.uint8]
    convex: NDArray[np.bool_]
    region: Compact

    def take(self, index: NDArray[np.generic]) -> "Corners":
        return Corners(
            self.x[index],
            self.y[index],
            self.quadrant[index],
            self.convex[index],
            self.region[index],
        )


@dataclass(frozen=True)
class Rings:
    """Closed rings one after another, without their last point, which is their first.

    `xy` int32 [points, 2]; ring k is `xy[start[k]:start[k + 1]]`; `region` and `hole` say what it
    is. Regions follow their numbers; in each the outer ring comes first, then its holes by first
    point. A ring begins at its topmost, then leftmost point; the region lies to its right as seen
    on screen, y pointing down, so that shapely takes outer rings as counter-clockwise.
    """

    xy: Compact
    start: Integers
    region: Compact
    hole: NDArray[np.bool_]


def link_rings(corners: Corners) -> Rings:
    """Join corners, all that their regions have, into rings.

    Sorted by row, corners 2k and 2k + 1 end one horizontal run of border; sorted by column, one
    vertical run. Following them in turn walks around a ring.
    """
    corners = corners.take(_sorted(corners.y, corners.x, corners.quadrant & 1))
    column = _sorted(corners.x, corners.y, corners.quadrant >> 1).astype(np.int32)
    vertical = np.empty_like(column)
    vertical[column[0::2]], vertical[column[1::2]] = column[1::2], column[0::2]
    horizontal = np.arange(len(column), dtype=np.int32) ^ 1
    across = ((corners.quadrant == NW) | (corners.quadrant == SE)) == corners.convex
    following = np.where(across, horizontal, vertical)

    first = _least_of_cycle(following)
    left = _steps_left(following, first)
    start = np.flatnonzero(first == np.arange(len(first)))
    hole = ~corners.convex[start]
    order = np.lexsort((start, hole, corners.region[start]))
    length = left[start[order]] + 1
    begin = np.cumsum(length) - length
    begin_of_first = np.empty(len(first), np.int64)
    begin_of_first[start[order]] = begin
    place = begin_of_first[first] + left[first] - left
    xy = np.empty((len(first), 2), np.int32)
    xy[place, 0], xy[place, 1] = corners.x, corners.y
    return Rings(xy, begin, corners.region[start[order]], hole[order])


def _sorted(major: Compact, minor: Compact, last: NDArray[np.integer]) -> Integers:
    """The order by `major`, then `minor`, then `last` (0 or 1)."""
    width = int(minor.max(initial=0)) + 1
    return np.argsort((major.astype(np.int64) * width + minor) * 2 + last)


def _least_of_cycle(following: Compact) -> Compact:
    """For each element of a permutation the smallest of its cycle, by doubling steps."""
    least = np.minimum(np.arange(len(following), dtype=np.int32), following)
    jump = following[following]
    while True:
        lower = np.minimum(least, least[jump])
        if np.array_equal(lower, least):
            return least
        least, jump = lower, jump[jump]


def _steps_left(following: Compact, first: Compact) -> Compact:
    """How many steps each element is from the last of its cycle, which is followed by `first`."""
    last = following == first
    steps = np.where(last, 0, 1).astype(np.int32)
    jump = np.where(last, np.arange(len(following), dtype=np.int32), following)
    while True:
        further = steps[jump]
        if not further.any():
            return steps
        steps, jump = steps + further, jump[jump]
