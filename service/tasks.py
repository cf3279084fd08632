"""What passes between the process that runs a batch and the workers that do a slide each.

Light to import: the batch's own process never needs torch.
"""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Literal

from model.area_interval import AreaInterval
from model.familiarity import Familiarity
from tiling.frame import Box, Pair
from tiling.resolution import Resolution

from .inputs import SlideInput
from .wording import ends

Status = Literal["done", "unchanged", "failed"]
PHASES = ("reading", "canvas", "pyramid", "tracing", "overlay", "publishing")


@dataclass(frozen=True)
class MapSettings:
    """How maps are made, beside slide and model.

    `device`, `runtime`, `precision` may be `auto` until a worker has settled them, and `window`
    (model pixels) and `threshold` None for the defaults. `adaptive` looks coarsely first, and
    skips what shows no tumour. `threads` does not change values.
    """

    device: str = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    threads: int = 0
    window: int | None = None
    threshold: float | None = None
    min_region_mm2: float = 0.0
    adaptive: bool = False


@dataclass(frozen=True)
class Model:
    """A checkpoint file, the SHA-256 of its bytes, and settings that are all settled for it.

    `compiled` is the folder where it is kept compiled; None to keep it nowhere.
    """

    path: Path
    name: str
    digest: str
    settings: MapSettings
    compiled: Path | None = None


@dataclass(frozen=True)
class SlideJob:
    """One slide to be mapped into `out`.

    `mpp` fills a missing level-0 µm/px, or overrides the file's with `force_mpp`. Outside
    `region_level0`, if there is one, the map is empty. `parent` is the process a worker must not
    outlive; None on clusters that others run.
    """

    slide: SlideInput
    out: Path
    model: Model
    mpp: float | None = None
    force_mpp: bool = False
    region_level0: Box | None = None
    parent: int | None = None

    @property
    def resolution(self) -> Resolution:
        """A cohort's word on one slide goes before the command's on all, unless that is forced."""
        if self.force_mpp or self.slide.mpp is None:
            return Resolution(self.mpp, self.force_mpp)
        return Resolution(self.slide.mpp, self.slide.force_mpp)

    def parameters(self, mpp_level0: Pair) -> dict[str, object]:
        """What the result depends on beside slide and model; JSON values.

        `mpp_level0` is the µm per level-0 pixel, x and y, that is used in the end.
        """
        values = asdict(self.model.settings)
        del values["threads"]
        values["device"] = str(values["device"]).partition(":")[0]
        values["mpp"] = list(mpp_level0)
        if not self.model.settings.adaptive:  # without these, as results always were
            del values["adaptive"]
        if self.region_level0 is not None:
            values["region_level0"] = list(astuple(self.region_level0))
        return values


@dataclass(frozen=True)
class Update:
    """How far a slide is: `done` of `total` in one of PHASES."""

    name: str
    phase: str
    done: int = 0
    total: int = 0

    @classmethod
    def from_message(cls, message: Mapping[str, object]) -> "Update":
        """Back from `asdict`, which is what travels."""
        return cls(
            str(message["name"]),
            str(message["phase"]),
            int(str(message["done"])),
            int(str(message["total"])),
        )


@dataclass(frozen=True)
class SlideOutcome:
    """How a slide ended. Areas are None where it failed; `reason` says why, or what was noted.

    `interval` and `familiarity` are None where there is none, too; summary.json says why.
    """

    name: str
    status: Status
    reason: str = ""
    tumour_area_mm2: float | None = None
    tissue_area_mm2: float | None = None
    seconds: float = 0.0
    interval: AreaInterval | None = None
    familiarity: Familiarity | None = None

    @property
    def within(self) -> str:
        """What follows the area: the interval in brackets, if there is one."""
        return f" ({ends(self.interval)})" if self.interval else ""


def topic_of(out: Path) -> str:
    """The Dask topic on which a batch's workers report."""
    return f"extent-progress {out}"


def settle(model: str, settings: MapSettings, compiled: Path | None) -> Model:
    """Check a model (a path or a shipped name) and settings: a batch's first task.

    `compiled` is the folder where models are kept compiled.

    Raises:
        CheckpointError: not a usable model.
        UsageError: no such model, or settings that make no sense on the worker.
    """
    from .worker import settled

    return settled(model, settings, compiled)


def predict_slide(job: SlideJob) -> SlideOutcome:
    """Map one slide on a Dask worker, which hears of the progress; never raises for the slide."""
    from distributed import get_worker

    from .worker import seated, work

    worker = get_worker()
    job = replace(job, model=seated(job.model, worker.name))
    return work(job, lambda update: worker.log_event(topic_of(job.out), asdict(update)))
