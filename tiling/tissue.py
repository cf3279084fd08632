"""Where tissue is: one mask per slide, whatever windows it is read in later."""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .frame import Box, Frame
from .resample import RGB
from .slide import Slide
from .tissue_mask import Mask as Mask
from .tissue_mask import Signal
from .tissue_mask import TissueMask as TissueMask

Planes = npt.NDArray[np.uint8]  # [3, h, w]

MASK_UM = 20.0  # side of a mask pixel aimed at; a multiple of the output stride decides
MOST_PIXELS = 8_000_000  # of an overview; larger than a slide of 25 x 75 mm it gets coarser
STRIP_PIXELS = 1 << 20  # overview pixels read at a time
MIN_DENSITY, MAX_DENSITY = 0.03, 0.06  # optical density that tissue must exceed: bounds for Otsu
GLASS_DENSITY = 0.03  # Otsu's lower class must be this clear to be glass
COLOURED = 0.03  # optical density by which stained tissue differs between channels
COLOURED_SHARE = 0.05  # of a piece of tissue that must be coloured; less is pen, ink or dust
MIN_PIECE_MM2 = 0.01  # or a hundredth of a tiny picture
MAX_HOLE_MM2 = 0.25
CLOSING_UM = 60.0  # joins the membranes of fat cells
MARGIN_UM = 64.0  # so that tumour on the border is never cut off
BLACK = 12  # channel value up to which a pixel holds no light
DARK_FIELD = 100  # mean channel value under which what is not black is fluorescence


def find_tissue(
    slide: Slide, model_frame: Frame, *, output_stride: int, factor: int | None = None
) -> TissueMask:
    """The tissue of a slide, generously: outside the mask nothing will be called tumour.

    Bright field: optical density above the slide's own glass (Beer-Lambert; Ruifrok & Johnston
    2001), over a threshold after Otsu (1979) where there is glass to tell from tissue, and held
    within fixed bounds: a slide without glass is all tissue, one without tissue is empty. Pieces
    without colour (grey pen, dust, edges of the glass) go; fluorescence counts what is bright.

    Args:
        model_frame: the frame over the slide at the model's µm/px.
        output_stride: model pixels per map pixel; `factor` is a multiple of it, so that a map
            pixel is wholly tissue or not.
        factor: model pixels per mask pixel; by default what comes closest to MASK_UM, and more
            on a slide so large that memory would grow with it.

    Raises:
        ValueError: `factor` is not a multiple of `output_stride`.
        SlideError: pixels cannot be read.
    """
    stride_um = model_frame.mpp[0] * output_stride
    least = coarse_enough(model_frame.coarser(output_stride))
    factor = factor or output_stride * max(round(MASK_UM / stride_um), math.ceil(least))
    if factor % output_stride:
        raise ValueError(f"factor {factor} is not a multiple of the output stride {output_stride}")
    frame = model_frame.coarser(factor)
    pixels = read_overview(slide, frame)
    mask = tissue_of(pixels, frame.mpp[0], cut_out=slide.flat)
    bounds = slide.bounds_level0
    extent = (bounds.width / frame.downsample[0], bounds.height / frame.downsample[1])
    return TissueMask(frame, factor, mask, extent)


def coarse_enough(frame: Frame) -> float:
    """How many pixels of a frame make one of an overview of at most MOST_PIXELS; 1 or more."""
    return max(1.0, math.sqrt(frame.box.area / MOST_PIXELS))


def read_overview(slide: Slide, frame: Frame) -> RGB:
    """All pixels of a coarse frame, read strip by strip; uint8 [h, w, 3]."""
    rows = max(1, STRIP_PIXELS // frame.width)
    strips = [
        Box(0, y, frame.width, min(rows, frame.height - y)) for y in range(0, frame.height, rows)
    ]
    pixels = np.empty((frame.height, frame.width, 3), np.uint8)
    planned = slide.planned(frame, strips)
    for strip in strips:
        pixels[strip.y : strip.bottom] = planned.read(frame, strip)
    return pixels


def tissue_of(pixels: RGB, mpp: float, *, cut_out: bool = False) -> Mask:
    """Tissue in a picture of some 10-100 µm/px; uint8 [h, w, 3] -> bool [h, w].

    With `cut_out` there is tissue, not glass, beyond the picture's edges.
    """
    planes = _planes(pixels)
    lit = planes.max(axis=0) > BLACK
    if not lit.any():
        return np.zeros(lit.shape, np.bool_)
    if is_dark_field(pixels):
        coloured, found = lit, _bright_on_black(planes)
    else:
        padding = large_enough(~lit, MAX_HOLE_MM2, mpp)
        coloured, found = _stained(planes, ~padding)
    found = _disk_closing(found, CLOSING_UM / mpp, cut_out)
    found = ~large_enough(~found, MAX_HOLE_MM2, mpp, open_border=not cut_out)
    least = min(MIN_PIECE_MM2, found.size * mpp**2 / 1e8)
    found = large_enough(found, least, mpp, open_border=cut_out)
    found = _with_colour(found, coloured)
    return _dilated(found, MARGIN_UM / mpp)


def _planes(pixels: RGB) -> Planes:
    """A picture channel by channel, as numpy is fastest at it; uint8 [h, w, 3] -> [3, h, w]."""
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0))


