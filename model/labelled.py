"""What an expert said of a slide, pixel by pixel, and where the expert looked.

Training and measuring both read labels here, so that they cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

from annotations import read_outlines
from annotations.labels import LabelRules
from annotations.origins import file_origin_level0
from annotations.outline import IGNORE, Outline
from tiling.frame import Box, Frame, Pair
from tiling.images import read_grey
from tiling.masks import rasterise
from tiling.plane import slide_plane
from tiling.slide import Slide

from .cohort import Case
from .object_rules import ObjectRules
from .objects import between

IGNORED = 255  # in label arrays and in `labelled` PNGs: nobody said
Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def load_outlines(case: Case, slide: Slide, rules: LabelRules) -> list[Outline]:
    """What the expert drew on a slide; none where the case has no annotations."""
    if case.annotations is None:
        return []
    return _read(case.annotations, slide, rules)


def _read(path: Path, slide: Slide, rules: LabelRules) -> list[Outline]:
    plane = slide_plane(slide)
    origin = file_origin_level0(path, plane)
    return read_outlines(path, plane=plane, rules=rules, origin_level0=origin)


@dataclass(frozen=True)
class CellGrid:
    """A `labelled` PNG: a value a cell, uint8 [rows, columns], 255 = not labelled.

    `cell_level0` is a cell's width and height in level-0 pixels; cell (0, 0) begins at (0, 0).
    """

    values: Labels
    cell_level0: Pair

    @classmethod
    def over(cls, values: Labels, size_level0: tuple[int, int]) -> "CellGrid":
        """The grid that a PNG makes over a slide: square cells of whole pixels where sizes allow.

        A grid of 50 px cells over 2,701 px has 55 columns, the last cut short; stretching it to
        the slide would shift every label.
        """
        height, width = values.shape
        guess = max(1, round(max(size_level0[0] / width, size_level0[1] / height)))
        for side in (guess, guess + 1, guess - 1):
            if side and (-(-size_level0[0] // side), -(-size_level0[1] // side)) == (width, height):
                return cls(values, (float(side), float(side)))
        return cls(values, (size_level0[0] / width, size_level0[1] / height))

    def labelled(self, frame: Frame, box: Box) -> Mask:
        """bool [box.height, box.width]: the pixel's centre lies in a labelled cell."""
        height, width = self.values.shape
        x, y = _centres_level0(frame, box)
        column = np.floor(x / self.cell_level0[0]).astype(np.int64)
        row = np.floor(y / self.cell_level0[1]).astype(np.int64)
        in_row, in_column = (row >= 0) & (row < height), (column >= 0) & (column < width)
        out = np.zeros((box.height, box.width), np.bool_)
        cells = self.values[np.ix_(row[in_row], column[in_column])]
        out[np.ix_(in_row, in_column)] = cells != IGNORED
        return out


def _centres_level0(frame: Frame, box: Box) -> tuple[Floats, Floats]:
    """x of the columns' centres and y of the rows', in level-0 pixels."""
    (ox, oy), (dx, dy) = frame.origin_level0, frame.downsample
    x = np.arange(box.x, box.right, dtype=np.float64)
    y = np.arange(box.y, box.bottom, dtype=np.float64)
    return ox + (x + 0.5) * dx, oy + (y + 0.5) * dy


class LabelledRegion:
    """Where an expert has labelled: a PNG grid over the slide, outlines, or everywhere.

    Nowhere beyond the edges of a cut-out, where its mirrored image is read.
    """

    def __init__(self, case: Case, slide: Slide) -> None:
        self._edges_level0 = slide.bounds_level0 if slide.flat else None
        self.grid: CellGrid | None = None
        self._shapes: list[tuple[Polygon, int]] | None = None
        if case.labelled is None:
            return
        if case.labelled.suffix.lower() == ".png":
            self.grid = CellGrid.over(read_grey(case.labelled), slide.size_level0)
            return
        outlines = _read(case.labelled, slide, LabelRules())
        outlines.sort(key=lambda outline: outline.label == IGNORE)  # covers all else
        self._shapes = [(o.polygon, int(o.label != IGNORE)) for o in outlines]

    def on(self, frame: Frame, box: Box) -> Mask:
        """bool [box.height, box.width]: the pixel's centre is labelled."""
        labelled = self._stated(frame, box)
        if self._edges_level0 is not None:
            (x, y), edges = _centres_level0(frame, box), self._edges_level0
            labelled[(y < edges.y) | (y >= edges.bottom)] = False
            labelled[:, (x < edges.x) | (x >= edges.right)] = False
        return labelled

    def _stated(self, frame: Frame, box: Box) -> Mask:
        if self._shapes is not None:
            return rasterise(self._shapes, frame, box) > 0
        if self.grid is not None:
            return self.grid.labelled(frame, box)
        return np.ones((box.height, box.width), np.bool_)


class ExpertLabels:
    """The class of each pixel of a frame as the expert outlined it, by the pixel-centre rule.

    `classes`: the first is what no outline claims; outlines of labels that are none of the others
    count as that one. Where outlines of several classes overlap, the last class wins.
    With `objects`, which training alone asks for, the last class lies between outlined objects; to
    measure, an outlined object is an object to its edge.
    """

    def __init__(
        self,
        case: Case,
        slide: Slide,
        frame: Frame,
        *,
        classes: Sequence[str],
        rules: LabelRules,
        objects: ObjectRules | None = None,
    ) -> None:
        self._frame, self._classes = frame, tuple(classes)
        self.region = LabelledRegion(case, slide)
        outlines = load_outlines(case, slide, rules)
        self._values = [self._class_of(outline) for outline in outlines]
        self.polygons = [outline.polygon for outline in outlines]
        if objects is not None:
            self._add_boundaries(objects, slide.known_mpp)
        self._tree = shapely.STRtree(self.polygons)

    def _add_boundaries(self, objects: ObjectRules, mpp_level0: Pair) -> None:
        boundary = len(self._classes) - 1
        outlined = [p for value in range(1, boundary) for p in self.polygons_of(value)]
        between_them = between(outlined, mpp_level0, objects.boundary_um)
        self.polygons += between_them
        self._values += [boundary] * len(between_them)

    def _class_of(self, outline: Outline) -> int:
        if outline.label in self._classes[1:]:
            return self._classes.index(outline.label)
        return IGNORED if outline.label == IGNORE else 0

    def polygons_of(self, value: int) -> list[Polygon]:
        """The outlines of a class, in level-0 pixels."""
        return [p for p, own in zip(self.polygons, self._values, strict=True) if own == value]

    def judged(self, polygon: Polygon) -> bool:
        """Whether the expert looked at a polygon in level-0 pixels: at one place inside it."""
        x, y = self._frame.from_level0(*polygon.representative_point().coords[0])
        return bool((self.labels(Box(int(x), int(y), 1, 1)) != IGNORED).all())

    def labels(self, box: Box) -> Labels:
        """Class indices over a box of the frame, IGNORED where nobody said; uint8 [h, w]."""
        x0, y0 = self._frame.to_level0(box.x, box.y)
        x1, y1 = self._frame.to_level0(box.right, box.bottom)
        near = sorted(self._tree.query(shapely.box(x0, y0, x1, y1)), key=self._paint_order)
        labels = rasterise([(self.polygons[i], self._values[i]) for i in near], self._frame, box)
        labels[~self.region.on(self._frame, box)] = IGNORED
        return labels

    def _paint_order(self, index: int) -> tuple[int, int]:
        return (self._values[index], index)  # what is to be ignored covers all else
