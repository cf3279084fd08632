"""Coarse to fine: a cheap pass decides where the full one runs, and a sample is held against it.

The network looks at the whole slide `coarser` times as coarse. Cells of tissue in which, and in
whose neighbours, it then sees next to nothing are skipped. Of these, cells drawn at random are
looked at in full. Does one hold tumour, nothing is skipped; else `model.audit` says how many of
the others may. What the full pass covers has the values that it always has.
"""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from tiling.frame import Frame
from tiling.grid import Window
from tiling.tissue_mask import TissueMask

from .adaptive_cells import Cells, drawn_of
from .audit import LEVEL, fewest_to_draw
from .windows import Progress, Sweep, area_read, unheard


@dataclass(frozen=True)
class CoarseFirst:
    """How a slide is looked at coarsely first.

    Tumour is where the probability is above `threshold`; cells of about `cell_um` whose coarse
    probability stays at `dismissed` x the threshold or below, and that of their neighbours, are
    skipped. So many of them are audited, drawn from `seed`, that at most the share `unseen` may
    hold tumour when none is found. Where coarse pass and audit would read more than the share
    `overhead` of what the full pass reads, neither is begun.
    """

    threshold: float
    seed: int
    coarser: int = 2
    dismissed: float = 0.1
    cell_um: float = 256.0
    unseen: float = 0.05
    overhead: float = 0.5


@dataclass(frozen=True)
class Account:
    """What looking coarsely first has saved, and what it may have missed.

    `audit` is "not needed" where nothing was skipped. `skipped_mm2`: tissue where the map is 0
    because of it; `audited_mm2` of what would be, or was, skipped was looked at in full, in
    `audited_cells`. Of the rest, with a certainty of `level`, at most `at_most_missed_mm2` is
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
    audited_cells: int = 0
    at_most_missed_mm2: float = 0.0
    level: float = LEVEL

    def as_row(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self) | {"saving": round(self.saving, 4)}

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
    progress: Progress = unheard,
) -> Choice:
    """Look at a slide coarsely, and choose where the full pass runs.

    `frame` is the model's over the slide, `foreground` the class that is looked for. The same
    slide, model and `how` give the same choice.

    Raises:
        SlideError: the slide cannot be read.
    """
    halo = sweep.network.halo
    windows = sweep.plan(frame, tissue)
    plain = area_read(windows)
    cells = Cells.over(frame, tissue, sweep.network, coarser=how.coarser, cell_um=how.cell_um)
    coarse = sweep.plan(cells.coarse_frame, cells.coarse_tissue)
    audit_most = fewest_to_draw(cells.number, how.unseen) * cells.window_area(halo)
    account = Account(how.coarser, "not needed", read_plain=plain, read_full=plain)
    if area_read(coarse) + audit_most > how.overhead * plain:
        return Choice(tissue, account)
    in_all = len(coarse) + len(windows)
    scores = cells.scores(sweep, coarse, foreground, lambda done: progress(done, in_all))
    account = replace(account, read_coarse=area_read(coarse))
    cold = cells.cold(scores, how.dismissed * how.threshold)
    drawn = drawn_of(cold, fewest_to_draw(int(cold.sum()), how.unseen), how.seed)
    rest, audit = cells.within(~cold), cells.windows(drawn, halo)
    read_rest = area_read(sweep.plan(frame, rest))
    if account.read_coarse + area_read(audit) + read_rest >= plain:
        return Choice(tissue, account, len(coarse))
    audited = cells.within(drawn)
    account = replace(
        account,
        read_audit=area_read(audit),
        audited_mm2=audited.area_mm2,
        audited_cells=len(audit),
    )
    if _holds_tumour(sweep, frame, audited, audit, foreground, how.threshold):
        return Choice(tissue, replace(account, audit="failed"), len(coarse))
    passed = replace(
        account,
        audit="passed",
        read_full=read_rest,
        skipped_mm2=cells.within(cold).area_mm2,
        at_most_missed_mm2=cells.most_missed_mm2(cold, drawn),
    )
    return Choice(rest, passed, len(coarse))


def _holds_tumour(
    sweep: Sweep,
    frame: Frame,
    tissue: TissueMask,
    windows: list[Window],
    foreground: int,
    threshold: float,
) -> bool:
    """Whether any tissue in some windows is tumour; all of them are looked at."""
    map_frame = frame.coarser(sweep.network.output_stride)
    found = [
        bool(((planes[foreground] / 255 > threshold) & tissue.on(map_frame, box)).any())
        for box, planes in sweep.maps(frame, windows)
    ]
    return any(found)
