"""Extent and the forward pass alone; each is loaded in a process of its own."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from benchmarks.apart import Timing
from benchmarks.job import Job, planned
from benchmarks.one_pass import Crop, Deviation

if TYPE_CHECKING:
    from model.card_file import ModelFile
    from model.predictor import Predictor
    from service.tasks import Model

HELD_PATCHES = 8  # decoded at a time for the forward pass alone: memory stays small


@dataclass(frozen=True)
class Way:
    """How a network is computed."""

    runtime: Literal["openvino", "torch"]
    precision: Literal["int8", "bf16", "fp32"]
    device: str = "cpu"

    @classmethod
    def of(cls, text: str) -> Self:
        """From `runtime-precision` or `runtime-precision-device`.

        Raises:
            ValueError: something else.
        """
        runtime, precision, *device = text.split("-")
        if runtime not in ("openvino", "torch") or precision not in ("int8", "bf16", "fp32"):
            raise ValueError(f"{text} is not such as openvino-bf16 or torch-bf16-cuda")
        return cls(runtime, precision, *device)  # type: ignore[arg-type]  # narrowed above

    def __str__(self) -> str:
        where = "" if self.device == "cpu" else f" {self.device}"
        return f"{self.runtime} {self.precision}{where}"


class Stopwatch:
    """Wall and processor seconds of what happens inside `running`, summed."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began, cpu_began = time.perf_counter(), _cpu_seconds()
        yield
        self.seconds += time.perf_counter() - began
        self.cpu_seconds += _cpu_seconds() - cpu_began

    def timing(self, phases: Mapping[str, float] | None = None) -> Timing:
        return Timing(self.seconds, self.cpu_seconds, phases or {})


def _cpu_seconds() -> float:
    """Of this process and those of its children that have ended."""
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Extent:
    """`extent predict` as one of its workers does a slide; what it writes and keeps in `folder`."""

    job: Job
    way: Way
    folder: Path

    @property
    def name(self) -> str:
        return f"Extent, {self.way}"

    def load(self) -> "ExtentRunner":
        from service.tasks import MapSettings
        from service.worker import ready, settled

        way = self.way
        settings = MapSettings(way.device, way.runtime, way.precision)
        model = settled(str(self.job.model), settings, self.folder / "compiled")
        return ExtentRunner(self.job, self.folder / "out", model, *ready(model))


@dataclass(frozen=True)
class ExtentRunner:
    """Extent with its model loaded."""

    job: Job
    out: Path
    model: "Model"
    file: "ModelFile"
    predictor: "Predictor"

    def run(self) -> Timing:
        """From before the slide is opened until its result is published."""
        from service.inputs import SlideInput
        from service.tasks import SlideJob, Update
        from service.worker import work

        shutil.rmtree(self.out, ignore_errors=True)
        asked = SlideJob(SlideInput(self.job.slide, self.job.slide.stem), self.out, self.model)
        phases = Phases()
        watch = Stopwatch()

        def hear(update: Update) -> None:
            phases.begin(update.phase)

        with watch.running():
            outcome = work(asked, hear, lambda _: (self.file, self.predictor))
            phases.begin("")
        if outcome.status != "done":
            raise RuntimeError(f"Extent: {outcome.status}: {outcome.reason}")
        return watch.timing(phases.seconds)

    def deviation(self, crop: Crop) -> Deviation:
        """Of the values as `segment` has them before it rounds, and of the published map."""
        from model.stored import StoredResult
        from model.windows import window_maps

        card = self.file.card
        with planned(self.job) as plan:
            touching = [w for w in plan.windows if w.write.intersection(crop.box).area]
            on_map = plan.frame.coarser(card.output_stride)
            values = np.full((on_map.height, on_map.width), np.nan, np.float32)
            for window, core in window_maps(
                plan.slide, plan.frame, touching, self.predictor, card.network
            ):
                box = window.write.scaled_down(card.output_stride)
                inner = box.intersection(on_map.box)
                values[inner.y : inner.bottom, inner.x : inner.right] = core[
                    card.foreground, : inner.height, : inner.width
                ]
        box = crop.box_on_map
        with StoredResult.read(self.out / self.job.slide.stem).open_map() as stored:
            return crop.deviation(
                values[box.y : box.bottom, box.x : box.right], stored.read(crop.box_on_map)
            )


class Phases:
    """Seconds from the beginning of each phase to that of the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._phase, self._began = "", time.perf_counter()

    def begin(self, phase: str) -> None:
        now = time.perf_counter()
        if phase == self._phase:
            return
        if self._phase:
            before = self.seconds.get(self._phase, 0.0)
            self.seconds[self._phase] = before + now - self._began
        self._phase, self._began = phase, now


@dataclass(frozen=True)
class Forward:
    """The network alone over the read boxes that Extent would read; the limit."""

    job: Job
    way: Way

    @property
    def name(self) -> str:
        return f"forward pass alone, {self.way}"

    def load(self) -> "ForwardRunner":
        from model.checkpoint import load_checkpoint
        from model.predictor import Execution, load_predictor

        way = self.way
        execution = Execution(way.device, way.runtime, way.precision)
        return ForwardRunner(self.job, load_predictor(load_checkpoint(self.job.model), execution))


@dataclass(frozen=True)
class ForwardRunner:
    """The forward pass with its model loaded."""

    job: Job
    predictor: "Predictor"

    def run(self) -> Timing:
        """Of the network only: patches are decoded beforehand, a few at a time."""
        from model.predictor import in_flight

        watch = Stopwatch()
        with planned(self.job) as plan:
            for first in range(0, len(plan.windows), HELD_PATCHES):
                group = plan.windows[first : first + HELD_PATCHES]
                patches = [(w, plan.slide.read(plan.frame, w.read)[None]) for w in group]
                with watch.running():
                    for _ in in_flight(self.predictor, patches):
                        pass
        return watch.timing()

    def deviation(self, crop: Crop) -> None:
        return None
