"""Slides whose tumour is known to the pixel: dark shapes on pale tissue, for tests of geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray
from shapely import Polygon
from shapely.affinity import scale, translate

from annotations.outline import TUMOUR, Outline

from .frame import Box
from .synthetic_files import Pixels, PyramidPlan, append_pyramid, write_pyramid
from .synthetic_noise import hashed, uniform

GLASS, PALE, DARK = (244, 244, 246), (228, 178, 206), (112, 72, 150)  # RGB
_SCN = "http://www.leica-microsystems.com/scn/2010/10/01"


@dataclass(frozen=True)
class KnownSlide:
    """Pale tissue with a dark square, a dark ellipse and a dark square with a hole.

    Sizes and places are parts of `width` and `height`, in level-0 pixels of `mpp` µm.
    """

    width: int = 3170
    height: int = 2110
    mpp: float = 1.0

    def tissue(self) -> Polygon:
        """All of the tissue, tumour too, in pixels of this image."""
        return shapely.box(
            0.06 * self.width, 0.08 * self.height, 0.94 * self.width, 0.91 * self.height
        )

    def outlines(self) -> list[Outline]:
        """The tumour exactly, in pixels of this image."""
        unit = min(self.width, self.height)
        side, hole = 0.16 * unit, 0.08 * unit
        x, y = 0.7 * self.width, 0.62 * self.height
        ring = shapely.box(x - side, y - side, x + side, y + side).difference(
            shapely.box(x - hole, y - hole, x + hole, y + hole)
        )
        left, top = 0.15 * self.width, 0.2 * self.height
        square = shapely.box(left, top, left + 0.25 * unit, top + 0.25 * unit)
        disk = shapely.Point(0.3 * self.width, 0.7 * self.height).buffer(0.1 * unit, quad_segs=32)
        return [Outline(TUMOUR, shape) for shape in (square, scale(disk, 1.5, 1.0), ring)]

    def truth(self, box: Box) -> NDArray[np.bool_]:
        """Whether a pixel's centre is tumour, bool [h, w]."""
        return _covers(shapely.union_all([o.polygon for o in self.outlines()]), box)

    def render(self, box: Box) -> Pixels:
        """RGB uint8 [h, w, 3], with a little grain."""
        rgb = np.empty((box.height, box.width, 3), np.float32)
        rgb[:] = GLASS
        rgb[_covers(self.tissue(), box)] = PALE
        rgb[self.truth(box)] = DARK
        x, y = np.arange(box.x, box.right), np.arange(box.y, box.bottom)
        rgb += 10 * uniform(hashed(7, x[None, :], y[:, None]), 0)[..., None] - 5
        return np.round(rgb).astype(np.uint8)


def write_known_tumour_slide(
    path: Path, known: KnownSlide, *, downsamples: Sequence[float] = (1, 4, 15.83)
) -> list[Outline]:
    """A generic tiled TIFF; returns its tumour in level-0 pixels."""
    plan = PyramidPlan(known.width, known.height, known.mpp, downsamples, 90)
    write_pyramid(path, plan, known.render)
    return known.outlines()


def write_known_tumour_scn(
    path: Path,
    known: KnownSlide,
    *,
    origin_level0: tuple[int, int] = (1300, 700),
    downsamples: Sequence[float] = (1, 4, 16),
) -> list[Outline]:
    """A Leica SCN file, whose scanned region starts at `origin_level0` of a larger plane.

    OpenSlide reports openslide.bounds-x/y/width/height; beyond them the plane is transparent.
    Returns the tumour in level-0 pixels of the full plane.
    """
    plane = (known.width + 2 * origin_level0[0], known.height + 2 * origin_level0[1])
    plan = PyramidPlan(known.width, known.height, known.mpp, downsamples, 90)
    macro = PyramidPlan(256, 256, known.mpp * plane[0] / 256, (1,), 90)
    described = PyramidPlan(
        plan.width,
        plan.height,
        plan.mpp,
        downsamples,
        plan.quality,
        _scn_description(plan, macro, plane, origin_level0),
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        append_pyramid(tiff, described, known.render, path.parent)
        append_pyramid(tiff, macro, lambda box: _plain(box), path.parent)
    return [Outline(o.label, translate(o.polygon, *origin_level0)) for o in known.outlines()]


def _plain(box: Box) -> Pixels:
    return np.full((box.height, box.width, 3), GLASS, np.uint8)


def _scn_description(
    plan: PyramidPlan, macro: PyramidPlan, plane: tuple[int, int], origin: tuple[int, int]
) -> str:
    """Leica's XML: views in nanometres of the plane, dimensions in pixels per directory."""
    nm = 1000 * plan.mpp
    levels = range(len(plan.downsamples))
    main = _scn_image(
        [(*plan.size(i), i) for i in levels],
        (origin[0] * nm, origin[1] * nm, plan.width * nm, plan.height * nm),
    )
    overview = _scn_image(
        [(macro.width, macro.height, len(levels))], (0, 0, plane[0] * nm, plane[1] * nm)
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><scn xmlns="{_SCN}">'
        f'<collection name="drawn" sizeX="{plane[0] * nm:.0f}" sizeY="{plane[1] * nm:.0f}">'
        f"{overview}{main}</collection></scn>"
    )


def _scn_image(
    dimensions: list[tuple[int, int, int]], view_nm: tuple[float, float, float, float]
) -> str:
    x, y, width, height = (f"{v:.0f}" for v in view_nm)
    listed = "".join(
        f'<dimension sizeX="{w}" sizeY="{h}" r="{r}" ifd="{ifd}"/>'
        for r, (w, h, ifd) in enumerate(dimensions)
    )
    return (
        f'<image name="drawn"><creationDate>2020-01-01T00:00:00Z</creationDate>'
        f'<device model="drawn" version="1"/>'
        f'<pixels sizeX="{dimensions[0][0]}" sizeY="{dimensions[0][1]}">{listed}</pixels>'
        f'<view sizeX="{width}" sizeY="{height}" offsetX="{x}" offsetY="{y}" spacingZ="0"/>'
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
        "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        "</scanSettings></image>"
    )


def _covers(shape: Polygon | shapely.MultiPolygon, box: Box) -> NDArray[np.bool_]:
    shapely.prepare(shape)
    x, y = np.arange(box.x, box.right) + 0.5, np.arange(box.y, box.bottom) + 0.5
    inside: NDArray[np.bool_] = shapely.contains_xy(shape, *np.meshgrid(x, y))
    return inside
