"""One pass over a mask, block by block: its 4-connected regions and the corners of its borders."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix, csgraph

from tiling.frame import Box
from tiling.rings import NE, NW, SE, SW, Compact, Corners, Integers

# What lies around a corner, as a number: the sum of 1 << quadrant over the pixels that are inside.
_AROUND = np.arange(16)
_INSIDE = (_AROUND[:, None] >> np.arange(4)) & 1
_CONVEX = _INSIDE.sum(axis=1) == 1
_TURNS = _CONVEX | (_INSIDE.sum(axis=1) == 3)
_QUADRANT = np.where(_CONVEX, _INSIDE.argmax(axis=1), _INSIDE.argmin(axis=1)).astype(np.uint8)
# A pixel that is inside: the odd one out itself, or the one opposite to it.
_MEMBER = np.where(_CONVEX, _QUADRANT, 3 - _QUADRANT)
_FALLING, _RISING = 1 << NW | 1 << SE, 1 << NE | 1 << SW
_CROSSES = (_AROUND == _FALLING) | (_AROUND == _RISING)
_CORNER = _TURNS | _CROSSES


@dataclass(frozen=True)
class Regions:
    """The 4-connected regions of a mask: `area` and `value_sum` int64 [n], and all corners."""

    area: Integers
    value_sum: Integers
    corners: Corners


@dataclass
class _Found:
    """What the blocks gave; labels are unique over all blocks, and joined across seams later."""

    area: list[Integers] = field(default_factory=lambda: [np.zeros(1, np.int64)])
    value_sum: list[Integers] = field(default_factory=lambda: [np.zeros(1, np.int64)])
    joins: list[Compact] = field(default_factory=lambda: [np.zeros((2, 0), np.int32)])
    turns: list[Compact] = field(default_factory=lambda: [np.zeros((4, 0), np.int32)])
    crossings: list[Compact] = field(default_factory=lambda: [np.zeros((5, 0), np.int32)])
    labels: int = 0

    def add(self, numbers: Compact, area: Integers, value_sum: Integers) -> Compact:
        """Note a block's regions; its numbers as labels."""
        self.area.append(area)
        self.value_sum.append(value_sum)
        labels = np.where(numbers, numbers + np.int32(self.labels), 0)
        self.labels += len(area)
        return labels


