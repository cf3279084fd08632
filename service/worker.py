"""One slide from file to published result, in a process that may die.

What is heavy to import (torch, OpenVINO) is imported where it is used, so that a batch whose
slides are all finished or broken is quick to say so.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from annotations.errors import CheckpointError
from model.area_interval import AreaInterval
from model.familiarity import Familiarity
from tiling.slide import Slide
from tiling.slide_files import slide_digest

from . import process
from .failures import reason_of
from .inputs import find_model
from .results import Fingerprint, ResultPlace, read_summary, what_changed
from .tasks import MapSettings, Model, SlideJob, SlideOutcome, Status, Update
from .throttle import Throttle
from .versions import library_versions

if TYPE_CHECKING:
    from model.adaptive import CoarseFirst
    from model.card_file import ModelFile
    from model.checkpoint import Checkpoint
    from model.compiled import Shelf
    from model.predictor import Execution, Predictor

    Load = Callable[[Model], tuple[ModelFile, Predictor]]

Say = Callable[[Update], None]
Reason = Callable[[Exception, Path], str]
PERCENT = 100  # shares of a phase are told in whole percents
_one_slide_at_a_time = Lock()  # a predictor serves one thread


def settled(
    model: str,
    settings: MapSettings,
    compiled: Path | None = None,
    shelf: "Shelf | None" = None,
) -> Model:
    """What `tasks.settle` promises; `shelf` is where it may lie compiled [in that folder]."""
    from model.card_file import read_model_file
    from model.conformal import contours_in
    from model.known_looks import known_looks_in
    from model.predictor import resolved
    from model.segment import WRITE_SIDE, window_side

    from .report import ReportOptions

    path = find_model(model)
    options = ReportOptions(settings.threshold, settings.min_region_mm2)
    file = read_model_file(path)
    card = file.card
    for read in (contours_in, known_looks_in):
        read(card.calibration)  # what makes no sense fails now, not after hours
    execution = resolved(_execution(settings), card)
    exact = replace(
        settings,
        device=execution.device,
        runtime=execution.runtime,
        precision=execution.precision,
        window=window_side(card.network, settings.window or WRITE_SIDE),
        threshold=card.threshold if options.threshold is None else options.threshold,
    )
    _check_weights(path, file.digest, execution, shelf or shelf_of(compiled))
    return Model(path, card.name, file.digest, exact, compiled)


def _check_weights(path: Path, digest: str, execution: "Execution", shelf: "Shelf") -> None:
    """Load a model, unless it is there compiled, which it was loaded for.

    Raises:
        CheckpointError: not usable.
    """
    from model.predictor import is_compiled

    if not is_compiled(digest, execution, shelf):
        from model.checkpoint import load_checkpoint

        load_checkpoint(path)


def work(
    job: SlideJob, say: Say, load: "Load | None" = None, reason: Reason = reason_of
) -> SlideOutcome:
    """Map a slide; whatever goes wrong with it becomes the outcome's reason.

    `load` makes the model ready, by default once in a process. `reason` words an error, and may
    leave details in the file it is given.
    """
    if job.parent is not None:
        process.die_with(job.parent)
    started = time.monotonic()
    place = ResultPlace(job.out, job.slide.name)
    with _one_slide_at_a_time:
        process.forget_peak_memory()
        try:
            with place.locked():
                outcome = _SlideWork(job, place, Throttle(say), started, load or _loaded).run()
        except Exception as error:  # the rest of the batch goes on, whatever it is
            outcome = SlideOutcome(job.slide.name, "failed", reason(error, place.log))
    return replace(outcome, seconds=round(time.monotonic() - started, 3))


class _SlideWork:
    """One slide under way; its work folder is locked."""

    def __init__(
        self, job: SlideJob, place: ResultPlace, say: Say, started: float, load: "Load"
    ) -> None:
        self._job, self._place, self._say, self._started = job, place, say, started
        self._load = load
        self._settings = job.model.settings

    def run(self) -> SlideOutcome:
        job, place = self._job, self._place
        self._phase("reading")
        place.check_replaceable()
        with Slide.open(job.slide.path, job.resolution) as slide:
            parameters = job.parameters(slide.known_mpp)
            wanted = Fingerprint(slide_digest(slide.path), job.model.digest, parameters)
            note = ""
            if place.folder.exists():
                changed = what_changed(place.folder, wanted)
                if changed is None:
                    place.clear()
                    found = read_summary(place.folder) or {}
                    return self._outcome("unchanged", "finished by an earlier run", found)
                note = f"computed again: {changed}"
            summary = self._make(slide, wanted)
        self._phase("publishing")
        place.publish()
        return self._outcome("done", note, summary)

    def _make(self, slide: Slide, wanted: Fingerprint) -> Mapping[str, object]:
        """Write the unfinished result, going on with the canvas that an earlier try left."""
        from model.segment import WRITE_SIDE, segment

        from .report import ReportOptions, RunFacts, write_result

        checkpoint, predictor = self._load(self._job.model)
        extent_map = segment(
            slide,
            checkpoint,
            predictor,
            work=self._place.canvas,
            key=_canvas_key(wanted, predictor.describe),
            write_side=self._settings.window or WRITE_SIDE,
            region_level0=self._job.region_level0,
            coarse_first=_coarse_first(self._settings, wanted),
            progress=partial(self._phase, "canvas"),
        )
        facts = RunFacts(
            slide_digest=wanted.slide,
            model_digest=wanted.model,
            elapsed=lambda: time.monotonic() - self._started,
            parameters=wanted.parameters,
            versions=library_versions() | {"predictor": predictor.describe},
            run={"map_peak_memory_mb": round(process.peak_memory_bytes() / 1e6)},
        )
        with extent_map.canvas:
            return write_result(
                self._place.begin(),
                slide,
                extent_map,
                card=checkpoint.card,
                facts=facts,
                options=ReportOptions(self._settings.threshold, self._settings.min_region_mm2),
                progress=lambda phase, share: self._phase(phase, int(share * PERCENT), PERCENT),
            )

    def _phase(self, phase: str, done: int = 0, total: int = 0) -> None:
        self._say(Update(self._job.slide.name, phase, done, total))

    def _outcome(self, status: Status, reason: str, summary: Mapping[str, object]) -> SlideOutcome:
        areas = (summary.get(key) for key in ("tumour_area_mm2", "tissue_area_mm2"))
        tumour, tissue = (float(v) if isinstance(v, int | float) else None for v in areas)
        return SlideOutcome(
            self._job.slide.name,
            status,
            reason,
            tumour,
            tissue,
            interval=AreaInterval.from_summary(summary),
            familiarity=Familiarity.from_summary(summary),
        )


def _canvas_key(wanted: Fingerprint, computed_by: str) -> str:
    """What the map's values depend on; not what is decided on them afterwards."""
    later = {"threshold", "min_region_mm2"}
    if wanted.parameters.get("adaptive"):  # what is skipped hangs on what counts as tumour
        later.remove("threshold")
    parameters = sorted((k, v) for k, v in wanted.parameters.items() if k not in later)
    text = repr((wanted.slide, wanted.model, parameters, computed_by))
    return sha256(text.encode()).hexdigest()


