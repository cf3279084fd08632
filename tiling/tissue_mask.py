"""A tissue mask: where on a slide a map may have values."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .frame import Box, Frame, Pair

Mask = npt.NDArray[np.bool_]  # [h, w]
Signal = npt.NDArray[np.float32]  # [h, w]
Region = tuple[float, float, float, float]  # left, top, right, bottom in a mask's pixels
WHOLE: Region = (-math.inf, -math.inf, math.inf, math.inf)


@dataclass(frozen=True)
class TissueMask:
    """Tissue on a slide.

    `mask` is bool [frame.height, frame.width], True on tissue; a pixel of `frame` is `factor` x
    `factor` pixels of the model's frame. `extent` is the scanned plane's width and height in
    pixels of `frame`: the last pixels may stick out of it. Nothing outside `region` counts.
    """

    frame: Frame
    factor: int
    mask: Mask
    extent: Pair
    region: Region = WHOLE

    def restricted(self, region_level0: Box) -> "TissueMask":
        """The tissue within a box of level-0 pixels: of finer pixels those with their centre in it.

        An edge of the box that lies beyond the scanned plane cuts nothing off.
        """
        left, top = self.frame.from_level0(region_level0.x, region_level0.y)
        edges = self.frame.from_level0(region_level0.right, region_level0.bottom)
        right, bottom = (
            edge if edge < extent else math.inf
            for edge, extent in zip(edges, self.extent, strict=True)
        )
        cut = replace(self, region=(left, top, right, bottom))
        across, down = (cover > 0 for cover in cut._covers())
        return replace(cut, mask=self.mask & down[:, None] & across)

    def coarser(self, times: int) -> "TissueMask":
        """The mask in pixels `times` as long: True where any of a pixel is tissue."""
        left, top, right, bottom = (edge / times for edge in self.region)
        return TissueMask(
            self.frame.coarser(times),
            self.factor * times,
            self.counts(times) > 0,
            (self.extent[0] / times, self.extent[1] / times),
            (left, top, right, bottom),
        )

    def counts(self, times: int) -> npt.NDArray[np.int64]:
        """How many pixels are tissue in each pixel of the mask that is `times` as coarse."""
        rows, columns = (np.arange(0, size, times) for size in self.mask.shape)
        down = np.add.reduceat(self.mask, rows, axis=0, dtype=np.int64)
        across: npt.NDArray[np.int64] = np.add.reduceat(down, columns, axis=1)
        return across

    def within(self, kept: Mask, times: int) -> "TissueMask":
        """The tissue in those pixels of the mask that is `times` as coarse that `kept` says."""
        height, width = self.mask.shape
        inside = kept.repeat(times, axis=0).repeat(times, axis=1)[:height, :width]
        return replace(self, mask=self.mask & inside)

    @cached_property
    def area_mm2(self) -> float:
        """The tissue's area within the scanned plane."""
        return self.area_of_mm2(self.mask)

    def area_of_mm2(self, share: npt.NDArray[np.bool_] | Signal) -> float:
        """The area of another mask, or of shares 0-1, on the same frame, within the plane."""
        across, down = self._covers()
        return float(down @ (share @ across)) * self.frame.pixel_area_mm2

    def _covers(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How much of each column and of each row lies in plane and region, 0-1."""
        left, top, right, bottom = self.region
        return (
            _cover(left, min(right, self.extent[0]), self.frame.width),
            _cover(top, min(bottom, self.extent[1]), self.frame.height),
        )

    def in_box(self, box: Box) -> Mask:
        """The mask over a box of the model's pixels; bool [box.height, box.width].

        False beyond the frame.
        """
        return self._enlarged(box, self.factor)

    def on(self, frame: Frame, box: Box) -> Mask:
        """The mask over a box of `frame`, whose pixels divide the mask's (as a map's do).

        bool [box.height, box.width]; False beyond.

        Raises:
            ValueError: a mask pixel is not a whole number of the frame's pixels.
        """
        ratio = self.frame.downsample[0] / frame.downsample[0]
        times = round(ratio)
        if times < 1 or abs(ratio - times) > 1e-6:
            raise ValueError(f"a mask pixel is {ratio:g} pixels of that frame, not a whole number")
        return self._enlarged(box, times)

    def _enlarged(self, box: Box, times: int) -> Mask:
        rows, columns = np.arange(box.y, box.bottom), np.arange(box.x, box.right)
        out = np.zeros((box.height, box.width), np.bool_)
        height, width = self.mask.shape
        left, top, right, bottom = (edge * times - 0.5 for edge in self.region)
        y = (rows >= max(0, top)) & (rows < min(height * times, bottom))
        x = (columns >= max(0, left)) & (columns < min(width * times, right))
        out[np.ix_(y, x)] = self.mask[np.ix_(rows[y] // times, columns[x] // times)]
        return out


def _cover(first: float, last: float, size: int) -> npt.NDArray[np.float64]:
    """How much of each of `size` pixels lies within first and last, 0-1."""
    pixels = np.arange(size)
    cover: npt.NDArray[np.float64] = np.clip(
        np.minimum(last, pixels + 1) - np.maximum(first, pixels), 0, 1
    )
    return cover
