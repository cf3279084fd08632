"""How a job comes to be: once for each request, and only where there is room."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..engine.attempt import Kind
from ..http.principals import Principal
from ..http.problems import Problem
from ..records.audit import Owner, audit
from ..records.database import Records, new_id, now
from ..records.tables import Idempotency, Job
from ..settings import Settings
from .room import check_disk, check_quota

RETRY_SECONDS = 30  # when too many jobs wait
LONGEST_KEY = 255  # characters of an Idempotency-Key


@dataclass(frozen=True)
class Submission:
    """A job as it is asked for. `request` is JSON; `body` what the client sent, for comparing."""

    kind: Kind
    slide_id: str | None
    model: str
    model_digest: str | None
    request: dict[str, Any]
    idempotency_key: str | None
    body: bytes

    @property
    def body_sha256(self) -> str:
        return sha256(self.kind.encode() + b"\0" + self.body).hexdigest()


def accepted(
    settings: Settings, records: Records, principal: Principal, submission: Submission
) -> tuple[Job, bool]:
    """What `JobStore.submit` promises."""
    _check_key(submission.idempotency_key)
    while True:
        try:
            with records.begin() as session:
                if (known := _known(session, principal, submission)) is not None:
                    return known, False
                check_disk(settings)
                _check_queue(session, settings, principal.group)
                check_quota(session, settings, principal.group)
                return _added(session, principal, submission), True
        except IntegrityError:  # the same request is accepted at this moment: then it is known
            if submission.idempotency_key is None:
                raise


def audit_job(session: Session, who: Owner, job: Job, action: str, outcome: str) -> None:
    """An audit row on a job, in the transaction that changes it."""
    audit(
        session,
        who,
        action,
        outcome=outcome,
        slide_id=job.slide_id,
        model=job.model,
        job_id=job.id,
    )


def _added(session: Session, principal: Principal, submission: Submission) -> Job:
    job = Job(
        id=new_id(),
        kind=submission.kind,
        group=principal.group,
        key_id=principal.key_id,
        slide_id=submission.slide_id,
        model=submission.model,
        model_digest=submission.model_digest,
        request=submission.request,
        state="queued",
        created_at=now(),
    )
    session.add(job)
    session.flush()
    if submission.idempotency_key is not None:
        session.add(
            Idempotency(
                key_id=principal.key_id,
                idempotency_key=submission.idempotency_key,
                body_sha256=submission.body_sha256,
                job_id=job.id,
                created_at=job.created_at,
            )
        )
    audit_job(session, principal, job, "job submit", "accepted")
    return job


def _check_key(idempotency_key: str | None) -> None:
    if idempotency_key is None:
        return
    fits = 0 < len(idempotency_key) <= LONGEST_KEY
    if not fits or not idempotency_key.isascii() or not idempotency_key.isprintable():
        raise Problem(400, f"Idempotency-Key takes 1 to {LONGEST_KEY} printable characters.")


def _check_queue(session: Session, settings: Settings, group: str) -> None:
    waiting = session.scalar(
        sa.select(sa.func.count()).where(Job.state == "queued", Job.group == group)
    )
    if (waiting or 0) >= settings.limits.jobs_waiting:
        raise Problem(
            429,
            f"{waiting} jobs of your group wait already; try again when some are done.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )


def _known(session: Session, principal: Principal, submission: Submission) -> Job | None:
    """The job that this Idempotency-Key made before."""
    if submission.idempotency_key is None:
        return None
    used = session.get(Idempotency, (principal.key_id, submission.idempotency_key))
    if used is None:
        return None
    if used.body_sha256 != submission.body_sha256:
        raise Problem(
            422, "This Idempotency-Key was used with another request; take a new one for this."
        )
    return session.get_one(Job, used.job_id)
