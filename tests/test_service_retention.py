"""What goes by itself, and what stays."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.http.principals import LOCAL
from service.http.problems import Problem
from service.jobs.hub import Hub
from service.jobs.retention import Retention as Sweeper
from service.jobs.store import JobStore
from service.jobs.submission import Submission
from service.records.audit import audit
from service.records.database import Records, new_id, now
from service.records.tables import Audit, BrowserSession, Job, Key
from service.settings import DAY, Retention, Settings

MAP = Submission("map", None, "m", None, {}, "key", b"{}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(tmp_path / "data", tmp_path / "state", retention=Retention(audit_days=10))
    settings.jobs.mkdir(parents=True)
    return settings


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    records = Records(settings.database_url)
    records.migrate()
    yield records
    records.close()


@pytest.fixture
def jobs(settings: Settings, records: Records) -> JobStore:
    return JobStore(settings, records, Hub())


def sweep(settings: Settings, records: Records) -> None:
    Sweeper(settings, records, Hub()).sweep()


def made(jobs: JobStore, records: Records, **values: object) -> Job:
    """A job with these values and three attempts on the disk."""
    job, _ = jobs.submit(LOCAL, replace(MAP, idempotency_key=new_id()))
    with records.begin() as session:
        session.execute(sa.update(Job).where(Job.id == job.id).values(**values))
    for number in (1, 2, 3):
        (jobs.folder(job) / str(number) / "result").mkdir(parents=True)
    return jobs.get(LOCAL, job.id)


def attempts(jobs: JobStore, job: Job) -> set[str]:
    return {path.name for path in jobs.folder(job).glob("*")}


def test_results_go_when_their_time_is_over(
    settings: Settings, records: Records, jobs: JobStore
) -> None:
    done = {"state": "succeeded", "result_attempt": 2, "result_bytes": 9}
    old = made(jobs, records, **done, expires_at=now() - 1)
    young = made(jobs, records, **done, expires_at=now() + DAY)
    kept = made(jobs, records, **done)
    sweep(settings, records)
    sweep(settings, records)
    assert not jobs.folder(old).exists()
    with pytest.raises(Problem, match="was deleted"):
        jobs.result_folder(jobs.get(LOCAL, old.id))
    assert jobs.get(LOCAL, old.id).result_bytes == 0
    for job in (young, kept):
        assert jobs.result_folder(jobs.get(LOCAL, job.id)).is_dir()
    with records.read() as session:
        gone = sa.select(Audit.key_id, Audit.job_id).where(Audit.action == "result expire")
        assert session.execute(gone).all() == [("retention", old.id)]


def test_only_what_a_job_needs_stays_of_its_attempts(
    settings: Settings, records: Records, jobs: JobStore
) -> None:
    done = made(jobs, records, state="succeeded", result_attempt=2)
    failed = made(jobs, records, state="failed")
    running = made(jobs, records, state="running", attempt=3)
    sweep(settings, records)
    assert attempts(jobs, done) == {"2"}
    assert attempts(jobs, failed) == set()
    assert attempts(jobs, running) == {"1", "2", "3"}


def test_folders_of_unknown_jobs_go_once_they_are_old(
    settings: Settings, records: Records, jobs: JobStore
) -> None:
    old, young = (settings.jobs / new_id() for _ in range(2))
    for folder in (old, young):
        (folder / "1").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * DAY,) * 2)
    sweep(settings, records)
    assert old.exists()  # the database knows nobody: it may be the wrong one
    made(jobs, records, state="failed")
    sweep(settings, records)
    assert (old.exists(), young.exists()) == (False, True)


def test_old_records_are_forgotten(settings: Settings, records: Records, jobs: JobStore) -> None:
    once = replace(MAP, idempotency_key="once")
    job, _ = jobs.submit(LOCAL, once)
    with records.begin() as session:
        key = Key(
            id=new_id(),
            name="k",
            secret_sha256="0" * 64,
            scope="read",
            group="g",
            created_at=0.0,
        )
        session.add(key)
        session.flush()
        for token, expires_at in (("a", now() - 1), ("b", now() + DAY)):
            session.add(
                BrowserSession(
                    token_sha256=token, key_id=key.id, created_at=0.0, expires_at=expires_at
                )
            )
        audit(session, LOCAL, "old", outcome="done")
        session.flush()
        session.execute(sa.update(Audit).where(Audit.action == "old").values(at=now() - 11 * DAY))
        session.execute(sa.text("UPDATE idempotency SET created_at = 0"))
    sweep(settings, records)
    with records.read() as session:
        assert session.scalars(sa.select(BrowserSession.token_sha256)).all() == ["b"]
        assert session.scalars(sa.select(Audit.action)).all() == ["job submit"]
    assert jobs.submit(LOCAL, once)[0].id != job.id
