"""Drawing on pictures: outlines and tints. For people to look at, not to measure.

Colours are told apart by brightness as well as by hue, so that colour-blind people see the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from .resample import RGB

Colour = tuple[int, int, int]
Points = npt.NDArray[np.float64]  # [n, 2]: x, y in a picture's pixels, edges at whole numbers
Share = npt.NDArray[np.float32]  # [h, w], 0-1: how much of a pixel is covered

DARK: Colour = (16, 20, 40)
BRIGHT: Colour = (255, 222, 51)
PALE: Colour = (255, 255, 255)
# Dark blue to yellow, even in brightness to every kind of eye: five stops along cividis
# (Nuñez, Anderton & Renslow 2018, https://doi.org/10.1371/journal.pone.0199239)
SCALE = ((0, 34, 78), (64, 77, 107), (123, 123, 120), (188, 174, 108), (254, 232, 56))
FINER = 2  # lines are drawn on a grid so many times finer, then averaged


def colours(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The colour of each value 0-1 on the scale; float32 [..., 3], 0-255."""
    stops = np.linspace(0, 1, len(SCALE))
    channels = np.array(SCALE, np.float64).T
    mixed = np.stack([np.interp(values, stops, channel) for channel in channels], axis=-1)
    return mixed.astype(np.float32)


def paint(
    picture: RGB, share: Share, colour: Colour | npt.NDArray[np.float32], opacity: float = 1.0
) -> None:
    """Mix a colour, or one a pixel ([h, w, 3]), into a picture where `share` covers it."""
    where = share > 0
    weight = share[where][:, None] * np.float32(opacity)
    new = np.asarray(colour, np.float32)
    new = new[where] if new.ndim == 3 else new
    picture[where] = np.rint(picture[where] * (1 - weight) + new * weight).astype(np.uint8)


@dataclass(frozen=True)
class Paths:
    """Lines one after another: their `points`, and the number of the line that each is on, int [n].

    All at once, because a speckled map has too many to draw one by one.
    """

    points: Points
    number: npt.NDArray[np.int64]

    @classmethod
    def joined(cls, lines: Sequence[Points]) -> "Paths":
        """Lines given one by one."""
        number = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        return cls(np.concatenate([np.empty((0, 2)), *lines]), number)

    @classmethod
    def along(cls, rings: npt.NDArray[np.object_]) -> "Paths":
        """Along shapely's rings."""
        return cls(*shapely.get_coordinates(rings, return_index=True))

    @property
    def edges(self) -> tuple[Points, Points, npt.NDArray[np.int64]]:
        """Start and end of each edge, and the number of its line."""
        within = self.number[1:] == self.number[:-1]
        return self.points[:-1][within], self.points[1:][within], self.number[1:][within]


def rounded(rings: Paths, cut: Points) -> Paths:
    """Closed rings with each corner cut off, by `cut` (x, y) or half its edges if they are short.

    Takes the stairs out of outlines traced along pixel edges; `cut` is half a pixel of theirs.
    """
    start, end, number = rings.edges
    edge = end - start
    with np.errstate(divide="ignore"):
        part = np.minimum(cut / np.abs(edge), 0.5).min(axis=1, keepdims=True)
    points = np.stack([start + part * edge, end - part * edge], axis=1).reshape(-1, 2)
    number = number.repeat(2)
    first = np.flatnonzero(np.diff(number, prepend=-1))
    after = np.append(first[1:], len(number))[: len(first)]
    return Paths(
        np.insert(points, after, points[first], axis=0), np.insert(number, after, number[first])
    )


def strokes(paths: Iterable[Paths], size: tuple[int, int], widths: Sequence[float]) -> list[Share]:
    """How much of each pixel lines along all `paths` cover, for each of `widths` in pixels.

    `size` is the picture's width and height. However small a ring, it leaves a dot. Paths are
    looked at one after the other, so that not all need to be there at once.
    """
    thin = np.zeros((size[1] * FINER, size[0] * FINER), np.bool_)
    for each in paths:
        _trace(each, thin)
    return [_averaged(_thickened(thin, line * FINER / 2)) for line in widths]


def _trace(paths: Paths, thin: npt.NDArray[np.bool_]) -> None:
    """Set the pixels of the finer grid that lines pass through."""
    finer = np.array(thin.shape[::-1])
    # Lines that leave the picture are followed no further than its own size.
    near = np.clip(paths.points * FINER, -finer, 2 * finer)
    near -= near == finer  # along the far edges: the last pixels
    paths = Paths(np.floor(near), paths.number)
    start, end, _ = (part.astype(np.int64) for part in paths.edges)
    steps = np.abs(end - start).max(axis=1)
    edge = np.repeat(np.arange(len(steps)), steps)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)
    way = (end - start)[edge] * (2 * step[:, None]) + steps[edge, None]
    between = start[edge] + way // (2 * steps[edge, None])
    places = np.concatenate([paths.points.astype(np.int64), between])
    x, y = places[((places >= 0) & (places < finer)).all(axis=1)].T
    thin[y, x] = True


def _thickened(thin: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    """Every set pixel becomes a disk: from its poles to its middle, rows that grow wider."""
    spread, half = thin, 0
    thick = np.zeros_like(thin)
    for away in range(min(int(radius), len(thin) - 1), -1, -1):
        while half < int((radius**2 - away**2) ** 0.5):
            wider = spread.copy()
            wider[:, 1:] |= spread[:, :-1]
            wider[:, :-1] |= spread[:, 1:]
            spread, half = wider, half + 1
        thick[away:] |= spread[: len(spread) - away]
        thick[: len(spread) - away] |= spread[away:]
    return thick


def _averaged(mask: npt.NDArray[np.bool_]) -> Share:
    count = np.zeros((len(mask) // FINER, mask.shape[1] // FINER), np.uint8)
    for y in range(FINER):
        for x in range(FINER):
            count += mask[y::FINER, x::FINER]
    share: Share = count.astype(np.float32) / np.float32(FINER**2)
    return share


@dataclass(frozen=True)
class Pen:
    """A line on a wider one, dark on bright or bright on dark: seen on pale and on dark tissue.

    Widths are in pixels.
    """

    colour: Colour
    width: float
    casing: Colour
    casing_width: float
    casing_opacity: float = 0.8
