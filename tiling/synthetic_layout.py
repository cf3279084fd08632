"""Where things lie on a drawn slide: tissue, tumour, lobules, ducts, as blobs in µm."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, get_parts, union_all

Doubles = NDArray[np.float64]


class Kind(IntEnum):
    """What a blob is made of."""

    TUMOUR = 0
    ADENOSIS = 1  # benign nests and cords: the tumour's arrangement and colour, small nuclei
    LOBULE = 2  # benign acini
    IN_SITU = 3  # a duct filled with large, round, regular nuclei: not invasive tumour
    DUCT = 4  # a benign duct with lumen
    LYMPHOID = 5  # lymphocytes, darker than tumour
    NECROSIS = 6
    SCAR = 7  # dense collagen
    FAT = 8


@dataclass(frozen=True)
class Blob:
    """A closed star-shaped curve: an ellipse whose radius waves. All lengths in µm."""

    kind: Kind
    x: float
    y: float
    radius: float
    aspect: float
    angle: float
    waves: tuple[tuple[int, float, float], ...]  # order, amplitude (part of the radius), phase
    darkness: float  # factor on haematoxylin, apart from its kind

    def depth(self, ys: Doubles, xs: Doubles) -> Doubles:
        """About how deep inside, in µm (negative outside), at rows `ys` and columns `xs`."""
        dx, dy = xs[None, :] - self.x, ys[:, None] - self.y
        c, s = np.cos(self.angle), np.sin(self.angle)
        u, v = (dx * c + dy * s) / self.aspect, (dy * c - dx * s) * self.aspect
        result: Doubles = self._radii(np.arctan2(v, u)) - np.hypot(u, v)
        return result

    def polygon(self, margin: float = 0.0, points: int = 180) -> Polygon:
        """The curve as a polygon in µm, `margin` µm further out."""
        theta = np.linspace(0, 2 * np.pi, points, endpoint=False)
        radii = self._radii(theta)
        u, v = radii * np.cos(theta) * self.aspect, radii * np.sin(theta) / self.aspect
        c, s = np.cos(self.angle), np.sin(self.angle)
        curve = Polygon(np.stack([self.x + u * c - v * s, self.y + u * s + v * c], axis=1))
        return curve.buffer(margin)

    @property
    def reach(self) -> float:
        """No point of the curve is further from its centre, in µm."""
        waves = sum(abs(amplitude) for _, amplitude, _ in self.waves)
        return self.radius * (1 + waves) * max(self.aspect, 1 / self.aspect)

    def _radii(self, theta: Doubles) -> Doubles:
        radii = np.ones_like(theta)
        for order, amplitude, phase in self.waves:
            radii += amplitude * np.cos(order * theta + phase)
        return radii * self.radius


@dataclass(frozen=True)
class _Share:
    """How much of the tissue a kind takes, and the size of one blob in µm."""

    area: tuple[float, float]
    radius: tuple[float, float]
    wave: float
    overlap: float  # how far into other blobs it may reach, as part of its radius


_SHARES = {
    Kind.TUMOUR: _Share((0.20, 0.30), (350, 800), 0.16, 0.1),
    Kind.ADENOSIS: _Share((0.13, 0.22), (250, 600), 0.14, 0.1),
    Kind.IN_SITU: _Share((0.03, 0.06), (90, 210), 0.04, 0.0),
    Kind.LOBULE: _Share((0.05, 0.09), (150, 380), 0.10, 0.1),
    Kind.DUCT: _Share((0.015, 0.03), (50, 160), 0.08, 0.0),
    Kind.LYMPHOID: _Share((0.03, 0.06), (80, 280), 0.20, 1.2),
    Kind.NECROSIS: _Share((0.01, 0.03), (80, 260), 0.20, 1.2),
    Kind.SCAR: _Share((0.04, 0.10), (250, 600), 0.20, 0.6),
    Kind.FAT: _Share((0.15, 0.30), (250, 700), 0.20, 0.9),
}


def draw_blob(rng: np.random.Generator, kind: Kind, x: float, y: float, radius: float) -> Blob:
    """A blob of `kind` at a place in µm, its shape drawn."""
    wave = _SHARES[kind].wave
    waves = tuple(
        (order, float(rng.uniform(0.3, 1.0)) * wave / order**0.5, float(rng.uniform(0, 2 * np.pi)))
        for order in (2, 3, 5, 7)
    )
    aspect = float(np.exp(rng.uniform(-0.3, 0.3)))
    angle, darkness = float(rng.uniform(0, np.pi)), float(rng.uniform(0.75, 1.30))
    return Blob(kind, x, y, radius, aspect, angle, waves, darkness)


@dataclass(frozen=True)
class Stroke:
    """A straight band in µm: a fold of the tissue or a line of a pen."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float

    def depth(self, ys: Doubles, xs: Doubles) -> Doubles:
        """How deep inside the band, in µm."""
        along = np.array([self.x1 - self.x0, self.y1 - self.y0])
        dx, dy = xs[None, :] - self.x0, ys[:, None] - self.y0
        part = np.clip((dx * along[0] + dy * along[1]) / (along @ along), 0, 1)
        distance = np.hypot(dx - part * along[0], dy - part * along[1])
        result: Doubles = self.width / 2 - distance
        return result


