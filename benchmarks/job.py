"""What all contenders do: one slide with one model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.one_pass import Crop, pass_once
from tiling.frame import Frame
from tiling.grid import Window, plan_windows
from tiling.slide import Slide
from tiling.tissue_mask import TissueMask

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Job:
    """A slide and the checkpoint file to map it with."""

    slide: Path
    model: Path


@dataclass(frozen=True)
class Facts:
    """How much a job is. Megapixels are the model's; `mpp` µm per such pixel."""

    mpp: float
    size_level0: tuple[int, int]
    windows: int
    tissue_mm2: float
    tissue_megapixels: float
    read_megapixels: float


@dataclass(frozen=True)
class Planned:
    """A job whose windows are planned, as Extent plans them."""

    slide: Slide
    checkpoint: "Checkpoint"
    frame: Frame
    tissue: TissueMask
    windows: list[Window]

    def facts(self) -> Facts:
        from model.windows import area_read

        tissue = self.tissue.area_mm2
        return Facts(
            mpp=self.checkpoint.card.mpp,
            size_level0=self.slide.size_level0,
            windows=len(self.windows),
            tissue_mm2=tissue,
            tissue_megapixels=tissue / self.frame.pixel_area_mm2 / 1e6,
            read_megapixels=area_read(self.windows) / 1e6,
        )


@contextmanager
def planned(job: Job) -> Iterator[Planned]:
    """Open the slide, find its tissue, plan the windows."""
    from model.checkpoint import load_checkpoint
    from model.segment import WRITE_SIDE
    from tiling.tissue import find_tissue

    checkpoint = load_checkpoint(job.model)
    network = checkpoint.card.network
    with Slide.open(job.slide) as slide:
        frame = slide.frame(checkpoint.card.mpp)
        tissue = find_tissue(slide, frame, output_stride=network.output_stride)
        windows = plan_windows(
            frame,
            tissue,
            write_side=WRITE_SIDE,
            halo=network.halo,
            stride=network.total_stride,
        )
        yield Planned(slide, checkpoint, frame, tissue, windows)


def prepare(slide: Path, model: str, mpp: float | None, folder: Path) -> tuple[Job, Facts, Crop]:
    """The job of mapping a slide with a model's weights taken to be for `mpp` µm/px.

    None: the model's own. Checkpoint and crop are written to the folder. Loads torch: call it in
    a process of its own, for pages that two processes share count half in each.
    """
    from model.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(find_checkpoint(model))
    path = folder / "model.safetensors"
    save_checkpoint(
        path, replace(checkpoint.card, mpp=mpp or checkpoint.card.mpp), checkpoint.network
    )
    job = Job(slide, path)
    with planned(job) as plan:
        return job, plan.facts(), pass_once(plan, folder / "one-pass.npz")
