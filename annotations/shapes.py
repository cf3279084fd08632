"""The shapes that annotation programs draw with a few points, as rings of vertices."""

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPoint

Ring = NDArray[np.float64]
"""float64 [n, 2]: x and y of a closed ring's vertices; the last may or may not repeat the first."""

_ELLIPSE_SIDES = 256
_SPLINE_STEP = 8.0  # at most so many units between two vertices of a drawn spline ...
_SPLINE_PIECES = 32  # ... but at most so many pieces between two points of it
_SPLINE_VERTICES = 200_000  # and about so many in all


def rectangle(points: Ring) -> Ring:
    """The rectangle that [n, 2] points mean: two are a diagonal, four the corners in any order.

    Any other number is returned as it is.
    """
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if len(points) == 4 and np.isfinite(points).all():
        hull = MultiPoint(points).convex_hull
        if hull.geom_type == "Polygon":
            return np.asarray(hull.exterior.coords, dtype=np.float64)
    return points


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Ring:
    """A polygon of 256 sides with the ellipse's exact area."""
    step = 2 * np.pi / _ELLIPSE_SIDES
    angles = np.arange(_ELLIPSE_SIDES) * step
    swell = np.sqrt(step / np.sin(step))  # a polygon inside the ellipse would be 1e-4 too small
    return np.column_stack(
        [
            centre[0] + radii[0] * swell * np.cos(angles),
            centre[1] + radii[1] * swell * np.sin(angles),
        ]
    )


def ellipse_in_box(points: Ring) -> Ring:
    """The ellipse in the box that two opposite corners, or four corners, span."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, radii = (low + high) / 2, (high - low) / 2
    return ellipse((float(centre[0]), float(centre[1])), (float(radii[0]), float(radii[1])))


def closed_spline(points: Ring) -> Ring:
    """The closed centripetal Catmull-Rom curve through `points`, which is how ASAP draws splines.

    Every point stays a vertex. Source: Catmull & Rom 1974; knots at the square root of the chord
    as in Lee 1989, evaluated as cubic Bézier pieces.
    """
    if not np.isfinite(points).all():
        return points
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    if len(points) < 3:
        return points
    before, after, beyond = (np.roll(points, shift, axis=0) for shift in (1, -1, -2))
    chords = np.linalg.norm(after - points, axis=1)[:, None]
    d1, d2, d3 = np.roll(chords, 1, axis=0), chords, np.roll(chords, -1, axis=0)
    control1 = _control(before, points, after, d1, d2)
    control2 = _control(beyond, after, points, d3, d2)
    most = max(1, min(_SPLINE_PIECES, _SPLINE_VERTICES // len(points)))
    pieces = np.clip(np.ceil(chords[:, 0] / _SPLINE_STEP), 1, most).astype(np.intp)
    segment = np.repeat(np.arange(len(points)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    t = ((np.arange(len(segment)) - first) / pieces[segment])[:, None]
    curve: Ring = (
        (1 - t) ** 3 * points[segment]
        + 3 * (1 - t) ** 2 * t * control1[segment]
        + 3 * (1 - t) * t**2 * control2[segment]
        + t**3 * after[segment]
    )
    return curve


def _control(far: Ring, near: Ring, end: Ring, d_far: Ring, d_end: Ring) -> Ring:
    """The Bézier control point beside `near` on the way to `end`; d_*: chords, [n, 1]."""
    mixed = np.sqrt(d_far * d_end)
    weight = 2 * d_far + 3 * mixed + d_end
    control: Ring = (d_far * end - d_end * far + weight * near) / (3 * (d_far + mixed))
    return control
