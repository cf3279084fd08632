"""Lesions found against false alarms: free-response ROC (FROC).

As the CAMELYON16 challenge scored it (Ehteshami Bejnordi et al., JAMA 2017), with the candidates of
Liu et al. 2017 (arXiv 1703.02442): the map's highest place is a candidate, then the highest that is
not near one, and so on. Counting places rather than outlined regions, a map that calls everything
tumour gains nothing. Our choices, for outlines about as coarse as cells of 200 µm:

- Both sides are seen on squares of LESION_CELL_UM, which keeps memory flat whatever the map.
- Parts of an expert's tumour at most 100 µm apart, corners included, are one lesion; the challenge
  joined below 75 µm. Half of that distance around an outline still belongs to the lesion.
- A lesion counts once however many candidates lie in it, with the highest; a candidate in none
  is a false alarm. Small lesions count: the challenge left those below 200 µm out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .histograms import LEVELS, levels_of
from .metrics import Floats

LESION_CELL_UM = 50.0
APART_UM = 200.0  # how near each other no two candidates lie
RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false alarms a slide that the challenge looked at
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LesionHits:
    """One slide: its `lesions`, and candidates counted by score.

    `found`: lesions by the highest candidate in them, those without any left out; `false_alarms`:
    candidates outside lesions; int64 [LEVELS], the score in thousandths.
    """

    lesions: int
    found: Integers
    false_alarms: Integers

    @classmethod
    def of_cells(cls, scores: Floats, judged: Mask, tumour: Mask, cell_um: float) -> "LesionHits":
        """From square cells of `cell_um`; all [cells down, cells across].

        `scores`: mean probability, 0-1. Cells that are not `judged` hold no candidate.
        """
        lesion, count = ndimage.label(
            ndimage.binary_dilation(tumour & judged, _TOUCHING), _TOUCHING
        )
        levels = np.where(judged, levels_of(scores), 0)
        places = candidates(levels, APART_UM / cell_um)
        inside = lesion[places]
        highest = np.full(count + 1, -1)
        np.maximum.at(highest, inside, levels[places])
        best = highest[1:]
        return cls(
            int(count),
            np.bincount(best[best >= 0], minlength=LEVELS),
            np.bincount(levels[places][inside == 0], minlength=LEVELS),
        )

    def above(self, threshold: float) -> tuple[int, int]:
        """Lesions found and false alarms with scores above a probability."""
        over = np.arange(LEVELS) / (LEVELS - 1) > threshold
        return int(self.found[over].sum()), int(self.false_alarms[over].sum())


_TOUCHING = np.ones((3, 3), np.bool_)  # corners touch


def candidates(levels: Integers, apart: float) -> tuple[Integers, Integers]:
    """Rows and columns of the highest places of which no two are `apart` cells or less apart.

    Highest first, equal ones row by row; 0 is nowhere a candidate.
    """
    reach = int(apart)
    offset = np.arange(-reach, reach + 1)
    beyond = offset[:, None] ** 2 + offset**2 > apart**2
    free = np.pad(levels > 0, reach)
    order = np.argsort(-levels, axis=None, kind="stable")[: int((levels > 0).sum())]
    chosen = []
    for y, x in zip(
        *(axis.tolist() for axis in np.unravel_index(order, levels.shape)), strict=True
    ):
        if free[y + reach, x + reach]:
            chosen.append((y, x))
            free[y : y + 2 * reach + 1, x : x + 2 * reach + 1] &= beyond
    rows, columns = np.array(chosen, np.int64).reshape(-1, 2).T
    return rows, columns


@dataclass(frozen=True)
class Froc:
    """Patients' lesions and candidates, added up; float64.

    `slides`, `lesions` [P]; `found`, `false_alarms` [P, LEVELS]: see LesionHits.
    """

    slides: Floats
    lesions: Floats
    found: Floats
    false_alarms: Floats

    def sensitivity(self, rates: npt.ArrayLike, weights: Floats) -> Floats:
        """The share of lesions found with so many false alarms a slide: [R, rates].

        Between two scores in a straight line, beyond the lowest what all candidates find: as the
        challenge did. NaN without lesions. `weights` [R, P]: how often each patient counts.
        """
        slides, lesions = weights @ self.slides, weights @ self.lesions
        found, alarms = (
            np.pad((weights @ counts)[:, ::-1].cumsum(axis=1), ((0, 0), (1, 0)))
            for counts in (self.found, self.false_alarms)
        )
        at = np.asarray(rates, np.float64)
        rows = [
            np.interp(at, a / s, f / n) if n else np.full(at.shape, np.nan)
            for a, s, f, n in zip(alarms, slides, found, lesions, strict=True)
        ]
        return np.stack(rows)
