"""A slide and a predictor in, one seam-free map out."""

import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from annotations.errors import UsageError
from tiling.canvas import Canvas
from tiling.canvas_view import CanvasFacts
from tiling.frame import Box, Frame
from tiling.grid import round_up
from tiling.slide import Slide
from tiling.tissue import TissueMask, find_tissue

from .adaptive import Account, Choice, CoarseFirst, look_first
from .card_file import ModelFile
from .network_config import NetworkConfig
from .predictor import Predictor
from .windows import Progress, Sweep, unheard

WRITE_SIDE = 3584  # model pixels: larger ones read less and hold more memory


@dataclass(frozen=True)
class ExtentMap:
    """Where on a slide each class is.

    `canvas` holds a plane a class on the pixels of `frame`, uint8, 255 = probability 1; outside
    `tissue` every plane is 0, as it is where the full pass was saved, which `adaptive` tells of.
    `frame` is the model's frame made coarser by its output stride. `region_level0`: the part of the
    slide that alone was looked at, in level-0 pixels; None: all of it.
    """

    frame: Frame
    classes: tuple[str, ...]
    foreground: int
    tissue: TissueMask
    canvas: Canvas
    adaptive: Account | None = None
    region_level0: Box | None = None


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
    coarse_first: CoarseFirst | None = None,
    progress: Progress = unheard,
) -> ExtentMap:
    """Fill the map of a slide, taking up what an earlier run with the same `key` left in `work`.

    With `region_level0` only windows over that box are read, and everything outside it is 0.
    With `coarse_first` tissue where a cheap pass sees nothing is skipped, and is 0 too.

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
    sweep = Sweep(slide, predictor, network, max(1, write_side))
    choice = Choice(tissue)
    if coarse_first is not None:
        choice = look_first(sweep, model_frame, tissue, card.foreground, coarse_first, progress)
        key = f"{key} {sha256(choice.tissue.mask.tobytes()).hexdigest()}"
    canvas = Canvas.open(
        work, key=key, planes=len(card.classes), width=map_frame.width, height=map_frame.height
    )
    try:
        _fill(canvas, sweep, model_frame, choice, progress)
    except BaseException:
        canvas.close()  # what is finished stays
        raise
    return ExtentMap(
        map_frame, card.classes, card.foreground, tissue, canvas, choice.account, region_level0
    )


def _fill(
    canvas: Canvas, sweep: Sweep, model_frame: Frame, choice: Choice, progress: Progress
) -> None:
    """Write what the canvas lacks."""
    stride = sweep.network.output_stride
    map_frame = model_frame.coarser(stride)
    windows = sweep.plan(model_frame, choice.tissue)
    todo = [w for w in windows if not canvas.is_done(w.write.scaled_down(stride))]
    total = choice.windows + len(windows)
    done = total - len(todo)
    progress(done, total)
    for box, planes in sweep.maps(model_frame, todo):
        canvas.write(box, planes * choice.tissue.on(map_frame, box))
        done += 1
        progress(done, total)
    canvas.flush()


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
