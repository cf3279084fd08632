"""Equal square cells over a slide's tissue: the unit of what is skipped, and of what is audited."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tiling.frame import Box, Frame
from tiling.grid import Window, round_up
from tiling.tissue_mask import Mask, TissueMask

from .audit import largest_sum, most_bad
from .network_config import NetworkConfig
from .windows import Stored, Sweep

NEIGHBOURS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class Cells:
    """Equal square cells over a slide's tissue.

    A cell is `side` pixels of the model's frame and `times` of the tissue mask's;
    `tissue.mask.shape / times`, rounded up, is the shape of all masks of cells. A pixel of
    `coarse_tissue` is a whole number of those of the coarse map.
    """

    tissue: TissueMask
    side: int
    times: int
    has_tissue: Mask  # [rows, columns]
    coarse_frame: Frame
    coarse_tissue: TissueMask
    output_stride: int
    coarser: int

    @classmethod
    def over(
        cls,
        frame: Frame,
        tissue: TissueMask,
        network: NetworkConfig,
        *,
        coarser: int,
        cell_um: float,
    ) -> Self:
        """Cells of `cell_um` or a little more; `frame` is the model's over the slide."""
        pixel = math.lcm(tissue.factor, coarser * network.output_stride)
        wanted = max(1, round(cell_um / frame.mpp[0]))
        side = round_up(wanted, math.lcm(pixel, network.total_stride))
        coarse = tissue.coarser(pixel // tissue.factor)
        times = side // tissue.factor
        return cls(
            tissue,
            side,
            times,
            tissue.coarser(times).mask,
            frame.coarser(coarser),
            replace(coarse, factor=coarse.factor // coarser),
            network.output_stride,
            coarser,
        )

    @property
    def number(self) -> int:
        """How many cells hold tissue."""
        return int(self.has_tissue.sum())

    def scores(
        self,
        sweep: Sweep,
        windows: list[Window],
        foreground: int,
        heard: Callable[[int], None],
    ) -> Stored:
        """The highest coarse value on the tissue of each cell; uint8 [rows, columns].

        `windows` are those over the coarse frame; `heard` is told how many of them are done.
        """
        scores = np.zeros(self.has_tissue.shape, np.uint8)
        map_frame = self.coarse_frame.coarser(self.output_stride)
        per_cell = self.side // (self.coarser * self.output_stride)
        for done, (box, planes) in enumerate(sweep.maps(self.coarse_frame, windows), 1):
            values = planes[foreground] * self.coarse_tissue.on(map_frame, box)
            _raise_to(scores, values, box.intersection(map_frame.box), per_cell)
            heard(done)
        return scores

    def cold(self, scores: Stored, highest: float) -> Mask:
        """The cells of tissue that show a probability of at most `highest`, as do all around."""
        hot = scores / 255 > highest
        cold: Mask = self.has_tissue & ~ndimage.binary_dilation(hot, NEIGHBOURS)
        return cold

    def windows(self, cells: Mask, halo: int) -> list[Window]:
        """A window for each of some cells: all of one shape, which a network is fast with."""
        side = self.side
        boxes = (Box(x * side, y * side, side, side) for y, x in np.argwhere(cells).tolist())
        return [Window(box.padded(halo), box) for box in boxes]

    def window_area(self, halo: int) -> int:
        """Pixels that each of them reads."""
        return (self.side + 2 * halo) ** 2

    def within(self, cells: Mask) -> TissueMask:
        """The tissue in some of the cells."""
        return self.tissue.within(cells, self.times)

    def most_missed_mm2(self, cold: Mask, audited: Mask) -> float:
        """How much of what was skipped may be tumour when none is in what was audited."""
        bad = most_bad(int(cold.sum()), int(audited.sum()))
        unseen = self.within(cold & ~audited)
        areas = unseen.counts(self.times).ravel() * unseen.frame.pixel_area_mm2
        return largest_sum(areas.tolist(), bad)


def drawn_of(cells: Mask, number: int, seed: int) -> Mask:
    """So many of some cells, at random; the same ones for the same seed."""
    chosen = np.zeros(cells.shape, np.bool_)
    chosen.flat[random.Random(seed).sample(np.flatnonzero(cells).tolist(), number)] = True
    return chosen


def _raise_to(scores: Stored, values: npt.NDArray[np.uint8], box: Box, per_cell: int) -> None:
    """Raise scores to the highest value in each cell; `values` begin where `box` does."""
    values = values[: box.height, : box.width]
    rows, columns = (
        np.arange(first, last) // per_cell
        for first, last in ((box.y, box.bottom), (box.x, box.right))
    )
    for axis, numbers in enumerate((rows, columns)):
        values = np.maximum.reduceat(values, np.flatnonzero(np.diff(numbers, prepend=-1)), axis)
    part = scores[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.maximum(part, values, out=part)
