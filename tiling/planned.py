"""A level that is read by plan: each tile is decoded once, and kept only while it is needed."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .frame import Box, Pair
from .resample import RGB, Level
from .tile_grid import TileSize, put_together, tiles_under

KEPT_BYTES = 96 << 20
NEVER = np.iinfo(np.int64).max


@runtime_checkable
class TiledLevel(Level, Protocol):
    """A level that is decoded tile by tile."""

    @property
    def tile(self) -> TileSize:
        """Width and height of the tiles to read it in."""

    def decode(self, column: int, row: int) -> RGB:
        """A tile's pixels, decoded anew; uint8 [h, w, 3], at the far edges perhaps cut short."""


class PlannedLevel:
    """A level whose `boxes` are read in the order in which they are given, by one thread.

    A decoded tile is kept while a later box needs it: where more than `most_bytes` would be, those
    go whose turn comes last, to be decoded again.
    """

    def __init__(
        self, level: TiledLevel, boxes: Sequence[Box], most_bytes: int = KEPT_BYTES
    ) -> None:
        self._level, self._boxes, self._most = level, list(boxes), most_bytes
        self.size: tuple[int, int] = level.size
        self.downsample: Pair = level.downsample
        tiles = [tiles_under(box, level.tile) for box in boxes]
        edges = [(t.x, t.y, t.right, t.bottom) for t in tiles]
        self._edges = np.array(edges, np.int64).reshape(-1, 4)
        self._next = 0
        self._kept: dict[tuple[int, int], tuple[int, RGB]] = {}  # with the box that needs it next

    def read(self, box: Box) -> RGB:
        """uint8 [box.height, box.width, 3].

        Raises:
            ValueError: the box is not planned, or its turn is over.
        """
        number = self._boxes.index(box, self._next)
        self._next = number + 1
        needed = self._needed_next(number)
        left, top = self._edges[number, :2]

        def fetch(column: int, row: int) -> RGB:
            _, pixels = self._kept.pop((column, row), (0, None))
            if pixels is None:
                pixels = self._level.decode(column, row)
            next_box = int(needed[row - top, column - left])
            if next_box < NEVER:
                self._kept[column, row] = (next_box, pixels)
            return pixels

        out = put_together(box, self._level.tile, fetch)
        self._make_room()
        return out

    @property
    def held_bytes(self) -> int:
        """What is kept decoded for later boxes."""
        return sum(pixels.nbytes for _, pixels in self._kept.values())

    def _needed_next(self, number: int) -> npt.NDArray[np.int64]:
        """The number of the next box that needs each tile of a box; int64 [rows, columns]."""
        own, later = self._edges[number], self._edges[number + 1 :]
        first = np.maximum(later[:, :2], own[:2])
        end = np.minimum(later[:, 2:], own[2:])
        needed = np.full(own[:1:-1] - own[1::-1], NEVER, np.int64)
        for i in np.flatnonzero((first < end).all(axis=1))[::-1]:
            (x0, y0), (x1, y1) = first[i] - own[:2], end[i] - own[:2]
            needed[y0:y1, x0:x1] = number + 1 + i
        return needed

    def _make_room(self) -> None:
        held = self.held_bytes
        if held <= self._most:
            return
        for place in sorted(self._kept, key=lambda place: self._kept[place][0], reverse=True):
            held -= self._kept.pop(place)[1].nbytes
            if held <= self._most:
                return
