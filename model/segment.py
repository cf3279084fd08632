"""A slide and a predictor in, one seam-free map out."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.errors import UsageError
from tiling.canvas import Canvas
from tiling.canvas_view import CanvasFacts
from tiling.frame import Box, Frame
from tiling.grid import Window, plan_windows, round_up
from tiling.reader import read_windows
from tiling.slide import Slide
from tiling.tissue import TissueMask, find_tissue

from .card_file import ModelFile
from .network_config import NetworkConfig
from .predictor import Maps, Predictor, in_flight

WRITE_SIDE = 2048  # model pixels: larger ones read less and hold more memory
Stored = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]  # windows done, windows in all


@dataclass(frozen=True)
class ExtentMap:
    """Where on a slide each class is.

    `canvas` holds a plane a class on the pixels of `frame`, uint8, 255 = probability 1; outside
    `tissue` every plane is 0. `frame` is the model's frame made coarser by its output stride.
    """

    frame: Frame
    classes: tuple[str, ...]
    foreground: int
    tissue: TissueMask
    canvas: Canvas


def window_side(network: NetworkConfig, write_side: int = WRITE_SIDE) -> int:
    """How long or wide write boxes may be, in model pixels: rounded up to the total stride."""
    return round_up(max(1, write_side), network.total_stride)


def segment(
    slide: Slide,
    checkpoint: ModelFile,
    predictor: Predictor,
    *,
    work: Path,
    key: str,
    write_side: int = WRITE_SIDE,
    region_level0: Box | None = None,
    progress: Progress | None = None,
) -> ExtentMap:
    """Fill the map of a slide, taking up what an earlier run with the same `key` left in `work`.

    With `region_level0` only windows over that box are read, and everything outside it is 0.

    Each window reads a halo as wide as the receptive field and writes its core alone, so the map
    is what one pass over the whole slide would give. `predictor` takes patches one at a time: a
    window's values never depend on its company. `write_side` is as for `plan_windows`.

    Raises:
        SlideError: the slide cannot be read. ResolutionError: its µm/px is unknown or too coarse.
        UsageError: the region holds nothing of the slide.
        ResultError: the canvas cannot be written.
    """
    card, network = checkpoint.card, checkpoint.card.network
    model_frame = slide.frame(card.mpp)
    map_frame = model_frame.coarser(network.output_stride)
    if region_level0 is not None:
        check_region(slide, map_frame, region_level0)
    CanvasFacts(map_frame, card.classes, card.foreground).save(work)
    tissue = find_tissue(slide, model_frame, output_stride=network.output_stride)
    if region_level0 is not None:
        tissue = tissue.restricted(region_level0)
    windows = plan_windows(
        model_frame,
        tissue,
        write_side=max(1, write_side),
        halo=network.halo,
        stride=network.total_stride,
    )
    canvas = Canvas.open(
        work, key=key, planes=len(card.classes), width=map_frame.width, height=map_frame.height
    )
    extent_map = ExtentMap(map_frame, card.classes, card.foreground, tissue, canvas)
    try:
        todo = [w for w in windows if not canvas.is_done(w.write.scaled_down(card.output_stride))]
        done = len(windows) - len(todo)
        if progress:
            progress(done, len(windows))
        for window, core in window_maps(slide, model_frame, todo, predictor, network):
            box = window.write.scaled_down(network.output_stride)
            canvas.write(box, stored(core) * tissue.on(map_frame, box))
            done += 1
            if progress:
                progress(done, len(windows))
        canvas.flush()
    except BaseException:
        canvas.close()  # what is finished stays
        raise
    return extent_map


def check_region(slide: Slide, map_frame: Frame, region_level0: Box) -> None:
    """Make sure that a region, in level-0 pixels, has a place on the map.

    Raises:
        UsageError: it is empty, beyond what was scanned, or smaller than a pixel of the map.
    """
    scanned = slide.bounds_level0
    if region_level0.width < 1 or region_level0.height < 1:
        raise UsageError("a region's width and height must be at least 1 level-0 pixel")
    if not region_level0.intersection(scanned).area:
        raise UsageError(
            f"the region lies outside what was scanned: level-0 pixels {scanned.x} to "
            f"{scanned.right} across and {scanned.y} to {scanned.bottom} down"
        )
    first = map_frame.from_level0(region_level0.x, region_level0.y)
    last = map_frame.from_level0(region_level0.right, region_level0.bottom)
    if any(math.ceil(a - 0.5) >= b - 0.5 for a, b in zip(first, last, strict=True)):
        raise UsageError(
            f"the region is too small: it holds no pixel of the map, whose pixels are "
            f"{map_frame.downsample[0]:.0f} level-0 pixels wide"
        )


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
