"""What a map should be: the network's one pass over a crop of a slide, and how far maps lie off."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tiling.frame import Box, Frame
from tiling.tissue_mask import TissueMask

if TYPE_CHECKING:
    from benchmarks.job import Planned

SIDE = 2048  # model pixels


@dataclass(frozen=True)
class Deviation:
    """How far a map lies from one pass, over the tissue of a crop.

    `largest` and `mean` are probabilities, before rounding; `stored_steps` the largest distance
    of the stored values, in their steps of 1/255 (rounding alone makes up to 0.5), None where
    nothing is stored.
    """

    largest: float
    mean: float
    stored_steps: float | None = None


@dataclass(frozen=True)
class Crop:
    """Part of a slide with the probability that one pass gives for it.

    `box` is in the model's pixels, `box_on_map` the same place in the map's. The file holds
    `probability`, float32 [h, w] of the foreground class, and `tissue`, bool [h, w].
    """

    box: Box
    box_on_map: Box
    path: Path

    def deviation(
        self, probability: NDArray[np.float32], stored: NDArray[np.uint8] | None = None
    ) -> Deviation:
        """Compare the foreground's probability and stored values over the box, both [h, w]."""
        with np.load(self.path) as file:
            expected, tissue = file["probability"], file["tissue"]
        apart = np.abs(probability - expected)[tissue]
        steps = None
        if stored is not None:
            steps = float(np.abs(stored - expected * 255)[tissue].max())
        return Deviation(float(apart.max()), float(apart.mean()), steps)


def pass_once(planned: "Planned", path: Path, side: int = SIDE) -> Crop:
    """Compute the crop of at most `side` x `side` model pixels that holds most tissue.

    In fp32 through torch, with the halo around it, in one piece: seams of windows fall inside it.
    """
    from model.predictor import Execution, load_predictor

    network, card = planned.checkpoint.card.network, planned.checkpoint.card
    box = fullest_box(planned.frame, planned.tissue, side, network.total_stride)
    predictor = load_predictor(planned.checkpoint, Execution("cpu", "torch", "fp32"))
    patch = planned.slide.read(planned.frame, box.padded(network.halo))
    on_map, margin = box.scaled_down(network.output_stride), network.halo // network.output_stride
    maps = predictor(patch[None])[0, card.foreground]
    np.savez(
        path,
        probability=maps[margin : margin + on_map.height, margin : margin + on_map.width],
        tissue=planned.tissue.on(planned.frame.coarser(network.output_stride), on_map),
    )
    return Crop(box, on_map, path)


def fullest_box(frame: Frame, tissue: TissueMask, side: int, stride: int) -> Box:
    """The square inside the frame that holds most tissue, of those at every half of its side.

    Side and origin are multiples of `stride`; the frame must be at least as large.
    """
    side = min(side, frame.width, frame.height) // (2 * stride) * 2 * stride
    boxes = [
        Box(x, y, side, side)
        for y in range(0, frame.height - side + 1, side // 2)
        for x in range(0, frame.width - side + 1, side // 2)
    ]
    return max(boxes, key=lambda box: _share(tissue, box))


def _share(tissue: TissueMask, box: Box) -> float:
    f = tissue.factor
    return float(tissue.mask[box.y // f : box.bottom // f, box.x // f : box.right // f].mean())
