"""What spoils a slide: tissue out of focus, under pen, or folded, in mm² within the tissue."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .frame import Box, Frame
from .resample import RGB, best_level
from .slide import Slide
from .tissue import Mask, TissueMask, is_dark_field, large_enough, read_overview

Density = npt.NDArray[np.float32]  # optical density, decadic, of white 245

LOOK_UM = 4.0  # µm/px looked at, or the slide's own where that is coarser
BAND_UM = 8.0  # µm/px in which pen and folds are sought
BLOCK_UM, MARGIN_UM = 3000.0, 256.0
BUDGET_LEVEL_PIXELS = 400_000_000  # decoded at most: seconds, however large the slide
WHITE = 245.0

FOCUS_WINDOW_UM = 128.0
# Fine over coarse variance: real slides in focus have 1st percentiles of 0.07-0.42 (the low ones
# at glass and edges); blurred with a sigma of 6 µm their 99th percentiles are 0.04-0.09
FOCUS_RATIO = 0.10
FOCUS_CONTRAST = 3e-5  # coarse variance under which there is nothing to judge
FOCUS_COARSEST_UM = 6.0  # coarser pixels do not show whether nuclei are sharp

SMOOTH_UM = 12.0
PEN_MIN_MM2 = 0.02
PEN_CORE_UM = 40.0  # narrower is no pen
FOLD_WIDTH_UM = 160.0
FOLD_LENGTH_UM = 400.0
FOLD_SLIM, FOLD_STRAIGHT = 5.0, 0.5  # length / width; share of the fitted bar that is filled
FOLD_RATIO, FOLD_LIFT = 1.35, 0.15  # denser than what surrounds it: a fold has two or three layers
FOLD_PERCENTILE = 90.0  # of the slide's own tissue, that a fold must exceed


@dataclass(frozen=True)
class Quality:
    """Area within the tissue, in mm²."""

    out_of_focus_mm2: float
    pen_mm2: float
    folds_mm2: float


@dataclass(frozen=True)
class Flags:
    """The same as masks at BAND_UM; bool [h, w] each. A pixel under pen has no other flag."""

    out_of_focus: Mask
    pen: Mask
    folds: Mask


def assess_quality(
    slide: Slide, tissue: TissueMask, *, budget: int = BUDGET_LEVEL_PIXELS
) -> Quality:
    """Flag what a reader should know of before trusting a map.

    The slide is looked at in blocks at about LOOK_UM µm/px: blur too slight to see at that
    resolution is no flag. Where that would decode more than `budget` pixels of the slide's level,
    every k-th block with tissue is looked at and the areas are scaled by tissue area.
    Fluorescence has no such flags: all areas are 0.

    Raises:
        SlideError: pixels cannot be read.
    """
    overview = read_overview(slide, tissue.frame)
    if not tissue.mask.any() or is_dark_field(overview):
        return Quality(0.0, 0.0, 0.0)
    dense = float(np.percentile(_density(overview).mean(axis=0)[tissue.mask], FOLD_PERCENTILE))
    frame = _look_frame(slide, tissue)
    times, mpp = _band_times(frame.mpp[0]), frame.mpp[0]
    margin = times * round(MARGIN_UM / mpp / times)
    counts = np.zeros(4)
    for block in _sampled(slide, frame, _blocks(frame, tissue, times), budget):
        around = block.padded(margin)
        mask = tissue.on(frame, around)
        flags = flags_of(slide.read(frame, around), mask, mpp, dense)
        inner = (slice(margin // times, -margin // times),) * 2
        seen = (flags.out_of_focus, flags.pen, flags.folds, mask[::times, ::times])
        counts += [np.count_nonzero(one[inner]) for one in seen]
    out_of_focus, pen, folds = counts[:3] / max(1, counts[3]) * tissue.area_mm2
    return Quality(float(out_of_focus), float(pen), float(folds))


def _look_frame(slide: Slide, tissue: TissueMask) -> Frame:
    """The frame looked at: whole pixels to a mask pixel, so that the mask fits on it."""
    finest = max(LOOK_UM, *slide.known_mpp)
    times = max(1, int(tissue.frame.mpp[0] / finest + 1e-6))
    return slide.frame(tissue.frame.mpp[0] / times)


def _band_times(mpp: float) -> int:
    """Pixels looked at per pixel in which pen and folds are sought."""
    return max(1, round(BAND_UM / mpp))


def _blocks(frame: Frame, tissue: TissueMask, times: int) -> list[Box]:
    """The blocks with tissue, row by row; the last ones stick out of the frame."""
    side = times * max(1, round(BLOCK_UM / frame.mpp[0] / times))
    boxes = [
        Box(x, y, side, side)
        for y in range(0, frame.height, side)
        for x in range(0, frame.width, side)
    ]
    return [box for box in boxes if tissue.on(frame, box).any()]


def _sampled(slide: Slide, frame: Frame, blocks: list[Box], budget: int) -> list[Box]:
    """Every k-th block, so that the budget is kept."""
    level = best_level(slide.levels, frame)
    per_pixel = np.prod(frame.downsample) / np.prod(level.downsample)
    decoded = float(per_pixel) * sum(block.intersection(frame.box).area for block in blocks)
    return blocks[:: max(1, int(np.ceil(decoded / budget)))]


def flags_of(pixels: RGB, tissue: Mask, mpp: float, dense: float) -> Flags:
    """Flags of a picture whose sides are multiples of BAND_UM.

    Args:
        pixels: uint8 [h, w, 3].
        tissue: bool [h, w].
        mpp: µm per pixel, 3-20.
        dense: the mean optical density that a fold exceeds.
    """
    times = _band_times(mpp)
    coarse_mpp, inside = mpp * times, tissue[::times, ::times]
    density = _density(pixels)
    coarse = np.stack([_block_mean(channel, times) for channel in density])
    sigma = SMOOTH_UM / coarse_mpp
    smooth = ndimage.gaussian_filter(coarse, (0, sigma, sigma))
    pen = _pen(smooth, inside, coarse_mpp)
    clear = inside & ~ndimage.binary_dilation(pen, iterations=max(1, round(50 / coarse_mpp)))
    folds = _folds(smooth.mean(axis=0), clear, coarse_mpp, dense)
    if mpp > FOCUS_COARSEST_UM:
        return Flags(np.zeros_like(pen), pen, folds)
    blurred = _blurred(density.mean(axis=0), coarse.mean(axis=0), coarse_mpp)
    return Flags(blurred & clear & ~folds, pen, folds)


def _density(pixels: RGB) -> Density:
    """uint8 [..., 3] -> float32 [3, ...]."""
    table = -np.log10(np.maximum(np.arange(256, dtype=np.float32), 1) / np.float32(WHITE))
    density: Density = np.stack([table[pixels[..., channel]] for channel in range(3)])
    return density


def _block_mean(values: Density, times: int) -> Density:
    """The mean over blocks of `times` x `times`; sums of strided views are the fast way."""
    total = np.zeros_like(values[::times, ::times])
    for y in range(times):
        for x in range(times):
            total += values[y::times, x::times]
    return total / np.float32(times**2)


def _blurred(density: Density, coarse: Density, coarse_mpp: float) -> Mask:
    """Where the finest detail is faint beside the coarser one; on the coarse grid.

    The variance of a Laplacian (Pech-Pacheco et al. 2000) over that of the same an octave pair
    coarser, so that neither stain nor density matters.
    """
    window = max(3, round(FOCUS_WINDOW_UM / coarse_mpp))
    fine = (density - ndimage.gaussian_filter(density, 1.0, truncate=3)) ** 2
    detail = ndimage.uniform_filter(_block_mean(fine, len(density) // len(coarse)), window)
    rough = (coarse - ndimage.gaussian_filter(coarse, 2.0, truncate=3)) ** 2
    contrast = ndimage.uniform_filter(rough, window)
    blurred: Mask = (contrast > FOCUS_CONTRAST) & (detail < FOCUS_RATIO * contrast)
    return blurred


def _pen(density: Density, tissue: Mask, mpp: float) -> Mask:
    """Ink by colours that haematoxylin and eosin do not make, smooth and broad.

    Both stains, and any mixture, absorb green more than red, and blue least (Ruifrok & Johnston
    2001). Green and blue ink absorb red most; black ink all alike; red ink blue as well as green.
    Blood is red too: only what is darker than it counts. Classes as in HistoQC (Janowczyk 2019).
    """
    red, green, blue = density
    cold = (red > 0.35) & (red > green + 0.12)
    thick = red > np.maximum(0.8, 0.8 * green)
    black = (density.min(axis=0) > 0.5) & (np.ptp(density, axis=0) < 0.35 * density.max(axis=0))
    crimson = (green > 0.85) & (blue > 0.7 * green) & (red < 0.4 * green)
    core = max(1, round(PEN_CORE_UM / mpp))
    ink = ndimage.binary_opening((cold | thick | black | crimson) & tissue, np.ones((core, core)))
    return large_enough(ink, PEN_MIN_MM2, mpp)


def _folds(density: Density, tissue: Mask, mpp: float, dense: float) -> Mask:
    """Slim straight bands much denser than what surrounds them and than the slide's tissue.

    As Palokangas et al. 2007 and Kothari et al. 2013 do, a fold is found by what several layers
    absorb, relative to its own slide; the background is a morphological opening.
    """
    width = max(3, round(FOLD_WIDTH_UM / mpp))
    ground = ndimage.uniform_filter(ndimage.grey_opening(density, size=(width, width)), width // 2)
    candidates = (
        tissue
        & (density > np.maximum(dense, FOLD_RATIO * ground))
        & (density - ground > FOLD_LIFT)
        & (ground > 0.08)
    )
    joint = ndimage.generate_binary_structure(2, 1)
    candidates = ndimage.binary_closing(candidates, joint, iterations=max(1, round(16 / mpp)))
    labels, count = ndimage.label(candidates & tissue, np.ones((3, 3)))
    keep = np.zeros(count + 1, np.bool_)
    for label, where in enumerate(ndimage.find_objects(labels), start=1):
        keep[label] = _is_band(labels[where] == label, mpp)
    bands: Mask = keep[labels]
    return bands


def _is_band(piece: Mask, mpp: float) -> bool:
    """Whether a piece is long, slim and straight, by the bar of the same second moments."""
    if float(np.hypot(*piece.shape)) * mpp < FOLD_LENGTH_UM:
        return False
    points = np.argwhere(piece)
    small, large = np.linalg.eigvalsh(np.cov(points.T))
    length, width = float(np.sqrt(12 * large)), float(np.sqrt(12 * max(small, 0.0) + 1))
    return (
        length * mpp >= FOLD_LENGTH_UM
        and length >= FOLD_SLIM * width
        and len(points) >= FOLD_STRAIGHT * length * width
    )
