"""What spoils a slide, in mm² within the tissue: blur, pen, folds; and how the rest looks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .appearance import Appearance, density_of
from .focus import judge_focus
from .frame import Frame
from .native import native_frame, pixel_centres
from .resample import RGB
from .slide import Slide
from .tissue import Mask, TissueMask, coarse_enough, is_dark_field, large_enough, read_overview

Density = npt.NDArray[np.float32]  # optical density, decadic, of white 245

LOOK_UM = 16.0  # µm/px in which pen and folds are sought, about
STRIP_PIXELS = 1 << 20  # looked at together
BUDGET_LEVEL_PIXELS = 100_000_000  # decoded at most: a second, however large the slide
SPARSE = 4  # every so many pixels tell bright from dark field

SMOOTH_UM = 12.0
PEN_MIN_MM2 = 0.02
PEN_CORE_UM = 40.0  # narrower is no pen
PEN_MARGIN_UM = 50.0  # around pen nothing else is judged
FOLD_WIDTH_UM = 160.0
FOLD_LENGTH_UM = 400.0
FOLD_GAP_UM = 16.0
FOLD_SLIM, FOLD_STRAIGHT = 5.0, 0.5  # length / width; share of the fitted bar that is filled
FOLD_RATIO, FOLD_LIFT = 1.35, 0.15  # denser than what surrounds it: a fold has two or three layers
FOLD_PERCENTILE = 90.0  # of the slide's own tissue, that a fold must exceed


@dataclass(frozen=True)
class Quality:
    """Areas within the tissue, in mm².

    `appearance`: how the tissue looks that is neither folded nor near pen; None where there is too
    little.
    """

    out_of_focus_mm2: float
    pen_mm2: float
    folds_mm2: float
    appearance: Appearance | None = None

    @property
    def flags(self) -> dict[str, float]:
        """The areas, as summary.json has them."""
        return {
            "out_of_focus_mm2": self.out_of_focus_mm2,
            "pen_mm2": self.pen_mm2,
            "folds_mm2": self.folds_mm2,
        }


def assess_quality(
    slide: Slide, tissue: TissueMask, *, budget: int = BUDGET_LEVEL_PIXELS
) -> Quality:
    """Flag what a reader should know of before trusting a map.

    Pen and folds are sought at about LOOK_UM µm/px, on huge slides coarser; a pixel under pen has
    no other flag. Focus is judged as `judge_focus` says, on every k-th block with tissue where
    all of them would decode more than `budget` pixels of the slide's level. Fluorescence has no
    flags: all areas are 0.

    Raises:
        SlideError: pixels cannot be read.
    """
    usual = native_frame(slide, max(1.0, LOOK_UM / slide.known_mpp[0]))
    look = native_frame(slide, usual.downsample[0] * coarse_enough(usual))
    pixels, inside = read_overview(slide, look), _tissue_on(look, tissue)
    if not inside.any() or is_dark_field(pixels[::SPARSE, ::SPARSE]):
        return Quality(0.0, 0.0, 0.0, Appearance.of(pixels, inside, None))
    seen = _Seen(pixels, inside, look.mpp[0])
    clear = inside & ~seen.around_pen & ~seen.folds
    per_pixel_mm2 = tissue.area_mm2 / np.count_nonzero(inside)
    focus = judge_focus(slide, look, clear, budget)
    return Quality(
        float(focus.blurred * np.count_nonzero(clear) * per_pixel_mm2),
        float(np.count_nonzero(seen.pen) * per_pixel_mm2),
        float(np.count_nonzero(seen.folds) * per_pixel_mm2),
        Appearance.of(pixels, clear, focus.sharpness),
    )


def _tissue_on(frame: Frame, tissue: TissueMask) -> Mask:
    """Whether the centre of each pixel of a frame lies in tissue; bool [h, w]."""
    x, y = pixel_centres(frame, tissue.frame)
    height, width = tissue.mask.shape
    columns = np.clip(x.astype(np.int64), 0, width - 1)
    rows = np.clip(y.astype(np.int64), 0, height - 1)
    inside: Mask = tissue.mask[np.ix_(rows, columns)]
    return inside


@dataclass(frozen=True)
class _Seen:
    """Flags on a picture uint8 [h, w, 3] of `mpp` µm/px, within the tissue bool [h, w]."""

    pixels: RGB
    tissue: Mask
    mpp: float

    @cached_property
    def _density(self) -> Density:
        """Of the tissue's pixels, red, green, blue; [3, n]."""
        table = density_of(np.arange(256, dtype=np.float32))
        colours = self.pixels.reshape(-1, 3).take(self._where, axis=0)
        density: Density = table.take(colours.T)
        return density

    @cached_property
    def _where(self) -> npt.NDArray[np.int64]:
        """The tissue's pixels, in the flattened picture."""
        return np.flatnonzero(self.tissue)

    @cached_property
    def pen(self) -> Mask:
        """Ink by colours that haematoxylin and eosin do not make, smooth and broad.

        Both stains, and any mixture, absorb green more than red, and blue least (Ruifrok & Johnston
        2001). Green and blue ink absorb red most; black ink all alike; red ink blue as well as
        green. Blood is red too: only what is darker than it counts. Classes as in HistoQC
        (Janowczyk 2019).
        """
        red, green, blue = self._density
        cold = (red > 0.35) & (red > green + 0.12)
        thick = red > np.maximum(0.8, 0.8 * green)
        least, most = np.minimum(np.minimum(red, green), blue), np.maximum(red, green)
        most = np.maximum(most, blue)
        black = (least > 0.5) & (most - least < 0.35 * most)
        crimson = (green > 0.85) & (blue > 0.7 * green) & (red < 0.4 * green)
        ink = np.zeros(self.tissue.shape, np.bool_)
        ink.ravel()[self._where] = cold | thick | black | crimson
        if not ink.any():
            return ink
        core = int(np.ceil(PEN_CORE_UM / self.mpp - 0.1))
        opened = ndimage.grey_opening(ink.view(np.uint8), size=(core, core))
        return large_enough(opened > 0, PEN_MIN_MM2, self.mpp)

    @cached_property
    def around_pen(self) -> Mask:
        if not self.pen.any():
            return self.pen
        side = 2 * max(1, round(PEN_MARGIN_UM / self.mpp)) + 1
        near: Mask = ndimage.maximum_filter(self.pen, size=side)
        return near

    @cached_property
    def folds(self) -> Mask:
        """Slim straight bands much denser than what surrounds them and than the slide's tissue.

        As Palokangas et al. 2007 and Kothari et al. 2013 do, a fold is found by what several layers
        absorb, relative to its own slide; the background is a morphological opening.
        """
        density = np.zeros(self.tissue.shape, np.float32)
        density.ravel()[self._where] = self._density.mean(axis=0)
        density = ndimage.gaussian_filter(density, SMOOTH_UM / self.mpp, radius=1)
        dense = float(np.percentile(density.ravel()[self._where], FOLD_PERCENTILE))
        width = max(3, round(FOLD_WIDTH_UM / self.mpp))
        bands = np.zeros_like(self.tissue)
        for rows, around in _strips(density, 2 * width):
            inner = slice(rows.start - around.start, rows.stop - around.start)
            bands[rows] = _lifted(density[around], width, dense)[inner]
        bands &= self.tissue & ~self.around_pen
        return _only_bands(bands, self.mpp) & self.tissue


