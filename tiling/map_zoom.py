"""A map as deep-zoom tiles: 8-bit grey, exact at the full size, coarser below it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .deepzoom import DeepZoom
from .frame import Box
from .maps import StoredMap
from .pyramid import halved

BLOCK = 2048  # pixels of the map, counted at a time
Values = NDArray[np.uint8]  # [height, width], 255 = probability 1


class MapSource(Protocol):
    """Whatever a map can be read from. `size`: its width and height in pixels."""

    @property
    def size(self) -> tuple[int, int]: ...

    def read(self, box: Box, halvings: int) -> Values:
        """The values of a box, in the pixels of the map `halvings` times halved (rounding up)."""
        ...


def map_tile(source: MapSource, level: int, column: int, row: int) -> Values | None:
    """One tile, cut at the right and lower end; None where there is no such level or tile."""
    zoom = DeepZoom(*source.size)
    box = zoom.box(level, column, row)
    return None if box is None else source.read(box, zoom.levels - 1 - level)


class StoredSource:
    """A stored map as a source: its own levels, and means of the coarsest below them."""

    def __init__(self, stored: StoredMap) -> None:
        self._stored = stored
        self.size = stored.size

    def read(self, box: Box, halvings: int) -> Values:
        """Each value is the mean of the four under it, half rounded up; exact without halvings."""
        last = len(self._stored.sizes) - 1
        if halvings <= last:
            return self._stored.read(box, halvings)
        values = self._stored.read(Box(0, 0, *self._stored.sizes[last]), last)
        for _ in range(halvings - last):
            values = halved(values)
        return values[box.y : box.bottom, box.x : box.right]


def value_counts(source: MapSource) -> NDArray[np.int64]:
    """How many pixels of a map have each value, int64 [256]; the map is read in blocks."""
    counts = np.zeros(256, np.int64)
    width, height = source.size
    for y in range(0, height, BLOCK):
        for x in range(0, width, BLOCK):
            box = Box(x, y, BLOCK, BLOCK).intersection(Box(0, 0, width, height))
            counts += np.bincount(source.read(box, 0).reshape(-1), minlength=256)
    return counts
