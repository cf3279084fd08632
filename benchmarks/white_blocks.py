"""Are white blocks a cue? What a map changes beside squares that are painted into its slide.

    python -m benchmarks.white_blocks COHORT.csv FOLDS [--config NAME] [--share 0.1]
        [--slides N] [--markdown docs/results.md]

The publishers of the cohort left cells of 50 x 50 pixels white where there was little tissue. Here
such cells are painted white at random within tissue, or all that is no tissue is, and what the map
says of the tissue that is left is compared with what it said before. A block also takes away what
lay there; the same blocks in the slide's mean colour of tissue show how much of the change is that.
FOLDS is what `extent crossvalidate COHORT.csv --out FOLDS` wrote: each slide is mapped by a network
that never saw its patient. Farther from any block than the network sees, nothing can change.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy.ndimage import distance_transform_edt

from benchmarks.tables import Table, put_section
from model.checkpoint import Checkpoint, load_checkpoint
from model.cohort import Case, read_cohort
from model.crossvalidate import fold_splits
from model.predictor import Execution, Predictor, load_predictor
from service.calibrating import CALIBRATED_MODEL
from service.cli_train import load_config
from tiling.frame import Box
from tiling.grid import round_up
from tiling.slide import Slide
from tiling.tissue import find_tissue

BLOCK = 50  # model pixels
WHITE = 255
BANDS_UM = (0, 100, 250, 500)  # from the nearest block
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What painting did to one slide's tissue that was not painted.

    A row of `bands` is pixels, the sum of |change| of probability and the sum of change within a
    band of distances; `before` and `after` are pixels above the threshold, all distances together.
    """

    patient: str
    bands: npt.NDArray[np.float64]  # [len(BANDS_UM) - 1, 3]
    before: int
    after: int