def _strips(density: Density, margin: int) -> Iterator[tuple[slice, slice]]:
    """Rows that hold something, and the same with a margin."""
    height, width = density.shape
    rows = max(1, STRIP_PIXELS // width)
    for y in range(0, height, rows):
        if density[y : y + rows].any():
            stop = min(height, y + rows)
            yield slice(y, stop), slice(max(0, y - margin), min(height, stop + margin))


def _lifted(density: Density, width: int, dense: float) -> Mask:
    """What stands out from what is around it, where that is tissue."""
    size = max(2, width // 2)  # at half the size, where it costs a quarter
    ground = ndimage.grey_opening(density[::2, ::2], size=(size, size))
    ground = ndimage.uniform_filter(ground, max(1, size // 2)).repeat(2, axis=0).repeat(2, axis=1)
    ground = ground[: density.shape[0], : density.shape[1]]
    lifted: Mask = (
        (density > np.maximum(dense, FOLD_RATIO * ground))
        & (density - ground > FOLD_LIFT)
        & (ground > 0.08)
    )
    return lifted


def _only_bands(candidates: Mask, mpp: float) -> Mask:
    if not candidates.any():
        return candidates
    side = 2 * max(1, round(FOLD_GAP_UM / mpp)) + 1
    closed = ndimage.grey_closing(candidates.view(np.uint8), size=(side, side))
    labels, count = ndimage.label(closed, np.ones((3, 3)))
    keep = np.zeros(count + 1, np.bool_)
    for label, where in enumerate(ndimage.find_objects(labels), start=1):
        if np.hypot(*(part.stop - part.start for part in where)) * mpp >= FOLD_LENGTH_UM:
            keep[label] = _is_band(labels[where] == label, mpp)
    bands: Mask = keep[labels]
    return bands


def _is_band(piece: Mask, mpp: float) -> bool:
    """Whether a piece is long, slim and straight, by the bar of the same second moments."""
    points = np.argwhere(piece)
    small, large = np.linalg.eigvalsh(np.cov(points.T))
    length, width = float(np.sqrt(12 * large)), float(np.sqrt(12 * max(small, 0.0) + 1))
    return (
        length * mpp >= FOLD_LENGTH_UM
        and length >= FOLD_SLIM * width
        and len(points) >= FOLD_STRAIGHT * length * width
    )
