"""Drawn H&E slides with outlines: the demo, tests and load need no real slide.

What tells tumour from the rest is the size, irregularity and arrangement of nuclei; colour, blur,
darkness and compression are drawn apart from it (see `synthetic_look`). Any rectangle can be
drawn alone, so memory does not grow with the slide.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from annotations.outline import TUMOUR, Outline

from .frame import Box
from .synthetic_layout import Layout, draw_layout
from .synthetic_look import Look, draw_look
from .synthetic_tissue import stains

_BLOCK = 512  # pixels drawn at once
_OUTSIDE_UM = 25.0  # experts draw a little outside
_VERTEX_UM = 75.0  # between an expert's vertices


@dataclass(frozen=True)
class SlideRecipe:
    """All that a drawn slide is made from.

    `site` is the laboratory (slides of one site look alike); `width`, `height` in level-0 pixels
    of `mpp` µm. At 2 µm/px nuclei are 3 to 9 pixels wide.
    """

    seed: int
    site: int
    width: int
    height: int
    mpp: float = 2.0
    tumour: bool = True

    def drawn(self) -> "DrawnSlide":
        """The slide itself."""
        size_um = (self.width * self.mpp, self.height * self.mpp)
        layout = draw_layout(self.seed, *size_um, tumour=self.tumour)
        look = draw_look(self.site, self.seed)
        return DrawnSlide(self.seed, self.width, self.height, self.mpp, layout, look)


@dataclass(frozen=True)
class DrawnSlide:
    """A slide that is computed where it is looked at. All boxes are in level-0 pixels.

    `seed` says how fibres run and where nuclei lie.
    """

    seed: int
    width: int
    height: int
    mpp: float
    layout: Layout
    look: Look

    def render(self, box: Box) -> NDArray[np.uint8]:
        """RGB uint8 [h, w, 3]; the same pixels whatever rectangle they are part of."""
        rgb = np.empty((box.height, box.width, 3), np.uint8)
        for top in range(0, box.height, _BLOCK):
            for left in range(0, box.width, _BLOCK):
                part = Box(box.x + left, box.y + top, _BLOCK, _BLOCK).intersection(box)
                rgb[top : top + part.height, left : left + part.width] = self._block(part)
        return rgb

    def truth(self, box: Box) -> NDArray[np.bool_]:
        """Whether a pixel's centre lies within the outlines, bool [h, w]."""
        inside = np.zeros((box.height, box.width), bool)
        x, y = np.arange(box.x, box.right) + 0.5, np.arange(box.y, box.bottom) + 0.5
        for polygon in (o.polygon for o in self.outlines()):
            left, top, right, bottom = polygon.bounds
            columns = slice(*np.searchsorted(x, (left, right)))
            rows = slice(*np.searchsorted(y, (top, bottom)))
            shapely.prepare(polygon)
            inside[rows, columns] |= shapely.contains_xy(polygon, *np.meshgrid(x[columns], y[rows]))
        return inside

    def outlines(self) -> list[Outline]:
        """The tumour as an expert would outline it: smooth, a little outside, few vertices."""
        scale = 1 / self.mpp
        slide = shapely.box(0, 0, self.width, self.height)
        result = []
        for extent in self.layout.tumour_extent(_OUTSIDE_UM):
            ring = extent.exterior
            count = max(8, round(ring.length / _VERTEX_UM))
            points = shapely.line_interpolate_point(ring, np.arange(count) / count, normalized=True)
            polygon = shapely.Polygon(shapely.get_coordinates(points) * scale)
            kept = shapely.get_parts(polygon.intersection(slide))
            result += [Outline(TUMOUR, part) for part in kept if part.area > 0]
        return result

    @property
    def quality(self) -> int:
        """The JPEG quality of this slide's scanner."""
        return self.look.quality

    def _block(self, box: Box) -> NDArray[np.uint8]:
        drawn = stains(self.seed, self.layout, self.mpp, self.look.blur_um, box)
        return self.look.colours(drawn.eosin, drawn.haematoxylin, drawn.ink, drawn.grain)
