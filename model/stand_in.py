"""Stroma to occlude with: tissue near by that the network does not take for the foreground.

Black or grey patches are nothing that a network has ever seen, and their edges are structure where
there was none; tissue of the same slide has the same stain and focus.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from annotations.errors import UsageError
from tiling.frame import Box
from tiling.resample import RGB

SIDES = (64, 32, 16)  # pixels of the square that is taken: the largest that is found
STEP = 8  # pixels from one square that is looked at to the next
TISSUE_DENSITY = 0.1  # natural-log optical density above which a pixel is no glass
TISSUE_SHARE = 0.9  # of a square's pixels that must be
LOWEST_SHARE = 0.1  # of the squares: those with the lowest probability, of which a usual one counts

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class StandIn:
    """A square of tissue: where it lies (pixels of the window), and its mean probability.

    `texture` is uint8 [side, side, 3].
    """

    box: Box
    probability: float
    texture: RGB

    def moved(self, x: int, y: int) -> Self:
        """The same in pixels whose origin lies elsewhere."""
        return replace(self, box=replace(self.box, x=self.box.x + x, y=self.box.y + y))

    def spread(self, height: int, width: int, turn: int = 0) -> RGB:
        """The texture all over; uint8 [height, width, 3].

        Mirrored again and again, so that no edges arise; after so many quarter turns, which put
        other pixels at each place.
        """
        texture = np.rot90(self.texture, turn)
        side = len(texture)
        rows, columns = (_mirrored(count, side) for count in (height, width))
        return np.ascontiguousarray(texture[np.ix_(rows, columns)])


def find_stand_in(pixels: RGB, probability: Floats, stride: int) -> StandIn:
    """The square of tissue that stands in for all other.

    Of the squares that are tissue, the tenth with the lowest probability of the foreground is
    taken, and of these the one whose mean optical density is their median: neither fat nor a fold
    nor ink, if there is anything else.

    Args:
        pixels: uint8 [h, w, 3]. probability: [h / stride, w / stride].

    Raises:
        UsageError: there is no square of tissue.
    """
    density = np.log(256) - np.log1p(pixels.mean(axis=2, dtype=np.float32))
    likely = probability.repeat(stride, axis=0).repeat(stride, axis=1)
    for side in SIDES:
        squares = list(_squares(density, likely, side))
        if squares:
            break
    else:
        raise UsageError(
            "there is too little tissue in and around the region to tell what speaks for tumour "
            "from what does not: choose a region with more"
        )
    squares.sort()
    lowest = squares[: max(1, round(LOWEST_SHARE * len(squares)))]
    lowest.sort(key=lambda square: square[1])
    found, _, y, x = lowest[len(lowest) // 2]
    return StandIn(Box(x, y, side, side), found, pixels[y : y + side, x : x + side].copy())


def _squares(density: Floats, likely: Floats, side: int) -> Iterator[tuple[float, float, int, int]]:
    """Of each square of tissue: mean probability, mean density, y and x of its first pixel."""
    tissue = _means(density > TISSUE_DENSITY, side)
    dense, probable = _means(density, side), _means(likely, side)
    for row, column in np.argwhere(tissue >= TISSUE_SHARE).tolist():
        yield float(probable[row, column]), float(dense[row, column]), row * STEP, column * STEP


def _means(values: npt.NDArray[np.generic], side: int) -> Floats:
    """The mean of each square of `side` pixels, STEP pixels apart."""
    sums = np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: Floats = squares[::STEP, ::STEP] / side**2
    return means


def _mirrored(count: int, side: int) -> npt.NDArray[np.int64]:
    """Indices 0 .. side-1 .. 0 .. side-1 and so on."""
    there_and_back = np.arange(count) % (2 * side)
    return np.minimum(there_and_back, 2 * side - 1 - there_and_back)
