"""MONAI's inferer for whole slides, used as its documentation shows it.

`PatchInferer` with `WSISlidingWindowSplitter` over OpenSlide and `AvgMerger`: windows of 512 pixels
that overlap by 128, averaged where they do. To be fair to it: the module runs channels_last (the
patch is permuted to the order that it was decoded in, nothing is copied), in inference mode, on as
many threads as there are cores; a thread can decode ahead (`buffer_size`); `filter_fn` leaves out
windows without tissue by Extent's own mask, which costs it nearly nothing, whereas it reads them
all the same, as the splitter asks only afterwards; the map is held in memory and no file is
written. The time counted is from opening the slide to the merged map.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.apart import Timing
from benchmarks.contenders import Stopwatch
from benchmarks.job import Job
from benchmarks.one_pass import Crop, Deviation
from tiling.slide import Slide
from tiling.tissue_mask import TissueMask

if TYPE_CHECKING:
    from torch import Tensor

    from model.card import ModelCard
    from model.network import Probabilities

WINDOW, OVERLAP = 512, 128  # pixels
SAME_SCALE = 0.01  # by which a level's µm/px may differ from the model's: MONAI does not resample


@dataclass(frozen=True)
class Monai:
    """MONAI's inferer in fp32, or in bf16 by autocast.

    `batch` windows are computed at once; a thread decodes `ahead` others meanwhile, 0: none does.
    """

    job: Job
    precision: Literal["fp32", "bf16"]
    batch: int
    ahead: int

    @property
    def name(self) -> str:
        return f"MONAI, torch {self.precision}, batches of {self.batch}, {self.ahead} ahead"

    def load(self) -> "MonaiRunner":
        import monai.inferers  # noqa: F401  # that takes seconds: a part of loading
        import torch

        from model.checkpoint import load_checkpoint
        from model.network import Probabilities

        checkpoint = load_checkpoint(self.job.model)
        module = Probabilities(checkpoint.network).eval()
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return MonaiRunner(self, checkpoint.card, module)


class MonaiRunner:
    """MONAI's inferer with its model loaded; keeps the last map."""

    def __init__(self, asked: Monai, card: "ModelCard", module: "Probabilities") -> None:
        self._asked, self._card, self._module = asked, card, module
        self._map: Tensor | None = None

    def run(self) -> Timing:
        """From before the slide is opened until the map is merged."""
        import torch
        from monai.inferers import AvgMerger, PatchInferer, WSISlidingWindowSplitter

        from tiling.tissue import find_tissue

        self._map = None
        watch = Stopwatch()
        with watch.running(), Slide.open(self._asked.job.slide) as slide:
            frame = slide.frame(self._card.mpp)
            tissue = find_tissue(slide, frame, output_stride=self._card.output_stride)
            splitter = WSISlidingWindowSplitter(
                patch_size=WINDOW,
                overlap=OVERLAP,
                filter_fn=lambda _, location: _has_tissue(tissue, *location),
                reader="openslide",
                level=_level(self._asked.job.slide, slide.known_mpp[0], self._card.mpp),
            )
            inferer = PatchInferer(
                splitter, AvgMerger, batch_size=self._asked.batch, buffer_size=self._asked.ahead
            )
            with torch.inference_mode():
                self._map = inferer(str(self._asked.job.slide), self._network)
        return watch.timing()

    def _network(self, patches: "Tensor") -> "Tensor":
        """uint8 [N, 3, H, W] -> float32 [N, classes, h, w]."""
        import torch

        bf16 = self._asked.precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            maps: Tensor = self._module(patches.permute(0, 2, 3, 1))
        return maps

    def deviation(self, crop: Crop) -> Deviation:
        assert self._map is not None, "run it first"
        box = crop.box_on_map
        part = self._map[0, self._card.foreground, box.y : box.bottom, box.x : box.right]
        return crop.deviation(part.numpy().astype(np.float32))


def _has_tissue(tissue: TissueMask, top: int, left: int) -> bool:
    f = tissue.factor
    rows = slice(max(0, top) // f, -(-(top + WINDOW) // f))
    columns = slice(max(0, left) // f, -(-(left + WINDOW) // f))
    return bool(tissue.mask[rows, columns].any())


def _level(slide: Path, mpp_level0: float, mpp: float) -> int:
    """The slide's level of `mpp` µm/px, as OpenSlide counts levels."""
    from monai.data.wsi_reader import WSIReader

    reader = WSIReader(backend="openslide")
    with reader.read(slide) as opened:
        found = [
            mpp_level0 * reader.get_downsample_ratio(opened, level) / mpp
            for level in range(reader.get_level_count(opened))
        ]
    nearest = min(range(len(found)), key=lambda level: abs(found[level] - 1))
    if abs(found[nearest] - 1) > SAME_SCALE:
        raise SystemExit(f"{slide.name}: no level of {mpp:g} µm/px, and MONAI does not resample")
    return nearest