def find_regions(
    read: Callable[[Box], NDArray[np.uint8]],
    size: tuple[int, int],
    least: int,
    block: int,
    least_area: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Regions:
    """Regions of at least `least_area` pixels with values of at least `least` in a map.

    `size` is the map's width, height. Holds one block and two rows of the map, and what grows with
    the borders: corners, 16 bytes each. Too small regions are forgotten with their block, or at
    the end when they touch a seam: then they stay numbered, without corners.
    """
    width, height = size
    found = _Found()
    boxes = _boxes(width, height, block)
    above, below = np.zeros((2, width + 2), np.int32)
    beside = np.zeros(0, np.int32)
    for number, box in enumerate(boxes):
        if box.x == 0:
            above, below = below, np.zeros(width + 2, np.int32)
            beside = np.zeros(box.height, np.int32)
        over = above[box.x : box.right + 1]
        part = box.intersection(Box(0, 0, width, height))
        values = read(part) if part.area else np.zeros((0, 0), np.uint8)
        inside = values >= least
        if inside.any() or over.any() or beside.any():
            labels = np.zeros((box.height + 1, box.width + 1), np.int32)
            labels[0], labels[1:, 0] = over, beside
            if inside.any():
                labels[1 : part.height + 1, 1 : part.width + 1] = found.add(
                    *_label(values, inside, least_area)
                )
            below[box.x + 1 : box.right + 1], beside = labels[-1, 1:], labels[1:, -1]
            _collect(found, labels, box)
        else:  # as most of a slide is
            beside = np.zeros(box.height, np.int32)
        if progress:
            progress(number + 1, len(boxes))
    return _joined(found, least_area)


def _boxes(width: int, height: int, block: int) -> list[Box]:
    """One pixel more than the map, all outside: the borders along its right and lower ends."""
    return [
        Box(x, y, min(block, width + 1 - x), min(block, height + 1 - y))
        for y in range(0, height + 1, block)
        for x in range(0, width + 1, block)
    ]


def _label(
    values: NDArray[np.uint8], inside: NDArray[np.bool_], least_area: int
) -> tuple[Compact, Integers, Integers]:
    """Number the regions of a block: numbers [h, w] from 1, and the area and value sum of each."""
    numbers, count = ndimage.label(inside)
    flat = numbers[inside]
    area = np.bincount(flat, minlength=count + 1)
    # Floats are exact here: a block's sum of bytes is far below 2 ** 53.
    value_sum = np.bincount(flat, values[inside], count + 1).astype(np.int64)
    keep = area >= least_area
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        keep[edge] = True  # it may go on in the next block
    keep[0] = False
    if not keep[1:].all():
        numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[numbers]
    return numbers, area[keep], value_sum[keep]


def _collect(found: _Found, labels: Compact, box: Box) -> None:
    """Note corners and joins; labels[i, j] is the pixel above and left of the box's corner i, j."""
    inside = (labels > 0).view(np.uint8)
    if not inside.any():
        return
    around = inside[:-1, :-1] << NW | inside[:-1, 1:] << NE
    around |= inside[1:, :-1] << SW | inside[1:, 1:] << SE
    corners = np.flatnonzero(_CORNER[around])
    kind = around.ravel()[corners]
    y, x = np.divmod(corners, around.shape[1])

    def label(which: Integers, quadrant: NDArray[np.integer]) -> Compact:
        there: Compact = labels[y[which] + (quadrant >> 1), x[which] + (quadrant & 1)]
        return there

    def noted(which: Integers, *facts: NDArray[np.integer]) -> Compact:
        return np.stack([x[which] + box.x, y[which] + box.y, *facts]).astype(np.int32)

    which = np.flatnonzero(_TURNS[kind])
    turns = kind[which]
    found.turns.append(noted(which, turns, label(which, _MEMBER[turns])))
    which = np.flatnonzero(_CROSSES[kind])
    upper = np.where(kind[which] == _FALLING, NW, NE)
    found.crossings.append(noted(which, upper, label(which, upper), label(which, 3 - upper)))

    for a, b in ((labels[0, 1:], labels[1, 1:]), (labels[1:, 0], labels[1:, 1])):
        both = (a > 0) & (b > 0)
        found.joins.append(np.unique(np.stack([a[both], b[both]]), axis=1))


def _joined(found: _Found, least_area: int) -> Regions:
    """Regions joined across seams, each that is large enough with its corners."""
    joins = np.concatenate(found.joins, axis=1)
    shape = (found.labels + 1, found.labels + 1)
    graph = coo_matrix((np.ones(joins.shape[1], np.bool_), (joins[0], joins[1])), shape)
    count, region = csgraph.connected_components(graph, directed=False)  # int32
    area, value_sum = np.zeros((2, count), np.int64)
    np.add.at(area, region, np.concatenate(found.area))
    np.add.at(value_sum, region, np.concatenate(found.value_sum))

    x, y, kind, label = np.concatenate(found.turns, axis=1)
    turns = Corners(x, y, _QUADRANT[kind], _CONVEX[kind], region[label])
    x, y, upper, label, lower_label = np.concatenate(found.crossings, axis=1)
    one, other = region[label], region[lower_label]
    # Where two pixels of one region touch by a corner only, its border runs around the two pixels
    # outside: rings that touch themselves are invalid. Different regions keep their own corners.
    apart = one != other
    quadrant = np.where(apart, upper, upper ^ 1).astype(np.uint8)
    pairs = [
        Corners(x, y, quadrant, apart, one),
        Corners(x, y, 3 - quadrant, apart, other),
    ]
    kept = [part.take(area[part.region] >= least_area) for part in (turns, *pairs)]
    return Regions(area, value_sum, _concatenated(kept))


def _concatenated(parts: list[Corners]) -> Corners:
    return Corners(
        np.concatenate([p.x for p in parts]),
        np.concatenate([p.y for p in parts]),
        np.concatenate([p.quadrant for p in parts]),
        np.concatenate([p.convex for p in parts]),
        np.concatenate([p.region for p in parts]),
    )
