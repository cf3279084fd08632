"""The records of jobs, as their owners may see and change them."""

import shutil
from pathlib import Path

import sqlalchemy as sa

from ..engine.attempt import RESULT
from ..http.cursors import cursor_after, row_of
from ..http.principals import Principal
from ..http.problems import Problem, not_found
from ..records.database import Records, now
from ..records.tables import FINAL, Job
from ..settings import Settings
from . import fence
from .hub import Hub, News
from .submission import Submission, accepted, audit_job


class JobStore:
    """Jobs by id, each for its owner's group alone. For any number of threads.

    A job that it gives is a copy: up to date when it was asked for, its progress included.
    """

    def __init__(self, settings: Settings, records: Records, hub: Hub) -> None:
        self._settings, self._records, self._hub = settings, records, hub

    def submit(self, principal: Principal, submission: Submission) -> tuple[Job, bool]:
        """A new job, or the one that the same request with the same Idempotency-Key made; and
        whether it is new.

        Raises:
            Problem: 400, the Idempotency-Key is none; 422, it was used with another body; 429,
                too many of the group's jobs wait; 403, its quota is used up; 503, the disk is.
            RecordsError: the database is away.
        """
        job, made = accepted(self._settings, self._records, principal, submission)
        if made:
            self._hub.announce(job.id, job.revision)
            self._hub.work.set()
        return self._fresh(job), made

    def get(self, principal: Principal, job_id: str, kind: str | None = None) -> Job:
        """A job, of this kind where one is given.

        Raises:
            Problem: 404. RecordsError: the database is away.
        """
        with self._records.read() as session:
            job = _owned(session.get(Job, job_id), principal, kind)
        return self._fresh(job)

    def updates(self, principal: Principal, job_id: str, after_revision: int) -> list[Job]:
        """The job as it was at each revision later than this one that is still known, oldest
        first; the last is as it is now. Empty when that one is the newest.

        A revision that is yet to come was told by an earlier server that did not live to record
        it: then the job as it is now. Errors as of `get`.
        """
        job = self.get(principal, job_id)
        earlier = [
            _at(job, news)
            for news in self._hub.news(job_id, after_revision)
            if news.revision < job.revision and news.attempt == job.attempt
        ]
        return [*earlier, job] if job.revision != after_revision else []

    def page(
        self,
        principal: Principal,
        *,
        kind: str | None = None,
        state: str | None = None,
        slide_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Job], str | None]:
        """The group's jobs, newest first, and the next page's cursor.

        Raises:
            Problem: 400; the cursor is none. RecordsError: the database is away.
        """
        query = sa.select(Job).where(Job.group == principal.group)
        for column, value in ((Job.kind, kind), (Job.state, state), (Job.slide_id, slide_id)):
            if value is not None:
                query = query.where(column == value)
        if cursor is not None:
            place = sa.tuple_(*map(sa.literal, row_of(cursor, float, str)))
            query = query.where(sa.tuple_(Job.created_at, Job.id) < place)
        query = query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
        with self._records.read() as session:
            rows = list(session.scalars(query))
        page = [self._fresh(job) for job in rows[:limit]]
        if len(rows) <= limit:
            return page, None
        return page, cursor_after(page[-1].created_at, page[-1].id)

    def ask_cancel(self, principal: Principal, job_id: str, kind: str | None = None) -> Job:
        """Cancel a job, of this kind where one is given: at once, whether it waits or runs.

        Raises:
            Problem: 404; 409, it is finished. RecordsError: the database is away.
        """
        with self._records.begin() as session:
            job = _owned(session.get(Job, job_id, with_for_update=True), principal, kind)
            if job.state in FINAL:
                raise Problem(409, f"The job has {job.state} already; there is nothing to cancel.")
            if job.attempt:
                fence.stop_all(self.folder(job))
            job.state, job.finished_at = "cancelled", now()
            job.revision = self._hub.next_revision(job.id, job.revision)
            audit_job(session, principal, job, "job cancel", "cancelled")
        self._hub.forget(job.id)
        self._hub.announce(job.id, job.revision)
        return job

    def delete_result(self, principal: Principal, job_id: str, kind: str | None = None) -> None:
        """Delete what a finished job, of this kind where one is given, left on the disk.

        Its record stays. Twice is once.

        Raises:
            Problem: 404; 409, it is not finished. RecordsError: the database is away.
        """
        with self._records.begin() as session:
            job = _owned(session.get(Job, job_id, with_for_update=True), principal, kind)
            if job.state not in FINAL:
                raise Problem(409, "The job is not finished; cancel it first.")
            if job.deleted_at is None:
                job.result_attempt, job.result_bytes, job.deleted_at = None, 0, now()
                job.revision = self._hub.next_revision(job.id, job.revision)
                audit_job(session, principal, job, "result delete", "deleted")
        shutil.rmtree(self.folder(job), ignore_errors=True)
        self._hub.announce(job.id, job.revision)

    def folder(self, job: Job) -> Path:
        """Where all attempts at a job leave what they make."""
        return self._settings.jobs / job.id

    def attempt_folder(self, job: Job) -> Path:
        """The folder of a job's present or last attempt; it may not be there yet."""
        return self.folder(job) / str(job.attempt)

    def result_folder(self, job: Job) -> Path:
        """The folder with a job's result.

        Raises:
            Problem: 404, it has none and will not; 409, not yet; 410, not any more.
        """
        if job.state not in FINAL:
            raise Problem(409, "The job is not finished; its result comes when it has succeeded.")
        if job.deleted_at is not None:
            raise Problem(410, "The job's result was deleted.")
        if job.result_attempt is None:
            raise Problem(404, f"The job has {job.state}; it has no result.")
        return self.folder(job) / str(job.result_attempt) / RESULT

    def counts(self) -> dict[tuple[str, str], int]:
        """How many jobs there are of each kind in each state.

        Raises:
            RecordsError: the database is away.
        """
        query = sa.select(Job.kind, Job.state, sa.func.count()).group_by(Job.kind, Job.state)
        with self._records.read() as session:
            return {(kind, state): count for kind, state, count in session.execute(query)}

    def _fresh(self, job: Job) -> Job:
        """The job, which is no session's, with the newest progress."""
        if job.state == "running":
            for news in self._hub.news(job.id, job.revision)[-1:]:
                if news.attempt == job.attempt:
                    _show(job, news)
        return job


def _owned(job: Job | None, principal: Principal, kind: str | None = None) -> Job:
    if job is None or job.group != principal.group or kind not in (None, job.kind):
        raise not_found("training" if kind == "training" else "job")
    return job


def _at(job: Job, news: News) -> Job:
    """A copy of a job as it was at an earlier revision."""
    copy = Job(**{column.key: getattr(job, column.key) for column in sa.inspect(Job).column_attrs})
    _show(copy, news)
    return copy


def _show(job: Job, news: News) -> None:
    job.phase, job.done, job.total = news.phase, news.done, news.total
    job.revision = news.revision