class Painted:
    """A slide in the model's pixels, its tissue, and its map as it is."""

    def __init__(self, slide: Slide, checkpoint: Checkpoint, predictor: Predictor) -> None:
        self._card, self._predictor = checkpoint.card, predictor
        network = checkpoint.card.network
        frame = slide.frame(self._card.mpp)
        sides = (round_up(side, network.total_stride) for side in (frame.width, frame.height))
        self._box = Box(0, 0, *sides)
        self._halo, self._stride = network.halo, network.output_stride
        self._pixels = slide.read(frame, self._box.padded(self._halo))
        coarse = frame.coarser(self._stride)
        tissue = find_tissue(slide, frame, output_stride=self._stride)
        self.tissue: Mask = tissue.on(coarse, self._box.scaled_down(self._stride))
        self._before = self._map(self._pixels)

    @property
    def tissue_pixels(self) -> Mask:
        """bool [height, width] of the model's pixels."""
        return self.tissue.repeat(self._stride, axis=0).repeat(self._stride, axis=1)

    @property
    def tissue_colour(self) -> npt.NDArray[np.uint8]:
        """The mean colour of tissue, RGB."""
        inner = self._pixels[self._halo : -self._halo, self._halo : -self._halo]
        mean: npt.NDArray[np.uint8] = (
            inner[self.tissue_pixels].mean(axis=0).round().astype(np.uint8)
        )
        return mean

    def change(self, patient: str, where: Mask, colour: npt.ArrayLike) -> Change:
        """Paint the model's pixels `where` (bool [height, width]) in a colour, and look again."""
        painted = self._pixels.copy()
        painted[self._halo : -self._halo, self._halo : -self._halo][where] = colour
        stride, (height, width) = self._stride, self.tissue.shape
        touched = where.reshape(height, stride, width, stride).any(axis=(1, 3))
        kept = self.tissue & ~touched
        change = self._map(painted) - self._before
        away_um = distance_transform_edt(~touched) * stride * self._card.mpp
        rows = []
        for low, high in pairwise(BANDS_UM):
            within = change[kept & (away_um > low) & (away_um <= high)]
            rows.append((within.size, np.abs(within).sum(), within.sum()))
        threshold = self._card.threshold
        counts = (int((p[kept] > threshold).sum()) for p in (self._before, self._before + change))
        return Change(patient, np.array(rows, np.float64), *counts)

    def _map(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        edge = self._halo // self._stride
        found = self._predictor(pixels[None])[0, self._card.foreground]
        return found[edge:-edge, edge:-edge].copy()


def blocks(tissue: Mask, share: float, seed: int) -> Mask:
    """Cells of BLOCK pixels that are half tissue or more, each drawn with a chance of `share`."""
    height, width = (-(-side // BLOCK) * BLOCK for side in tissue.shape)
    padded = np.zeros((height, width), bool)
    padded[: tissue.shape[0], : tissue.shape[1]] = tissue
    cells = padded.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3)) >= 0.5
    drawn = cells & (np.random.default_rng(seed).random(cells.shape) < share)
    whole = drawn.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return whole[: tissue.shape[0], : tissue.shape[1]]


def changes(
    case: Case, checkpoint: Checkpoint, predictor: Predictor, share: float, seed: int
) -> dict[str, Change]:
    """What each way of painting does to one slide."""
    with Slide.open(case.slide, case.resolution) as slide:
        painted = Painted(slide, checkpoint, predictor)
    tissue = painted.tissue_pixels
    drawn = blocks(tissue, share, seed)
    return {
        f"{share:.0%} of the tissue's cells white": painted.change(case.patient, drawn, WHITE),
        "the same in the tissue's mean colour": painted.change(
            case.patient, drawn, painted.tissue_colour
        ),
        "all that is no tissue white": painted.change(case.patient, ~tissue, WHITE),
    }


def held_out(cohort: Path, folds: Path, config: Path | None) -> Iterator[tuple[Case, Path]]:
    """Each case with the model that never saw its patient; folds as `extent crossvalidate` has."""
    table, count = read_cohort(cohort), len(list(folds.glob("fold-*")))
    for number, split in enumerate(fold_splits(table, load_config(config), count, 0)):
        for case in table.of_patients(split["test"]):
            yield case, folds / f"fold-{number}" / CALIBRATED_MODEL


def table_of(found: Mapping[str, Sequence[Change]]) -> Table:
    rows = []
    for name, each in found.items():
        bands = np.sum([change.bands for change in each], axis=0)
        ratios = [change.after / change.before for change in each if change.before]
        before, after = (sum(getattr(c, part) for c in each) for part in ("before", "after"))
        near = bands.sum(axis=0)
        rows.append(
            [
                name,
                *(f"{row[1] / max(1, row[0]):.3f}" for row in bands),
                f"{near[2] / max(1, near[0]):+.3f}",
                f"{after / before - 1:+.1%}",
                f"{np.min(ratios) - 1:+.0%} to {np.max(ratios) - 1:+.0%}",
            ]
        )
    near = [f"{low} to {high} µm" for low, high in pairwise(BANDS_UM)]
    columns = ("painted", *near, f"up or down, to {BANDS_UM[-1]} µm", "tumour area", "a slide's")
    note = (
        "Mean absolute change of probability on tissue that is not painted, by the distance to the "
        "nearest painted pixel; its mean with sign; and how much larger or smaller the tumour on "
        f"that tissue becomes, on all {len(next(iter(found.values())))} slides and on single ones."
    )
    return Table("White blocks", columns, rows, [note])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slides", type=int, help="only so many, where time is short")
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    found: dict[str, list[Change]] = {}
    cases = islice(held_out(asked.cohort, asked.folds, asked.config), asked.slides)
    for number, (case, model) in enumerate(cases):
        checkpoint = load_checkpoint(model)
        predictor = load_predictor(checkpoint, Execution())
        seed = asked.seed + number
        for name, change in changes(case, checkpoint, predictor, asked.share, seed).items():
            found.setdefault(name, []).append(change)
    table = table_of(found)
    table.show(Console())
    if asked.markdown:
        put_section(asked.markdown, "white-blocks", table.markdown())


if __name__ == "__main__":
    main()
