"""Windows of a slide through a network, at any resolution: what a map is filled by."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiling.frame import Box, Frame
from tiling.grid import Window, plan_windows
from tiling.reader import read_windows
from tiling.slide import Slide
from tiling.tissue_mask import TissueMask

from .network_config import NetworkConfig
from .predictor import Maps, Predictor, in_flight

Stored = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]  # windows done, windows in all


@dataclass(frozen=True)
class Sweep:
    """How a slide is gone over: with which network, in windows of which size.

    `predictor` takes patches one at a time: a window's values never depend on its company.
    `write_side` is as for `plan_windows`.
    """

    slide: Slide
    predictor: Predictor
    network: NetworkConfig
    write_side: int

    def plan(self, frame: Frame, tissue: TissueMask) -> list[Window]:
        """Windows over the tissue; `frame` lies at the µm/px that is to be looked at."""
        return plan_windows(
            frame,
            tissue,
            write_side=self.write_side,
            halo=self.network.halo,
            stride=self.network.total_stride,
        )

    def maps(self, frame: Frame, windows: Iterable[Window]) -> Iterator[tuple[Box, Stored]]:
        """Each window's write box on the map, and what a map keeps of it: uint8 [classes, h, w]."""
        for window, core in window_maps(self.slide, frame, windows, self.predictor, self.network):
            yield window.write.scaled_down(self.network.output_stride), stored(core)


def area_read(windows: Sequence[Window]) -> int:
    """The pixels that a plan has the network look at."""
    return sum(window.read.area for window in windows)


def window_maps(
    slide: Slide,
    model_frame: Frame,
    windows: Iterable[Window],
    predictor: Predictor,
    network: NetworkConfig,
) -> Iterator[tuple[Window, Maps]]:
    """Each window with the probabilities of its write box; float32 [classes, h, w]."""
    read = ((w, pixels[None]) for w, pixels in read_windows(slide, model_frame, windows))
    for window, maps in in_flight(predictor, read):
        left, top = window.write.x - window.read.x, window.write.y - window.read.y
        core = Box(left, top, window.write.width, window.write.height)
        core = core.scaled_down(network.output_stride)
        yield window, maps[0, :, core.y : core.bottom, core.x : core.right]


def stored(probabilities: Maps) -> Stored:
    """Probabilities as maps keep them: uint8, 255 = 1, the nearest value."""
    values: Stored = np.floor(probabilities * 255 + 0.5).astype(np.uint8)
    return values


def unheard(done: int, in_all: int) -> None:
    """Progress that nobody listens to."""
