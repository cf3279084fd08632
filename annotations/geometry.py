"""Rings into valid polygons, and polygons without holes out of polygons with them."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon, STRtree
from shapely.geometry.base import BaseGeometry

from annotations.notes import Notes
from annotations.shapes import Ring

FARTHEST = 1e7
"""Level-0 pixels: no slide is so wide; a coordinate beyond it is refused."""

MOST_CROSSINGS = 400_000
"""A ring that crosses itself more often than this is no outline; mending it would take minutes."""

_PROBED_EDGES = 50


def parts(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons with an area in any geometry, in its order."""
    return [
        piece
        for piece in shapely.get_parts(shapely.get_parts(geometry)).tolist()
        if piece.geom_type == "Polygon" and piece.area > 0
    ]


def filled(polygon: Polygon) -> Polygon:
    """The polygon without its holes."""
    return Polygon(polygon.exterior)


def holes(polygon: Polygon) -> list[Polygon]:
    """The holes as polygons."""
    return [Polygon(ring) for ring in polygon.interiors]


def polygons_from_rings(rings: Sequence[Ring], shape: str, notes: Notes) -> list[Polygon]:
    """Valid polygons, in the rings' units, of an outer ring and its holes.

    Self-crossing rings are mended (and noted); several polygons then may come of one. Rings of
    fewer than three points or without an area are left out (and noted).
    Raises OutlineError on NaN, infinite or far-away coordinates and on hopeless tangles.
    """
    for ring in rings:
        _check_coordinates(ring, shape, notes)
    if not rings or len(_open(rings[0])) < 3:
        notes.add("shapes of fewer than three points, left out", shape)
        return []
    usable = [ring for ring in rings[1:] if len(_open(ring)) >= 3]
    if len(usable) < len(rings) - 1:
        notes.add("holes of fewer than three points, left out", shape)
    found = _mended(Polygon(rings[0], usable), shape, notes)
    if not found:
        notes.add("shapes without an area, left out", shape)
    return found


def hole_free_pieces(polygon: Polygon) -> list[Polygon]:
    """Simple polygons that share only edges and whose union is exactly `polygon`.

    They are unions of its constrained Delaunay triangles, so no vertex is new or moved.
    """
    if not polygon.interiors:
        return [polygon]
    triangles = parts(shapely.constrained_delaunay_triangles(polygon))
    centres = shapely.get_x(shapely.centroid(triangles))
    order = np.argsort(centres, kind="stable")
    waiting = [[triangles[i] for i in order]]
    pieces: list[Polygon] = []
    while waiting:
        group = waiting.pop()
        for piece in parts(shapely.union_all(group)):
            if not piece.interiors:
                pieces.append(piece)
                continue
            shapely.prepare(piece)
            within = shapely.covers(piece, shapely.point_on_surface(group))
            own = [triangle for triangle, mine in zip(group, within, strict=True) if mine]
            waiting += [own[len(own) // 2 :], own[: len(own) // 2]]
    return pieces


def _open(ring: Ring) -> Ring:
    return ring[:-1] if len(ring) > 1 and bool((ring[0] == ring[-1]).all()) else ring


def _check_coordinates(ring: Ring, shape: str, notes: Notes) -> None:
    # written so that NaN fails it too
    wrong = ring[~(np.abs(ring) <= FARTHEST).all(axis=1)]
    if len(wrong):
        x, y = wrong[0].tolist()
        raise notes.error(
            f"{shape} has a vertex at ({x:g}, {y:g}), which lies on no slide: "
            "correct or delete the shape in the program that drew it"
        )


def _mended(polygon: Polygon, shape: str, notes: Notes) -> list[Polygon]:
    if polygon.is_valid:
        return parts(polygon)
    crossings = _crossings(polygon)
    if crossings > MOST_CROSSINGS:
        raise notes.error(
            f"{shape} crosses itself about {crossings:,.0f} times, which no outline does: "
            "delete the shape in the program that drew it"
        )
    try:
        mended = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    except shapely.errors.GEOSException as error:
        raise notes.error(f"{shape} cannot be mended ({error}): draw it again") from error
    found = parts(mended)
    if found:
        notes.add("shapes that cross or touch themselves, mended", shape)
    return found


def _crossings(polygon: Polygon) -> float:
    """About how often edges cross one another, from a sample of them."""
    edges = np.concatenate([_edges(ring) for ring in (polygon.exterior, *polygon.interiors)])
    lines = shapely.linestrings(edges)
    probes = lines[:: max(1, len(lines) // _PROBED_EDGES)]
    hits = STRtree(lines).query(probes, predicate="crosses")
    return float(hits.shape[1]) * len(lines) / len(probes) / 2


def _edges(ring: BaseGeometry) -> NDArray[np.float64]:
    """[n, 2, 2]: the ends of each edge."""
    points = shapely.get_coordinates(ring)
    return np.stack([points[:-1], points[1:]], axis=1)
