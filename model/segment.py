"""A slide and a predictor in, one seam-free map out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiling.canvas import Canvas
from tiling.frame import Box, Frame
from tiling.grid import Window, plan_windows, round_up
from tiling.reader import read_windows
from tiling.slide import Slide
from tiling.tissue import TissueMask, find_tissue

from .checkpoint import Checkpoint
from .network import NetworkConfig
from .predictor import Maps, Predictor

WRITE_SIDE = 1024
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


def window_sides(network: NetworkConfig, write_side: int = WRITE_SIDE) -> tuple[int, int]:
    """The sides of write and read boxes in model pixels: rounded to the stride, halo added."""
    write = round_up(max(1, write_side), network.total_stride)
    return write, write + 2 * network.halo


def segment(
    slide: Slide,
    checkpoint: Checkpoint,
    predictor: Predictor,
    *,
    work: Path,
    key: str,
    write_side: int = WRITE_SIDE,
    progress: Progress | None = None,
) -> ExtentMap:
    """Fill the map of a slide, taking up what an earlier run with the same `key` left in `work`.

    Each window reads a halo as wide as the receptive field and writes its core alone, so the map
    is what one pass over the whole slide would give. `predictor` takes patches of
    `window_sides(...)[1]` pixels, one at a time: a window's values never depend on its company.

    Raises:
        SlideError: the slide cannot be read. ResolutionError: its µm/px is unknown or too coarse.
        ResultError: the canvas cannot be written.
    """
    card, network = checkpoint.card, checkpoint.card.network
    model_frame = slide.frame(card.mpp)
    map_frame = model_frame.coarser(network.output_stride)
    tissue = find_tissue(slide, model_frame, output_stride=network.output_stride)
    write, _ = window_sides(network, write_side)
    windows = plan_windows(
        model_frame,
        tissue,
        write_side=write,
        halo=network.halo,
        stride=network.total_stride,
    )
    canvas = Canvas.open(
        work, key=key, planes=len(card.classes), width=map_frame.width, height=map_frame.height
    )
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
    return ExtentMap(map_frame, card.classes, card.foreground, tissue, canvas)


def window_maps(
    slide: Slide,
    model_frame: Frame,
    windows: Iterable[Window],
    predictor: Predictor,
    network: NetworkConfig,
) -> Iterator[tuple[Window, Maps]]:
    """Each window with the probabilities of its write box; float32 [classes, h, w]."""
    for window, patch in read_windows(slide, model_frame, windows):
        left, top = window.write.x - window.read.x, window.write.y - window.read.y
        core = Box(left, top, window.write.width, window.write.height)
        core = core.scaled_down(network.output_stride)
        maps = predictor(patch[None])
        yield window, maps[0, :, core.y : core.bottom, core.x : core.right]


def stored(probabilities: Maps) -> Stored:
    """Probabilities as maps keep them: uint8, 255 = 1, the nearest value."""
    values: Stored = np.floor(probabilities * 255 + 0.5).astype(np.uint8)
    return values
