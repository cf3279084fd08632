"""Coarse to fine: a cheap pass decides where the full one runs, and a sample is held against it.

The network looks at the whole slide `coarser` times as coarse. Squares of tissue in which, and in
whose neighbours, it then sees next to nothing are skipped. Of these, squares drawn at random are
looked at in full. Does one hold tumour, nothing is skipped; else `model.audit` says how many of
the others may. What the full pass covers has the values that it always has.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tiling.frame import Box, Frame
from tiling.grid import Window, round_up
from tiling.tissue_mask import Mask, TissueMask

from .audit import LEVEL, fewest_to_draw, largest_sum, most_bad
from .network_config import NetworkConfig
from .windows import Stored, Sweep, area_read

Progress = Callable[[int, int], None]  # windows done, windows in all
NEIGHBOURS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class CoarseFirst:
    """How a slide is looked at coarsely first.

    Tumour is where the probability is above `threshold`; squares of about `square_um` whose coarse
    probability stays at `dismissed` x the threshold or below, and that of their neighbours, are
    skipped. So many of them are audited, drawn from `seed`, that at most the share `unseen` may
    hold tumour when none is found. Where coarse pass and audit would read more than the share
    `overhead` of what the full pass reads, neither is begun.
    """

    threshold: float
    seed: int
    coarser: int = 2
    dismissed: float = 0.1
    square_um: float = 256.0
    unseen: float = 0.05
    overhead: float = 0.5


@dataclass(frozen=True)
class Account:
    """What looking coarsely first has saved, and what it may have missed.

    `audit` is "not needed" where nothing was skipped. `skipped_mm2`: tissue where the map is 0
    because of it; `audited_mm2` of what would be, or was, skipped was looked at in full, in
    `audited_squares`. Of the rest, with a certainty of `level`, at most `at_most_missed_mm2` is
    tumour. The pixels that the network looked at: at first (`read_coarse`), in the audit, for the
    map (`read_full`), and what a map without all this takes (`read_plain`).
    """

    coarser: int
    audit: Literal["passed", "failed", "not needed"]
    read_plain: int
    read_full: int
    read_coarse: int = 0
    read_audit: int = 0
    skipped_mm2: float = 0.0
    audited_mm2: float = 0.0
    audited_squares: int = 0
    at_most_missed_mm2: float = 0.0
    level: float = LEVEL

    @property
    def saving(self) -> float:
        """The share of the plain reading that was saved; below 0 where it came to more."""
        read = self.read_coarse + self.read_audit + self.read_full
        return 1 - read / self.read_plain if self.read_plain else 0.0


@dataclass(frozen=True)
class Choice:
    """What the full pass is to cover, and why; `windows` of other passes were gone through."""

    tissue: TissueMask
    account: Account | None = None
    windows: int = 0


def look_first(
    sweep: Sweep,
    frame: Frame,
    tissue: TissueMask,
    foreground: int,
    how: CoarseFirst,
    progress: Progress | None = None,
) -> Choice:
    """Look at a slide coarsely, and choose where the full pass runs.

    `frame` is the model's over the slide, `foreground` the class that is looked for. The same
    slide, model and `how` give the same choice.

    Raises:
        SlideError: the slide cannot be read.
    """
    plain = sweep.plan(frame, tissue)
    squares = _Squares.over(frame, tissue, sweep.network, how)
    everything = Account(how.coarser, "not needed", area_read(plain), area_read(plain))
    coarse = sweep.plan(squares.coarse_frame, squares.coarse_tissue)
    number = fewest_to_draw(squares.number, how.unseen)
    audit_most = number * (squares.side + 2 * sweep.network.halo) ** 2
    if area_read(coarse) + audit_most > how.overhead * everything.read_plain:
        return Choice(tissue, everything)
    everything = replace(everything, read_coarse=area_read(coarse))
    heard = (lambda done: progress(done, len(coarse) + len(plain))) if progress else None
    cold = squares.cold(squares.scores(sweep, coarse, foreground, heard), how)
    drawn = squares.drawn(cold, how)
    fine, audited = squares.outside(cold), squares.within(drawn)
    audit, full = squares.windows(drawn, sweep.network.halo), sweep.plan(frame, fine)
    if sum(map(area_read, (coarse, audit, full))) >= everything.read_plain:
        return Choice(tissue, everything, len(coarse))
    found = _first_tumour(sweep, frame, audited, audit, foreground, how.threshold)
    told = replace(
        everything,
        read_audit=area_read(audit if found is None else audit[: found + 1]),
        audited_mm2=audited.area_mm2,
        audited_squares=int(drawn.sum()),
    )
    if found is not None:
        return Choice(tissue, replace(told, audit="failed"), len(coarse))
    account = replace(
        told,
        audit="passed",
        read_full=area_read(full),
        skipped_mm2=squares.within(cold).area_mm2,
        at_most_missed_mm2=squares.most_missed_mm2(cold, drawn),
    )
    return Choice(fine, account, len(coarse))


def _first_tumour(
    sweep: Sweep,
    frame: Frame,
    tissue: TissueMask,
    windows: list[Window],
    foreground: int,
    threshold: float,
) -> int | None:
    """The first of some windows in which tissue is tumour; None where none is."""
    map_frame = frame.coarser(sweep.network.output_stride)
    for number, (box, planes) in enumerate(sweep.maps(frame, windows)):
        if ((planes[foreground] / 255 > threshold) & tissue.on(map_frame, box)).any():
            return number
    return None


@dataclass(frozen=True)
class _Squares:
    """Equal squares over a slide's tissue, the unit of what is skipped and audited.

    A square is `side` pixels of the model's frame and `times` of the tissue mask's;
    `tissue.mask.shape / times`, rounded up, is the shape of all masks of squares. A pixel of
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
        cls, frame: Frame, tissue: TissueMask, network: NetworkConfig, how: CoarseFirst
    ) -> "_Squares":
        pixel = math.lcm(tissue.factor, how.coarser * network.output_stride)
        wanted = max(1, round(how.square_um / frame.mpp[0]))
        side = round_up(wanted, math.lcm(pixel, network.total_stride))
        coarse = tissue.coarser(pixel // tissue.factor)
        times = side // tissue.factor
        return cls(
            tissue,
            side,
            times,
            tissue.coarser(times).mask,
            frame.coarser(how.coarser),
            replace(coarse, factor=coarse.factor // how.coarser),
            network.output_stride,
            how.coarser,
        )

    @property
    def number(self) -> int:
        """How many squares hold tissue."""
        return int(self.has_tissue.sum())

    def scores(
        self,
        sweep: Sweep,
        windows: list[Window],
        foreground: int,
        heard: Callable[[int], None] | None,
    ) -> Stored:
        """The highest coarse value on the tissue of each square; uint8 [rows, columns]."""
        scores = np.zeros(self.has_tissue.shape, np.uint8)
        map_frame = self.coarse_frame.coarser(self.output_stride)
        per_square = self.side // (self.coarser * self.output_stride)
        for done, (box, planes) in enumerate(sweep.maps(self.coarse_frame, windows), 1):
            values = planes[foreground] * self.coarse_tissue.on(map_frame, box)
            _raise_to(scores, values, box.intersection(map_frame.box), per_square)
            if heard:
                heard(done)
        return scores

    def cold(self, scores: Stored, how: CoarseFirst) -> Mask:
        """The squares of tissue that may be skipped."""
        hot = scores / 255 > how.dismissed * how.threshold
        cold: Mask = self.has_tissue & ~ndimage.binary_dilation(hot, NEIGHBOURS)
        return cold

    def drawn(self, cold: Mask, how: CoarseFirst) -> Mask:
        """Those of the cold squares that are audited."""
        places = np.flatnonzero(cold)
        number = fewest_to_draw(places.size, how.unseen)
        chosen = np.zeros(cold.shape, np.bool_)
        chosen.flat[random.Random(how.seed).sample(places.tolist(), number)] = True
        return chosen

    def windows(self, squares: Mask, halo: int) -> list[Window]:
        """A window for each of some squares: all of one shape, which a network is fast with."""
        side = self.side
        boxes = (Box(x * side, y * side, side, side) for y, x in np.argwhere(squares).tolist())
        return [Window(box.padded(halo), box) for box in boxes]

    def within(self, squares: Mask) -> TissueMask:
        """The tissue in some of the squares."""
        return self.tissue.within(squares, self.times)

    def outside(self, squares: Mask) -> TissueMask:
        """The tissue in all the others."""
        return self.within(~squares)

    def most_missed_mm2(self, cold: Mask, audited: Mask) -> float:
        """How much of what was skipped may be tumour when none is in what was audited."""
        bad = most_bad(int(cold.sum()), int(audited.sum()))
        unseen = self.within(cold & ~audited)
        areas = unseen.counts(self.times).ravel() * unseen.frame.pixel_area_mm2
        return largest_sum(areas.tolist(), bad)


def _raise_to(scores: Stored, values: npt.NDArray[np.uint8], box: Box, per_square: int) -> None:
    """Raise scores to the highest value in each square; `values` begin where `box` does."""
    values = values[: box.height, : box.width]
    rows, columns = (
        np.arange(first, last) // per_square
        for first, last in ((box.y, box.bottom), (box.x, box.right))
    )
    for axis, numbers in enumerate((rows, columns)):
        values = np.maximum.reduceat(values, np.flatnonzero(np.diff(numbers, prepend=-1)), axis)
    part = scores[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.maximum(part, values, out=part)
