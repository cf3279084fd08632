"""Squares of slides with their labels: read when first asked for, the last used kept decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from tiling.frame import Box
from tiling.last_used import LastUsed
from tiling.tile_grid import tiles_under

from .labelled import Labels

SIDE_PIXELS = 256  # of a square, in the model's frame
KEPT_BYTES = 512 << 20
Square = tuple[int, int]  # column, row
Key = tuple[object, Square]


@dataclass(frozen=True)
class Piece:
    """Part of a slide: uint8 [h, w, 3], and its labels at the output stride, uint8 [h/s, w/s]."""

    pixels: npt.NDArray[np.uint8]
    labels: Labels

    @classmethod
    def empty(cls, width_map: int, height_map: int, stride: int) -> "Piece":
        """One to be filled."""
        return cls(
            np.empty((height_map * stride, width_map * stride, 3), np.uint8),
            np.empty((height_map, width_map), np.uint8),
        )

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes

    def part(self, box: Box) -> "Piece":
        """A view of `box`, in map pixels from this piece's corner."""
        s = self.pixels.shape[0] // self.labels.shape[0]
        return Piece(
            self.pixels[box.y * s : box.bottom * s, box.x * s : box.right * s],
            self.labels[box.y : box.bottom, box.x : box.right],
        )

    def put(self, other: "Piece") -> None:
        """Fill this one from another of its size."""
        self.pixels[:], self.labels[:] = other.pixels, other.labels


class KeptPieces(LastUsed[Key, Piece]):
    """Pieces of any number of slides."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        super().__init__(most_bytes)


class PieceReader:
    """Any box of one slide, put together from squares; what is missing is read in one go.

    `read` gives a box of map pixels, the same values whatever the box.
    """

    def __init__(self, read: Callable[[Box], Piece], stride: int, kept: KeptPieces) -> None:
        self._read, self._stride, self._kept = read, stride, kept
        self._side = max(1, SIDE_PIXELS // stride)  # of a square, in map pixels

    def piece(self, box: Box) -> Piece:
        """A new copy of a box of map pixels."""
        squares = self._squares(box)
        found = self._kept.found((self, square) for square in squares)
        if len(found) < len(squares):
            found |= self._fetched([s for s in squares if (self, s) not in found])
        out = Piece.empty(box.width, box.height, self._stride)
        for column, row in squares:
            x, y = column * self._side, row * self._side
            common = Box(x, y, self._side, self._side).intersection(box)
            out.part(_moved(common, -box.x, -box.y)).put(
                found[self, (column, row)].part(_moved(common, -x, -y))
            )
        return out

    def _squares(self, box: Box) -> list[Square]:
        under = tiles_under(box, (self._side, self._side))
        return list(product(range(under.x, under.right), range(under.y, under.bottom)))

    def _fetched(self, squares: list[Square]) -> dict[Key, Piece]:
        """At least these squares, read and kept."""
        columns, rows = zip(*squares, strict=True)
        x, y, side = min(columns) * self._side, min(rows) * self._side, self._side
        box = Box(x, y, (max(columns) + 1) * side - x, (max(rows) + 1) * side - y)
        whole = self._read(box)
        fetched: dict[Key, Piece] = {}
        for column, row in self._squares(box):
            square = Piece.empty(side, side, self._stride)
            square.put(whole.part(Box(column * side - x, row * side - y, side, side)))
            fetched[self, (column, row)] = square
        self._kept.keep(fetched)
        return fetched


def _moved(box: Box, dx: int, dy: int) -> Box:
    return Box(box.x + dx, box.y + dy, box.width, box.height)
