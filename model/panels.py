"""Pictures side by side with words beneath: what an explanation is shown as. Uses matplotlib."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from tiling.frame import Box, Pair
from tiling.resample import RGB
from tiling.sheet import ScaleBar

ACROSS, PANEL_INCHES, DPI = 3, 4.0, 160
FOR_AND_AGAINST = "RdBu_r"  # red for, blue against, told apart by colour-blind people too
PALE = 0.45  # how much of the tissue is seen beneath colours
LINE, CHARACTERS = 0.19, 190  # of the words: inches a line, letters in it

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Panel:
    """A picture with a title; where there are `values` [h, w], these in colour on pale tissue.

    `limit`: the value that has the strongest colour. `unit` stands beside the scale.
    """

    title: str
    values: Floats | None = None
    limit: float = 1.0
    unit: str = ""


@dataclass(frozen=True)
class Scene:
    """What all panels lie on; all places in the pixels of `tissue`, uint8 [h, w, 3].

    `outline_at` is the probability whose contour is drawn; `probability` is [h / s, w / s].
    `marks`: numbered from 1. `inset`: a small picture in the corner of the first panel.
    """

    tissue: RGB
    region: Box
    probability: Floats
    outline_at: float
    marks: Sequence[Pair]
    inset: RGB
    um_per_pixel: float


def write_panels(
    path: Path, title: str, panels: Sequence[Panel], scene: Scene, words: Sequence[str]
) -> None:
    """Write a PNG; equal input gives equal bytes."""
    lines = [line for text in words for line in textwrap.wrap(text, CHARACTERS)]
    rows = -(-len(panels) // ACROSS)
    height, width = scene.tissue.shape[:2]
    pictures = rows * (PANEL_INCHES * min(1.5, height / width) + 0.45)
    below = LINE * (len(lines) + 1.5)
    figure = Figure(figsize=(ACROSS * (PANEL_INCHES + 0.75), pictures + below + 0.4), dpi=DPI)
    top, bottom = figure.subfigures(2, 1, height_ratios=(pictures + 0.4, below))
    top.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    top.subplots_adjust(0.01, 0.01, 0.94, 1 - 0.75 / (pictures + 0.4), wspace=0.22, hspace=0.14)
    for number, panel in enumerate(panels):
        axes = top.add_subplot(rows, ACROSS, number + 1)
        _draw(axes, panel, scene, letter="ABCDEFGHI"[number])
    for number, line in enumerate(lines):
        y = 1 - (number + 1) * LINE / below
        bottom.text(0.01, y, line, fontsize=9.5, va="center", family="DejaVu Sans")
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _draw(axes: Axes, panel: Panel, scene: Scene, letter: str) -> None:
    height, width = scene.tissue.shape[:2]
    axes.set_title(f"{letter}  {panel.title}", loc="left", fontsize=10.5)
    shown = scene.tissue if panel.values is None else _tinted(scene.tissue, panel)
    axes.imshow(shown, extent=(0, width, height, 0))
    scale = ScalarMappable(Normalize(-panel.limit, panel.limit), FOR_AND_AGAINST)
    bar = axes.figure.colorbar(scale, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label(panel.unit, fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if panel.values is None:
        bar.ax.set_visible(False)  # it keeps its room, so that all panels are of one size
        _outline(axes, scene)
        _inset(axes, scene.inset, width, height)
        _scale_bar(axes, ScaleBar.fitting(scene.um_per_pixel, width / 3), height)
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    for colour, line in (("black", 3.2), ("white", 1.4)):
        corner = (scene.region.x, scene.region.y)
        axes.add_patch(
            Rectangle(
                corner, scene.region.width, scene.region.height, fill=False, ec=colour, lw=line
            )
        )
    outlined = [withStroke(linewidth=2.6, foreground="white")]
    for number, (x, y) in enumerate(scene.marks, 1):
        axes.text(
            *(x, y, str(number)),
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            path_effects=outlined,
        )


def _tinted(tissue: RGB, panel: Panel) -> RGB:
    """Pale grey tissue, multiplied by the colours of the values."""
    assert panel.values is not None
    grey = 1 - PALE * (1 - tissue.mean(axis=2) / 255)
    colours = colormaps[FOR_AND_AGAINST](np.clip(panel.values / panel.limit, -1, 1) / 2 + 0.5)
    tinted: RGB = np.rint(colours[..., :3] * grey[..., None] * 255).astype(np.uint8)
    return tinted


def _outline(axes: Axes, scene: Scene) -> None:
    """Where the probability crosses the threshold."""
    if not scene.probability.min() < scene.outline_at < scene.probability.max():
        return
    step = scene.tissue.shape[0] / scene.probability.shape[0]
    y, x = ((np.arange(count) + 0.5) * step for count in scene.probability.shape)
    for colour, line in (("#101428", 3.2), ("#ffde33", 1.6)):
        axes.contour(x, y, scene.probability, [scene.outline_at], colors=colour, linewidths=line)


def _inset(axes: Axes, picture: RGB, width: int, height: int) -> None:
    """In the lower right corner, a fifth of the panel wide."""
    corner = axes.inset_axes((0.77, 0.02, 0.21, 0.21 * width / height))
    corner.imshow(picture)
    corner.set(xticks=[], yticks=[])
    corner.spines[:].set(color="white", linewidth=1.8, linestyle="--")


def _scale_bar(axes: Axes, bar: ScaleBar, height: int) -> None:
    y, outlined = height - 12, [withStroke(linewidth=5, foreground="white")]
    axes.plot((12, 12 + bar.pixels), (y, y), color="black", lw=3, path_effects=outlined)
    outlined = [withStroke(linewidth=2.6, foreground="white")]
    axes.text(12, y - 8, bar.text, fontsize=9, va="bottom", path_effects=outlined)
