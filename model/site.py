"""The part of a slide that a network's answer about a region hangs on, and the answer itself."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotations.errors import UsageError
from tiling.frame import Box, Frame
from tiling.resample import RGB
from tiling.slide import Slide
from tiling.tissue import find_tissue

from .card import ModelCard
from .checkpoint import Checkpoint
from .network import Network
from .segment import check_region
from .stand_in import StandIn, find_stand_in

MOST_SIDE = 512  # model pixels of a region's longer side: what is computed grows with its square
SEARCH = 256  # model pixels around the window in which a stand-in is looked for

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Site:
    """A region with the halo around it: nothing further away can change what is said of it.

    `frame` holds the window's pixels, at the model's µm/px; `pixels` is uint8 [h, w, 3] on it.
    `probability` of the foreground, float32, and `counted`, True on those map pixels of the region
    that are tissue, are [h, w] over the output stride. `region` is where these lie, in the window's
    pixels. `stand_in` is tissue that may take the place of any other.
    """

    frame: Frame
    pixels: RGB
    probability: Floats
    counted: npt.NDArray[np.bool_]
    region: Box
    stand_in: StandIn

    @classmethod
    def read(cls, slide: Slide, checkpoint: Checkpoint, region_level0: Box) -> Self:
        """Look at a region of a slide, given in level-0 pixels.

        Raises:
            UsageError: the region is empty, off the slide, without tissue or too large; or there
                is no tissue near it to stand in.
            SlideError: the slide cannot be read. ResolutionError: its µm/px is unknown.
        """
        card = checkpoint.card
        network, stride = card.network, card.output_stride
        model_frame = slide.frame(card.mpp)
        map_frame = model_frame.coarser(stride)
        check_region(slide, map_frame, region_level0)
        core = _pixels_within(map_frame, region_level0)
        _check_size(core, card, model_frame)
        tissue = find_tissue(slide, model_frame, output_stride=stride).on(map_frame, core)
        if not tissue.any():
            raise UsageError("the region holds no tissue: choose one that does")
        region = Box(*(value * stride for value in (core.x, core.y, core.width, core.height)))
        window = _on_lattice(region, network.total_stride).padded(network.halo)
        around = window.padded(SEARCH)
        pixels = slide.read(model_frame, around.padded(network.halo))
        odds = log_odds(checkpoint.network, card.foreground, as_planes(pixels))[0].numpy()
        probability = _inside(1 / (1 + np.exp(-odds)), network.halo // stride)
        stand_in = find_stand_in(_inside(pixels, network.halo), probability, stride)
        region = Box(region.x - window.x, region.y - window.y, region.width, region.height)
        place = region.scaled_down(stride)
        counted = np.zeros((window.height // stride, window.width // stride), np.bool_)
        counted[place.y : place.bottom, place.x : place.right] = tissue
        return cls(
            frame=replace(
                model_frame,
                origin_level0=model_frame.to_level0(window.x, window.y),
                width=window.width,
                height=window.height,
            ),
            pixels=_inside(pixels, network.halo + SEARCH),
            probability=_inside(probability, SEARCH // stride),
            counted=counted,
            region=region,
            stand_in=stand_in.moved(-SEARCH, -SEARCH),
        )


@dataclass(frozen=True)
class Score:
    """What is explained: the mean log-odds of the foreground over the `counted` map pixels.

    A fixed region: it stays the same, whatever is done to the pixels (bool [h, w]).
    """

    network: Network
    foreground: int
    counted: Tensor

    @classmethod
    def of(cls, site: Site, network: Network, card: ModelCard) -> Self:
        return cls(network, card.foreground, torch.from_numpy(site.counted))

    def __call__(self, planes: Tensor) -> Tensor:
        """float [n, 3, H, W] in 0-255 -> float [n]."""
        odds = log_odds(self.network, self.foreground, planes)
        return odds[:, self.counted].mean(1)


def log_odds(network: Network, foreground: int, planes: Tensor) -> Tensor:
    """Log-odds of the foreground against all other classes; [n, 3, H, W] -> [n, h, w]."""
    with torch.set_grad_enabled(planes.requires_grad):
        logits = network(planes)
        others = [c for c in range(logits.shape[1]) if c != foreground]
        return logits[:, foreground] - logits[:, others].logsumexp(1)  # type: ignore[no-any-return]


def as_planes(pixels: RGB) -> Tensor:
    """uint8 [h, w, 3] -> float32 [1, 3, h, w], 0-255."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def _pixels_within(map_frame: Frame, box_level0: Box) -> Box:
    """The map pixels whose centres lie in a box of level-0 pixels."""
    first = map_frame.from_level0(box_level0.x, box_level0.y)
    last = map_frame.from_level0(box_level0.right, box_level0.bottom)
    x, y, right, bottom = (math.ceil(edge - 0.5) for edge in (*first, *last))
    return Box(x, y, right - x, bottom - y).intersection(map_frame.box)


def _check_size(core: Box, card: ModelCard, model_frame: Frame) -> None:
    """Raises UsageError for a region, in map pixels, that would take too long."""
    if max(core.width, core.height) * card.output_stride <= MOST_SIDE:
        return
    across, down = (math.floor(MOST_SIDE * d) for d in model_frame.downsample)
    raise UsageError(
        f"the region is too large: with {card.name} it may be up to {across} level-0 pixels wide "
        f"and {down} high ({MOST_SIDE * card.mpp / 1000:.3g} mm); explain a part of it, or several "
        "parts one after the other"
    )


def _on_lattice(box: Box, stride: int) -> Box:
    """The smallest box on multiples of `stride` that holds another."""
    x, y = box.x // stride * stride, box.y // stride * stride
    return Box(
        x, y, -(-(box.right - x) // stride) * stride, -(-(box.bottom - y) // stride) * stride
    )


def _inside(values: npt.NDArray[Any], margin: int) -> npt.NDArray[Any]:
    """Without `margin` rows and columns on each side."""
    return values[margin:-margin, margin:-margin]
