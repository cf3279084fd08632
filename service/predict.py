"""The batch behind `extent predict`: slides in, an output folder of results."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotations.errors import ExtentError, ResultError, UsageError
from tiling.resolution import Resolution

from .batch import Batch, Task
from .cluster import Share, available_cores, connected, embedded
from .inputs import SlideInput
from .progress import Display
from .results import SlideTable, claimed
from .tasks import MapSettings, Model, SlideJob, SlideOutcome, predict_slide, settle

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Request:
    """A batch as it was asked for.

    `model` is a path or a shipped model's name; `cluster` the address of a Dask cluster, None for
    one of this batch's own with `workers` processes (None: what suits the machine). `tls` is the
    folder of the cluster's certificates, `compiled` that where workers keep models compiled.
    """

    slides: Sequence[SlideInput]
    model: str
    out: Path
    settings: MapSettings
    resolution: Resolution
    cluster: str | None = None
    workers: int | None = None
    tls: Path | None = None
    compiled: Path | None = None

    def __post_init__(self) -> None:
        if self.cluster is not None and self.workers is not None:
            raise UsageError(f"--workers: the cluster {self.cluster} has its own workers")


@dataclass(frozen=True)
class BatchResult:
    """Outcomes in the order asked for; `table_error` says why slides.csv is not up to date."""

    outcomes: tuple[SlideOutcome, ...]
    table_error: str = ""

    @property
    def failed(self) -> tuple[SlideOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")


def predict(request: Request, display: Display, *, task: Task = predict_slide) -> BatchResult:
    """Map all slides, each published as soon as it is done.

    Raises:
        UsageError: model or settings make no sense. CheckpointError: the model is not usable.
        ResultError: the output folder is busy, not writable, or holds another's slides.csv.
        ExtentError: the cluster cannot be reached, or went away.
    """
    out = request.out.absolute()
    share = Share.of(available_cores(), len(request.slides), request.workers)
    with ExitStack() as stack:
        stack.enter_context(claimed(out))
        table = SlideTable(out)
        client = stack.enter_context(_cluster(request, share))
        model = _settled(client, request, share)
        jobs = [
            SlideJob(
                slide=replace(slide, path=slide.path.absolute()),
                out=out,
                model=model,
                mpp=request.resolution.mpp,
                force_mpp=request.resolution.force,
                parent=None if request.cluster else os.getpid(),
            )
            for slide in request.slides
        ]
        try:
            return _recorded(Batch(client, jobs, hear=display.update, task=task), table, display)
        except OSError as error:
            raise ExtentError(
                f"the cluster went away ({error}); what is finished stays in {out}, "
                "the same command goes on from there"
            ) from error


def _cluster(request: Request, share: Share) -> "AbstractContextManager[Client]":
    return connected(request.cluster, request.tls) if request.cluster else embedded(share)


def _settled(client: "Client", request: Request, share: Share) -> Model:
    """Have a worker check model and settings before any slide is touched."""
    path = Path(request.model)
    named = str(path.absolute()) if path.is_file() else request.model
    settings = replace(request.settings, threads=0 if request.cluster else share.threads)
    try:
        model: Model = client.submit(settle, named, settings, request.compiled, pure=False).result()
    except ExtentError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ExtentError(f"the cluster's workers cannot load the model: {said}") from error
    return model


def _recorded(batch: Batch, table: SlideTable, display: Display) -> BatchResult:
    table_error = ""
    outcomes = []
    with display.shown():
        for outcome in batch.outcomes():
            outcomes.append(outcome)
            display.finished(outcome)
            try:
                table.record(outcome)
            except ResultError as error:
                table_error = str(error)
    order = {job.slide.name: number for number, job in enumerate(batch.jobs)}
    return BatchResult(tuple(sorted(outcomes, key=lambda o: order[o.name])), table_error)
