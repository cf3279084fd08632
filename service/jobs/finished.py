"""What follows when a job has succeeded, in the transaction that publishes its result."""

import os
import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from tiling.rawplanes import disk_errors

from ..engine.attempt import RESULT, AttemptEnd
from ..engine.training_files import MODEL
from ..records.database import now
from ..records.tables import Job, TrainedModel
from ..settings import Settings


def finished(session: Session, settings: Settings, job: Job, end: AttemptEnd) -> None:
    """A training that is done becomes a model, private to its group until it is published.

    The file lies under its name before the record says so; a file without a record is no model.
    Where another training took the name meanwhile, the model's carries the job's id as well, and
    the job's `outcome` and `model` say which name it got.

    Raises:
        ResultError: the disk is full or refuses; nothing is published then.
    """
    if job.kind != "training" or end.status != "done":
        return
    name = job.model
    if session.get(TrainedModel, name) is not None:
        name = f"{name[:90]}-{job.id[:8]}"
    model = TrainedModel(
        name=name,
        digest=end.outcome["digest"],
        group=job.group,
        job_id=job.id,
        created_at=now(),
        published_at=None,
    )
    session.add(model)
    session.flush()
    attempt = settings.jobs / job.id / str(end.number)
    _keep(attempt / RESULT / MODEL, settings.trained / f"{name}.safetensors")
    job.model, job.model_digest = name, model.digest
    job.outcome = {**end.outcome, "model": name}


def _keep(source: Path, target: Path) -> None:
    """A copy that is there whole or not at all; the result's own may be deleted."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)
