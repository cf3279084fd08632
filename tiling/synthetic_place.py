"""One rectangle of a drawn slide: coordinates, noise, shapes and textures in it."""

import numpy as np
from numpy.typing import NDArray

from .frame import Box
from .synthetic_layout import Kind, Layout, Stroke
from .synthetic_noise import Between, Doubles, Floats, interpolate, value_noise
from .synthetic_textures import TILE, textures

_LATTICE_UM = 16.0  # large shapes are computed on this lattice and joined linearly
_FAR = -60.0  # µm: shapes further away than this leave no trace


class Place:
    """What is the same for a pixel whatever rectangle it is part of."""

    def __init__(self, seed: int, mpp: float, box: Box) -> None:
        self.seed, self.mpp, self.box = seed, mpp, box
        self.columns, self.rows = np.arange(box.x, box.right), np.arange(box.y, box.bottom)
        self.xs: Doubles = (self.columns.astype(np.float64) + 0.5) * mpp
        self.ys: Doubles = (self.rows.astype(np.float64) + 0.5) * mpp
        self._x, self._y = Between.of(self.xs, _LATTICE_UM), Between.of(self.ys, _LATTICE_UM)
        self.textures = textures(mpp)
        self.wave = self.noise(1, 350) * np.float32(110 / mpp)
        self._wild = self._index(self.noise(2, 400) * np.float32(60 / mpp), self.wave)
        gentle = np.float32(25 / mpp)
        self._mild = self._index(self.noise(3, 300) * gentle, self.noise(4, 300) * gentle)

    def noise(self, key: int, spacing_um: float) -> Floats:
        return value_noise(self.seed * 1000 + key, self.ys, self.xs, spacing_um)

    def depth(self, of: Layout, kind: Kind) -> tuple[Floats, Floats] | None:
        """µm inside blobs of a kind and their darkness; None when none is near."""
        x, y = self._x, self._y
        depth, darkness = of.depth(kind, y.points, x.points)
        if depth.max() < _FAR:
            return None
        return (
            interpolate(depth.astype(np.float32), y, x),
            interpolate(darkness.astype(np.float32), y, x),
        )

    def tissue(self, of: Layout) -> Floats:
        """µm inside the tissue, before its border is made ragged."""
        depth = of.tissue_depth(self._y.points, self._x.points)
        return interpolate(depth.astype(np.float32), self._y, self._x)

    def strokes(self, strokes: tuple[Stroke, ...]) -> Floats:
        """µm inside the nearest stroke."""
        depth = np.full((self.box.height, self.box.width), -500, np.float32)
        for stroke in strokes:
            np.maximum(depth, stroke.depth(self.ys, self.xs).astype(np.float32), out=depth)
        return depth

    def wild(self, texture: Floats) -> Floats:
        """A texture strongly warped: fibres that wander."""
        return texture.reshape(-1)[self._wild]

    def mild(self, texture: Floats) -> Floats:
        """A texture slightly warped: shapes keep their form."""
        return texture.reshape(-1)[self._mild]

    def _index(self, shift_x: Floats, shift_y: Floats) -> NDArray[np.int64]:
        x = (self.columns[None, :] + self.seed * 37 + shift_x.astype(np.int64)) % TILE
        y = (self.rows[:, None] + self.seed * 91 + shift_y.astype(np.int64)) % TILE
        result: NDArray[np.int64] = y * TILE + x
        return result
