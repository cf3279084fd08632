"""A map as deep-zoom tiles: 8-bit grey, exact at the full size, coarser below it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .canvas_view import CanvasView
from .deepzoom import DeepZoom
from .frame import Box
from .maps import StoredMap
from .pyramid import halved

BLOCK = 2048  # pixels of the map, counted at a time
Counts = NDArray[np.int64]  # [256]
Values = NDArray[np.uint8]  # [height, width], 255 = probability 1


class MapSource(Protocol):
    """Whatever a map can be read from. `size`: its width and height in pixels."""

    @property
    def size(self) -> tuple[int, int]: ...

    def read(self, box: Box, halvings: int) -> Values:
        """The values of a box, in the pixels of the map `halvings` times halved (rounding up)."""
        ...

    def counts(self) -> Counts:
        """How many pixels have each value, without having all of them in memory."""
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

    def counts(self) -> Counts:
        counts = np.zeros(256, np.int64)
        width, height = self.size
        for y in range(0, height, BLOCK):
            for x in range(0, width, BLOCK):
                box = Box(x, y, BLOCK, BLOCK).intersection(Box(0, 0, width, height))
                counts += np.bincount(self._stored.read(box).reshape(-1), minlength=256)
        return counts


class CanvasSource:
    """The foreground of a canvas as a source, as far as it has been filled."""

    def __init__(self, view: CanvasView) -> None:
        self._view = view
        self.size = view.frame.width, view.frame.height

    def read(self, box: Box, halvings: int) -> Values:
        """Means of at most 16 values under each; exact without halvings. Raises OSError."""
        step = 1 << halvings
        place = Box(box.x * step, box.y * step, box.width * step, box.height * step)
        inner = place.intersection(self._view.frame.box)
        return self._view.read(self._view.foreground, inner, step)

    def counts(self) -> Counts:
        """Raises OSError."""
        return self._view.counts(self._view.foreground)
