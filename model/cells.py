"""Square cells over a slide: what a map says of each and what the expert does."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from annotations.errors import UsageError
from tiling.frame import Box, Frame, Pair

from .labelled import IGNORED, CellGrid

AGREES = 0.01  # by what share a labelled grid's cell size may differ from the one asked for
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CellLayout:
    """Which cell each pixel of a map lies in.

    `rows` [map height], `columns` [map width]: the cell's row and column, -1 beyond all cells.
    `labelled` [cells down, cells across]: the cells that count, where a PNG says so; else None.
    """

    rows: Numbers
    columns: Numbers
    shape: tuple[int, int]
    labelled: Mask | None

    @classmethod
    def over(cls, frame: Frame, mpp_level0: Pair, cell_um: float, grid: CellGrid | None) -> Self:
        """The cells of a labelled PNG where its cells have that size; else from the frame's corner.

        Pixels are not shared out: each belongs to the cell that the rounded edges (halves to the
        even side) put it in.

        Raises:
            UsageError: cells smaller than the map's pixels.
        """
        if not cell_um >= max(frame.mpp):
            raise UsageError(
                f"--cell-um {cell_um:g}: cells must be at least a pixel of the map wide, "
                f"{max(frame.mpp):g} µm"
            )
        if grid is not None and all(
            abs(side * mpp / cell_um - 1) <= AGREES
            for side, mpp in zip(grid.cell_level0, mpp_level0, strict=True)
        ):
            height, width = grid.values.shape
            side_level0, origin, labelled = grid.cell_level0, (0.0, 0.0), grid.values != IGNORED
        else:
            width, height = (
                -int(-size * mpp // cell_um)
                for size, mpp in zip((frame.width, frame.height), frame.mpp, strict=True)
            )
            side_level0 = (cell_um / mpp_level0[0], cell_um / mpp_level0[1])
            origin, labelled = frame.origin_level0, None
        across, down = (
            np.rint(
                (origin[i] + np.arange(count + 1) * side_level0[i] - frame.origin_level0[i])
                / frame.downsample[i]
            )
            for i, count in enumerate((width, height))
        )
        rows, columns = _cell_of(down, frame.height), _cell_of(across, frame.width)
        return cls(rows, columns, (height, width), labelled)


def _cell_of(edges: npt.NDArray[np.float64], pixels: int) -> Numbers:
    found = np.searchsorted(edges, np.arange(pixels), "right") - 1
    cells: Numbers = np.where(found < len(edges) - 1, found, -1).astype(np.int64)
    return cells


class CellSums:
    """Adds up a map strip by strip: one set of numbers a cell, whatever the map's size."""

    def __init__(self, layout: CellLayout) -> None:
        self._layout = layout
        inside = np.flatnonzero(layout.columns >= 0)
        self._gather = csr_array(
            (np.ones(len(inside)), (inside, layout.columns[inside])),
            shape=(len(layout.columns), layout.shape[1]),
        )
        self._pixels, self._values, self._known, self._tumour = np.zeros((4, *layout.shape))

    def add(self, strip: Box, values: npt.NDArray[np.uint8], known: Mask, tumour: Mask) -> None:
        """Take in whole rows of the map: uint8 and bool [strip.height, map width].

        `known`: pixels that the expert judged; `tumour`: those of them that are.
        """
        rows = self._layout.rows[strip.y : strip.bottom]
        inside = rows >= 0
        for sums, part in (
            (self._pixels, np.ones_like(values)),
            (self._values, values),
            (self._known, known),
            (self._tumour, tumour),
        ):
            np.add.at(sums, rows[inside], part[inside].astype(np.float64) @ self._gather)

    def judged(self) -> tuple[npt.NDArray[np.float64], Mask]:
        """The cells that count, row by row: their scores and truth [n]; see `grid`."""
        scores, counts, tumour = self.grid()
        return scores[counts], tumour[counts]

    def grid(self) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
        """Mean probability (0-1), whether it counts, whether it is tumour: of every cell, [h, w].

        A cell counts when at least half of its pixels are known, and a labelled PNG, where there
        is one, has labelled it; it is tumour when more than half of its known pixels are.
        """
        counts = (self._pixels > 0) & (2 * self._known >= self._pixels)
        if self._layout.labelled is not None:
            counts &= self._layout.labelled
        scores = self._values / (255 * np.maximum(self._pixels, 1))
        return scores, counts, 2 * self._tumour > self._known