@dataclass(frozen=True)
class Layout:
    """All large things on one slide, in µm from the slide's corner."""

    tissue: tuple[Blob, ...]
    blobs: tuple[Blob, ...]
    folds: tuple[Stroke, ...]
    pen: tuple[Stroke, ...]

    def depth(self, kind: Kind, ys: Doubles, xs: Doubles) -> tuple[Doubles, Doubles]:
        """How deep inside blobs of `kind` (µm, at least -500) and the darkness of the nearest."""
        return _deepest([b for b in self.blobs if b.kind is kind], ys, xs)

    def tissue_depth(self, ys: Doubles, xs: Doubles) -> Doubles:
        """How deep inside the tissue, before its border is made ragged, in µm."""
        return _deepest(list(self.tissue), ys, xs)[0]

    def tumour_extent(self, margin: float) -> list[Polygon]:
        """The tumour as an expert sees it, in µm: foci joined, `margin` µm further out."""
        foci = [b.polygon(margin) for b in self.blobs if b.kind is Kind.TUMOUR]
        # closed, then opened: no sharp corners where foci meet or leave the tissue
        joined = union_all(foci).buffer(60).buffer(-60)
        tissue = union_all([piece.polygon(margin) for piece in self.tissue])
        joined = joined.intersection(tissue).buffer(-40).buffer(40)
        return [part for part in get_parts(joined) if not part.is_empty]


def _deepest(blobs: list[Blob], ys: Doubles, xs: Doubles) -> tuple[Doubles, Doubles]:
    depth = np.full((len(ys), len(xs)), -500.0)
    darkness = np.ones_like(depth)
    for blob in blobs:
        # whole lattice points only, so that each has one value whatever the rectangle
        rows = slice(*np.searchsorted(ys, (blob.y - blob.reach - 500, blob.y + blob.reach + 500)))
        cols = slice(*np.searchsorted(xs, (blob.x - blob.reach - 500, blob.x + blob.reach + 500)))
        if rows.start == rows.stop or cols.start == cols.stop:
            continue
        here = blob.depth(ys[rows], xs[cols])
        nearer = here > depth[rows, cols]
        depth[rows, cols][nearer] = here[nearer]
        darkness[rows, cols][nearer] = blob.darkness
    return depth, darkness


