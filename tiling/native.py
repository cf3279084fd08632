"""Coarse frames on the pixels that a slide stores: for looking at it quickly."""

import math

import numpy as np
import numpy.typing as npt

from .frame import Frame
from .resample import Level
from .slide import Slide

MOST_OFF = math.log(1.4)
Positions = npt.NDArray[np.float64]


def native_frame(slide: Slide, downsample: float) -> Frame:
    """A frame over the scanned part at about `downsample` level-0 pixels per pixel.

    Its pixels are whole blocks of the pixels of one level, so that none are interpolated: of the
    coarsest level that comes within a factor of 1.4, or else of that which comes closest.
    """

    def step(level: Level) -> int:
        return max(1, round(downsample / level.downsample[0]))

    def off(level: Level) -> float:
        return abs(math.log(step(level) * level.downsample[0] / downsample))

    levels = sorted(slide.levels, key=lambda level: -level.downsample[0])
    level = next((level for level in levels if off(level) < MOST_OFF), min(levels, key=off))
    bounds = slide.bounds_level0
    per_pixel = (level.downsample[0] * step(level), level.downsample[1] * step(level))
    mpp = slide.known_mpp
    return Frame(
        origin_level0=(float(bounds.x), float(bounds.y)),
        downsample=per_pixel,
        mpp=(mpp[0] * per_pixel[0], mpp[1] * per_pixel[1]),
        width=_count(bounds.width, per_pixel[0]),
        height=_count(bounds.height, per_pixel[1]),
    )


def pixel_centres(frame: Frame, target: Frame) -> tuple[Positions, Positions]:
    """Where the centres of a frame's columns and rows lie, in the pixels of another."""
    columns, rows = (
        ((np.arange(count, dtype=np.float64) + 0.5) * own + origin - target_origin) / other
        for count, own, origin, target_origin, other in zip(
            (frame.width, frame.height),
            frame.downsample,
            frame.origin_level0,
            target.origin_level0,
            target.downsample,
            strict=True,
        )
    )
    return columns, rows


def _count(size_level0: int, downsample: float) -> int:
    """Pixels that cover a side; the last may stick out."""
    return max(1, math.ceil(size_level0 / downsample - 1e-6))
