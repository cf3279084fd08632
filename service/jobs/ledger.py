"""What the runner reads and writes of jobs: each change is one transaction, fenced by the attempt.

A change says which attempt it is of, and is made only while the job runs that very attempt. So
one that comes twice, late, or from an attempt that was given up does nothing.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..engine.attempt import RESULT, AttemptEnd
from ..records.database import Records, now
from ..records.tables import Job
from ..settings import DAY, Settings
from . import fence
from .finished import finished
from .hub import Hub, News
from .submission import audit_job

MOST_CRASHES, MOST_KILLS, MOST_LOSSES = 2, 6, 50
COUNTERS = {"crashed": Job.crashes, "killed": Job.kills, "lost": Job.losses}
MOST = {"crashed": MOST_CRASHES, "killed": MOST_KILLS, "lost": MOST_LOSSES}
REASONS = {
    "crashed": "Reading or computing it ended its process by a fault each time; the file may be "
    "damaged.",
    "killed": f"Its process was killed {MOST_KILLS} times: it may need more memory than there is, "
    "or something outside Extent ends it.",
    "lost": f"Its workers were lost {MOST_LOSSES} times.",
}
REVISIONS_AHEAD = 100_000  # of the row: what a server told before it ended without recording it


class Ledger:
    """The records as the runner sees them. All methods raise RecordsError when they are away."""

    def __init__(self, settings: Settings, records: Records, hub: Hub) -> None:
        self._settings, self._records, self._hub = settings, records, hub

    def strays(self, known: Collection[tuple[str, int]]) -> None:
        """Put in the queue again what runs by its record, but not by these (job, attempt)s.

        So is left what an earlier server was at, and what a database made of a commit during
        which it went away.
        """
        running = sa.select(Job.id, Job.attempt, Job.revision).where(Job.state == "running")
        with self._records.read() as session:
            strays = [row for row in session.execute(running) if (row[0], row[1]) not in known]
        for job_id, number, recorded in strays:
            self._hub.next_revision(job_id, recorded + REVISIONS_AHEAD)
            self._again(job_id, number)

    def heads(self, resting: Collection[str]) -> dict[str, Job]:
        """The job of each group that has waited longest, but for those `resting`."""
        waiting = sa.select(Job).where(Job.state == "queued", Job.id.not_in(resting))
        order = (Job.created_at, Job.id)
        place = sa.func.row_number().over(partition_by=Job.group, order_by=order)
        ranked = waiting.with_only_columns(Job.id, place.label("place")).subquery()
        heads = sa.select(Job).join(ranked, ranked.c.id == Job.id).where(ranked.c.place == 1)
        with self._records.read() as session:
            return {job.group: job for job in session.scalars(heads)}

    def begin(self, job: Job) -> Job | None:
        """Begin the next attempt at a waiting job; None where it no longer waits.

        Raises:
            ResultError: the fence cannot be written; the job waits still.
        """
        number = job.attempt + 1
        statement = (
            sa.update(Job)
            .where(Job.id == job.id, Job.state == "queued", Job.attempt == job.attempt)
            .values(
                state="running",
                attempt=number,
                started_at=sa.func.coalesce(Job.started_at, now()),
                revision=self._hub.next_revision(job.id, job.revision),
                **_NO_PROGRESS,
            )
        )
        with self._records.begin() as session:
            begun = _changed(session, statement)
            if begun is not None:
                fence.let_go_on(self._settings.jobs / job.id, number)
        if begun is not None:
            self._hub.announce(begun.id, begun.revision)
        return begun

    def note(self, news: Mapping[str, News]) -> None:
        """Record how far running jobs are."""
        with self._records.begin() as session:
            for job_id, each in news.items():
                session.execute(
                    _of(job_id, each.attempt).values(
                        phase=each.phase, done=each.done, total=each.total, revision=each.revision
                    )
                )

    def record(self, status: str, end: AttemptEnd) -> Job | None:
        """Record how an attempt ended: `status` is one of AttemptEnd's, `lost` or `again`.

        Returns the job as it is then, whether that attempt was running or not any more.

        Raises:
            ResultError: the disk does not take the result; the attempt runs still.
        """
        if status == "done":
            self._publish(end)
        elif status == "failed":
            self._fail(end)
        elif status in COUNTERS:
            self._strike(status, end)
        else:
            self._again(end.job_id, end.number)
        with self._records.read() as session:
            job = session.get(Job, end.job_id)
        self._hub.forget(end.job_id)
        if job is not None:
            self._hub.announce(job.id, job.revision)
        return job

    def _publish(self, end: AttemptEnd) -> None:
        at, days = now(), self._settings.retention.results_days
        folder = self._settings.jobs / end.job_id / str(end.number) / RESULT
        values = {
            "state": "succeeded",
            "finished_at": at,
            "expires_at": None if days is None else at + days * DAY,
            "outcome": end.outcome,
            "result_attempt": end.number,
            "result_bytes": _bytes_in(folder),
            **_NO_PROGRESS,
        }
        with self._records.begin() as session:
            job = _changed(session, self._values(end.job_id, end.number, **values))
            if job is not None:
                finished(session, self._settings, job, end)
                audit_job(session, job, job, f"{job.kind} succeed", "succeeded")

    def _fail(self, end: AttemptEnd) -> None:
        with self._records.begin() as session:
            job = _changed(session, self._values(end.job_id, end.number))
            if job is not None:
                _failed(session, job, end.reason)

    def _strike(self, status: str, end: AttemptEnd) -> None:
        """Count what ended the attempt; the job waits again, or has failed when it is too often."""
        counter = COUNTERS[status]
        values = {counter.key: counter + 1, "state": "queued", **_NO_PROGRESS}
        with self._records.begin() as session:
            job = _changed(session, self._values(end.job_id, end.number, **values))
            if job is not None and getattr(job, counter.key) >= MOST[status]:
                said = f" The last time: {end.reason}." if end.reason else ""
                _failed(session, job, REASONS[status] + said)

    def _again(self, job_id: str, number: int) -> None:
        with self._records.begin() as session:
            session.execute(self._values(job_id, number, state="queued", **_NO_PROGRESS))

    def _values(self, job_id: str, number: int, **values: Any) -> sa.Update:
        return _of(job_id, number).values(revision=self._hub.next_revision(job_id, 0), **values)


_NO_PROGRESS = {"phase": "", "done": 0, "total": 0}


def _of(job_id: str, number: int) -> sa.Update:
    """A change of a job that runs this attempt, and of no other."""
    return sa.update(Job).where(Job.id == job_id, Job.state == "running", Job.attempt == number)


def _changed(session: Session, statement: sa.Update) -> Job | None:
    """The job after a change; None where the change found none."""
    changed = sa.select(Job).from_statement(statement.returning(Job))
    return session.scalars(changed.execution_options(populate_existing=True)).one_or_none()


def _failed(session: Session, job: Job, reason: str) -> None:
    job.state, job.reason, job.finished_at = "failed", reason, now()
    audit_job(session, job, job, f"{job.kind} fail", "failed")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