def draw_layout(seed: int, width_um: float, height_um: float, *, tumour: bool) -> Layout:
    """Place tissue and everything in it; what goes where depends on the seed alone."""
    rng = np.random.default_rng([seed, 1])
    tissue = _draw_tissue(rng, width_um, height_um)
    tissue_area = sum(np.pi * t.radius**2 for t in tissue)
    blobs: list[Blob] = []
    for kind, share in _SHARES.items():
        if kind is Kind.TUMOUR and not tumour:
            continue
        wanted = float(rng.uniform(*share.area)) * tissue_area
        blobs += _place(rng, kind, wanted, tissue, blobs)
    folds = _draw_strokes(rng, tissue, (0, 2), (25, 60))
    pen = _draw_strokes(rng, tissue, (0, 2), (90, 200))
    return Layout(tissue, tuple(blobs), folds, pen)


def _draw_strokes(
    rng: np.random.Generator,
    tissue: tuple[Blob, ...],
    count: tuple[int, int],
    width: tuple[float, float],
) -> tuple[Stroke, ...]:
    """`count` to choose from, a tissue piece; where they run has nothing to do with tumour."""
    strokes = []
    for piece in tissue:
        for _ in range(int(rng.integers(count[0], count[1] + 1))):
            angle, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.6)
            far = rng.uniform(0.5, 1.1, 2) * piece.radius
            ends = [
                (piece.x + r * np.cos(a), piece.y + r * np.sin(a))
                for r, a in zip(far, (angle, angle + turn), strict=True)
            ]
            numbers = (float(v) for v in (*ends[0], *ends[1], rng.uniform(*width)))
            strokes.append(Stroke(*numbers))
    return tuple(strokes)


def _draw_tissue(rng: np.random.Generator, width_um: float, height_um: float) -> tuple[Blob, ...]:
    """One piece on a square slide, several along a long one; about 60 % of the slide."""
    long, short = max(width_um, height_um), min(width_um, height_um)
    pieces = max(1, round(long / short / 1.2))
    result = []
    for i in range(pieces):
        along, across = (i + 0.5) * long / pieces, short / 2
        x, y = (along, across) if width_um >= height_um else (across, along)
        box_w, box_h = (long / pieces, short) if width_um >= height_um else (short, long / pieces)
        waves = tuple(
            (order, float(rng.uniform(0.02, 0.07)), float(rng.uniform(0, 2 * np.pi)))
            for order in (2, 3, 4, 6)
        )
        aspect = float(np.sqrt(box_w / box_h))
        radius = 0.46 * float(np.sqrt(box_w * box_h))
        result.append(Blob(Kind.SCAR, x, y, radius, aspect, 0.0, waves, 1.0))
    return tuple(result)


def _place(
    rng: np.random.Generator,
    kind: Kind,
    wanted: float,
    tissue: tuple[Blob, ...],
    others: list[Blob],
) -> list[Blob]:
    """Throw blobs of one kind at the tissue until they cover `wanted` µm²."""
    share, placed, covered = _SHARES[kind], [], 0.0
    taken = np.array([(b.x, b.y, b.radius) for b in others]).reshape(-1, 3)
    for _ in range(4000):
        if covered >= wanted:
            break
        piece = tissue[int(rng.integers(len(tissue)))]
        limit = min(share.radius[1], 0.35 * piece.radius, 1.2 * float(np.sqrt(wanted / np.pi)))
        radius = float(rng.uniform(min(share.radius[0], limit), limit))
        x, y = (centre + float(rng.uniform(-1, 1)) * piece.reach for centre in (piece.x, piece.y))
        inside = float(piece.depth(np.array([y]), np.array([x]))[0, 0])
        apart = np.hypot(taken[:, 0] - x, taken[:, 1] - y) - taken[:, 2]
        if inside < 0.9 * radius or (apart < radius * (1.1 - share.overlap)).any():
            continue
        placed.append(draw_blob(rng, kind, x, y, radius))
        covered += np.pi * radius**2
        taken = np.concatenate([taken, [(x, y, radius)]])
    return placed
