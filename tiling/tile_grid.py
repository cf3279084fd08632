"""Boxes of pixels that lie in tiles."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .frame import Box

Pixels = npt.NDArray[np.uint8]  # [h, w, channels]
TileSize = tuple[int, int]  # width, height
Fetch = Callable[[int, int], Pixels]  # column and row of a tile to its pixels, from its corner on


def tiles_under(box: Box, tile: TileSize) -> Box:
    """The tiles that a box of pixels touches, as a box of columns and rows."""
    column, row = box.x // tile[0], box.y // tile[1]
    return Box(column, row, -(-box.right // tile[0]) - column, -(-box.bottom // tile[1]) - row)


def put_together(box: Box, tile: TileSize, fetch: Fetch, channels: int = 3) -> Pixels:
    """A box's pixels out of its tiles, fetched row by row; uint8 [box.height, box.width, channels].

    Tiles on the far edges may be cut short; the box must lie on what they hold.
    """
    out = np.empty((box.height, box.width, channels), np.uint8)
    tiles = tiles_under(box, tile)
    for row in range(tiles.y, tiles.bottom):
        for column in range(tiles.x, tiles.right):
            place = Box(column * tile[0], row * tile[1], *tile)
            part = place.intersection(box)
            out[part.y - box.y : part.bottom - box.y, part.x - box.x : part.right - box.x] = fetch(
                column, row
            )[part.y - place.y : part.bottom - place.y, part.x - place.x : part.right - place.x]
    return out
