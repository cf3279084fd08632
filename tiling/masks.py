"""Outlines to label masks, by the pixel-centre rule."""

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from tiling.frame import Box, Frame

Edges = NDArray[np.float64]
"""[n, 4]: x, y of the upper end (smaller y), x, y of the lower end; in the frame's pixels."""


def rasterise(
    shapes: Iterable[tuple[Polygon | MultiPolygon, int]],
    frame: Frame,
    box: Box,
    background: int = 0,
) -> NDArray[np.uint8]:
    """Paint shapes in level-0 pixels onto a box of the frame: uint8 [box.height, box.width].

    A pixel belongs to a shape when its centre does; a centre right on an edge belongs to the side
    to the right of or below it, so shapes that share an edge never share or lose a pixel. Later
    shapes cover earlier ones. Every box gives the pixels that a box over the whole frame would.

    Even-odd scan lines: https://en.wikipedia.org/wiki/Even%E2%80%93odd_rule. Not GDAL's, which
    turns coordinates into Python lists for each call and gives pixels on an edge to both sides.
    """
    mask = np.full((box.height, box.width), background, np.uint8)
    for shape, value in shapes:
        _paint(mask, _edges(shape, frame, box), box, value)
    return mask


def _edges(shape: Polygon | MultiPolygon, frame: Frame, box: Box) -> Edges:
    """The shape's edges in the box's rows, those beside the box too: fillings begin there."""
    rings = shapely.get_rings(shapely.get_parts(shape))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points = (points - frame.origin_level0) / frame.downsample
    edges = np.hstack([points[:-1], points[1:]])[ring[:-1] == ring[1:]]
    # Downwards always: the same edge of two neighbours must cross a row at the very same x.
    upwards = edges[:, 1] > edges[:, 3]
    edges[upwards] = edges[upwards][:, [2, 3, 0, 1]]
    near = (edges[:, 3] >= box.y) & (edges[:, 1] <= box.bottom)
    kept: Edges = edges[near]
    return kept


def _paint(mask: NDArray[np.uint8], edges: Edges, box: Box, value: int) -> None:
    """Fill `mask`, which lies at `box`, with `value` wherever the edges to the left are odd."""
    first = np.maximum(_first_centre(edges[:, 1]), box.y)
    counts = np.maximum(np.minimum(_first_centre(edges[:, 3]), box.bottom) - first, 0)
    if not counts.any():
        return
    edge = np.repeat(np.arange(len(edges)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    x0, y0, x1, y1 = edges[edge].T
    crossing = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    column = np.clip(_first_centre(crossing), box.x, box.right)

    top, bottom, left = int(row.min()), int(row.max()) + 1, int(column.min())
    right = min(int(column.max()), box.right)
    # One more column for crossings at or beyond the right end. Wrapping at 256 keeps odd and even.
    crossed = np.zeros((bottom - top, right - left + 1), np.uint8)
    np.add.at(crossed, (row - top, column - left), np.uint8(1))
    np.add.accumulate(crossed, axis=1, dtype=np.uint8, out=crossed)
    part = mask[top - box.y : bottom - box.y, left - box.x : right - box.x]
    part[(crossed[:, :-1] & 1).astype(np.bool_)] = value


def _first_centre(coordinate: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first pixel whose centre is at or after a coordinate."""
    return np.ceil(coordinate - 0.5).astype(np.int64)
