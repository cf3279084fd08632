"""From a job's record to what its workers need to know."""

from pathlib import Path
from typing import Any

from annotations.errors import SlideError

from ..engine.attempt import Attempt
from ..http.principals import Principal, Scope
from ..http.problems import Problem
from ..model_shelf import ModelShelf
from ..records.database import Records
from ..records.tables import Job
from ..settings import Settings
from ..slides.catalog import Catalog
from .folders import previous
from .training_inputs import lay_out


class CannotBegin(Exception):  # noqa: N818  (an outcome, not a fault)
    """The job fails for this reason before anything is begun; names no file."""


class Preparation:
    """Finds slides and models of jobs anew for every attempt: they may have gone meanwhile."""

    def __init__(
        self, settings: Settings, records: Records, catalog: Catalog, models: ModelShelf
    ) -> None:
        self._settings, self._records = settings, records
        self._catalog, self._models = catalog, models

    def attempt(self, job: Job) -> Attempt:
        """The attempt at which the job's record is.

        Raises:
            CannotBegin: its slide or its model is not there any more, or another.
            RecordsError: the database is away. ResultError: the disk is full.
        """
        try:
            request, sees = self._training(job) if job.kind == "training" else self._map(job)
        except Problem as problem:
            raise CannotBegin(problem.detail) from None
        except SlideError as error:
            raise CannotBegin(str(error)) from None
        bounded = self._bounds(job) if job.kind == "training" else {}
        return Attempt(
            job_id=job.id,
            number=job.attempt,
            kind="training" if job.kind == "training" else "map",
            folder=self._folder(job) / str(job.attempt),
            request=request,
            sees=sees,
            previous=previous(self._folder(job), job.attempt),
            compiled=self._settings.compiled.absolute(),
            **bounded,
        )

    def _bounds(self, job: Job) -> dict[str, Any]:
        """What a training may take: the server's limits, or less where that was asked for."""
        limits = self._settings.limits
        wanted = job.request.get("hours") or limits.training_hours
        return {"hours": min(wanted, limits.training_hours), "bytes": limits.training_bytes}

    def _folder(self, job: Job) -> Path:
        return (self._settings.jobs / job.id).absolute()

    def _map(self, job: Job) -> tuple[dict[str, Any], tuple[Path, ...]]:
        owner = Principal(job.key_id, "", job.group, Scope.READ, "key")
        slide = self._catalog.get(owner, job.slide_id or "")
        model = self._models.find(owner, job.model)
        if model.digest != job.model_digest:
            raise CannotBegin("The model of this name is another than when the job was submitted.")
        request = {
            "slide_path": str(self._catalog.path(slide)),
            "model_path": str(model.path),
            "model_digest": model.digest,
            "mpp": job.request.get("mpp"),
            "threshold": job.request.get("threshold"),
            "region_level0": job.request.get("region_level0"),
            "adaptive": job.request.get("adaptive", False),
        }
        return request, (*self._catalog.sees(slide), model.path)

    def _training(self, job: Job) -> tuple[dict[str, Any], tuple[Path, ...]]:
        return lay_out(self._records, self._catalog, job, self._folder(job))