def _coarse_first(settings: MapSettings, wanted: Fingerprint) -> "CoarseFirst | None":
    """How to look coarsely first, if that is asked for; slide and model decide what is audited."""
    if not settings.adaptive or settings.threshold is None:
        return None
    from model.adaptive import CoarseFirst

    seed = sha256(f"{wanted.slide} {wanted.model}".encode()).hexdigest()
    return CoarseFirst(settings.threshold, int(seed[:16], 16))


def _execution(settings: MapSettings) -> "Execution":
    from model.predictor import Execution

    return Execution(settings.device, settings.runtime, settings.precision, settings.threads)


def shelf_of(compiled: Path | None) -> "Shelf":
    """Where models are kept compiled: a folder, or for a moment in memory."""
    from model.compiled import CompiledModels, InHand

    return InHand() if compiled is None else CompiledModels(compiled)


def seated(model: Model, seat: object) -> Model:
    """The model on a GPU of its own, as far as there are, for each worker of this machine.

    `seat` is the worker's number, from 0. Workers that others started have names instead; theirs
    is the first GPU that they see.
    """
    if model.settings.device != "cuda" or not isinstance(seat, int):
        return model
    from model.predictor import gpu_of

    return replace(model, settings=replace(model.settings, device=gpu_of(seat)))


# One at a time: each holds memory, and the next is made ready in a tenth of a second
@lru_cache(maxsize=1)
def _loaded(model: Model) -> "tuple[ModelFile, Predictor]":
    return ready(model)


def ready(model: Model, shelf: "Shelf | None" = None) -> "tuple[ModelFile, Predictor]":
    """The model ready to run; `shelf` is where it may be kept compiled [the model's own].

    Raises:
        CheckpointError: the file is no longer the one that the batch began with.
    """
    from model.card_file import read_model_file
    from model.predictor import ready_predictor

    def load() -> "Checkpoint":
        from model.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(model.path)
        _check_unchanged(checkpoint, model)
        return checkpoint

    file = read_model_file(model.path)
    _check_unchanged(file, model)
    execution, shelf = _execution(model.settings), shelf or shelf_of(model.compiled)
    predictor = ready_predictor(model.digest, execution, shelf, load)
    gc.freeze()  # of a slide's time a twentieth went into looking for garbage among libraries
    return file, predictor


def _check_unchanged(file: "ModelFile", model: Model) -> None:
    if file.digest != model.digest:
        raise CheckpointError(f"{model.path.name}: the file has changed since the batch began")