def is_dark_field(pixels: RGB) -> bool:
    """Whether a picture shows light on black (fluorescence); black padding does not count."""
    planes = _planes(pixels)
    lit = planes.max(axis=0) > BLACK
    light = planes.sum(axis=0, dtype=np.uint16)[lit]
    return not light.size or float(np.median(light)) < DARK_FIELD * len(planes)


def _bright_on_black(planes: Planes) -> Mask:
    """Fluorescence: Otsu on the brightest channel, never above a quarter of its 99th percentile."""
    signal = _smoothed(planes.max(axis=0).astype(np.float32))
    high = float(np.percentile(signal, 99))
    found: Mask = signal > np.clip(otsu(signal), 0.1 * high, 0.25 * high)
    return found


def _stained(planes: Planes, lit: Mask) -> tuple[Mask, Mask]:
    """Bright field: which pixels are coloured, and which are denser than glass."""
    tables = -np.log10(np.maximum(np.arange(256, dtype=np.float32), 1)[:, None] / _glass(planes))
    density = np.stack(
        [
            _smoothed(table.take(plane) * lit)
            for table, plane in zip(tables.T.astype(np.float32), planes, strict=True)
        ]
    )
    highest = density.max(axis=0)
    coloured: Mask = highest - density.min(axis=0) > COLOURED
    threshold = MIN_DENSITY
    otsu_threshold = otsu(np.minimum(highest, 1))
    clear = highest[highest <= otsu_threshold]
    if clear.size and float(np.median(clear)) < GLASS_DENSITY:
        threshold = float(np.clip(otsu_threshold, MIN_DENSITY, MAX_DENSITY))
    return coloured, highest > threshold


def _smoothed(signal: Signal) -> Signal:
    """A Gaussian of one pixel, down and then across; each time along memory."""
    for _ in range(2):
        signal = ndimage.gaussian_filter1d(np.ascontiguousarray(signal.T), 1, axis=1)
    return signal


def _glass(planes: Planes) -> npt.NDArray[np.float32]:
    """The commonest bright grey of each channel; pure white is where nothing was scanned."""
    darkest, brightest = planes.min(axis=0), planes.max(axis=0)
    plain = (darkest >= 205) & (darkest < 252) & (brightest - darkest <= 10)
    if np.count_nonzero(plain) < 0.01 * plain.size:
        return np.full(3, 245, np.float32)
    modes = [np.bincount(plane[plain], minlength=256).argmax() for plane in planes]
    return np.array(modes, np.float32)


def otsu(values: Signal) -> float:
    """The threshold that separates two classes best (Otsu 1979); in the unit of the values."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return high
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sum_below = np.cumsum(counts * centres)
    mean_below = sum_below / np.maximum(below, 1)
    mean_above = (sum_below[-1] - sum_below) / np.maximum(above, 1)
    between = below.astype(np.float64) * above * (mean_below - mean_above) ** 2
    return float(edges[1 + int(between.argmax())])


def large_enough(mask: Mask, area_mm2: float, mpp: float, *, open_border: bool = False) -> Mask:
    """The pieces of at least an area; with `open_border` also those that reach the border."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    keep = np.bincount(labels.ravel(), minlength=count + 1) * mpp**2 / 1e6 >= area_mm2
    if open_border:
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            keep[edge] = True
    keep[0] = False
    pieces: Mask = keep[labels]
    return pieces


def _with_colour(mask: Mask, coloured: Mask) -> Mask:
    """The pieces of which COLOURED_SHARE is coloured; a slide all in grey keeps everything."""
    if not coloured.any():
        return mask
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    keep = np.bincount(labels[coloured], minlength=count + 1) >= COLOURED_SHARE * pixels
    keep[0] = False
    pieces: Mask = keep[labels]
    return pieces


def _disk(radius: float) -> Mask:
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk: Mask = x**2 + y**2 <= (radius + 0.3) ** 2
    return disk


def _disk_closing(mask: Mask, radius: float, cut_out: bool) -> Mask:
    n = 2 * int(radius) + 1
    grown = _dilated(np.pad(mask, n, mode="symmetric" if cut_out else "constant"), radius)
    return ~_dilated(~grown, radius)[n:-n, n:-n]


def _dilated(mask: Mask, radius: float) -> Mask:
    """All within a disk around what is set; beyond the edges nothing is. Row of the disk by row."""
    disk = _disk(radius)
    reach = disk.shape[0] // 2
    height, width = mask.shape
    padded = np.pad(mask, reach)
    wider = [padded[:, reach : reach + width]]  # by as many pixels to the left and to the right
    for n in range(1, reach + 1):
        left, right = (padded[:, start : start + width] for start in (reach - n, reach + n))
        wider.append(wider[-1] | left | right)
    grown = np.zeros(mask.shape, np.bool_)
    for y, row in enumerate(disk):
        grown |= wider[np.count_nonzero(row) // 2][y : y + height]
    return grown
