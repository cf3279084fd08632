"""The records of jobs, on SQLite and on a real PostgreSQL."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.http.principals import Principal, Scope
from service.http.problems import Problem
from service.jobs.hub import NEWS_KEPT, Hub, News
from service.jobs.room import used_bytes
from service.jobs.store import JobStore
from service.jobs.submission import Submission
from service.records.database import Records, new_id
from service.records.tables import Audit, Job
from service.settings import Limits, Retention, Settings
from tests.postgres import Server, postgresql

ANNA = Principal("a" * 32, "Anna", "pathology", Scope.WRITE, "key")
COLLEAGUE = Principal("c" * 32, "a colleague", "pathology", Scope.WRITE, "key")
STRANGER = Principal("5" * 32, "a stranger", "elsewhere", Scope.ADMIN, "key")
MAP = Submission("map", "5" * 32, "m", "d" * 64, {"threshold": 0.5}, None, b"{}")
WAIT = 60.0  # seconds, in vain


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    settings = Settings(tmp_path / "data", tmp_path)
    if request.param == "sqlite":
        return settings
    server: Server = request.getfixturevalue("server")
    return replace(settings, database=server.new_database(new_id()))


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    records = Records(settings.database_url)
    records.migrate()
    yield records
    records.close()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def jobs(settings: Settings, records: Records, hub: Hub) -> JobStore:
    return JobStore(settings, records, hub)


def change(records: Records, job: Job, **values: object) -> None:
    with records.begin() as session:
        session.execute(sa.update(Job).where(Job.id == job.id).values(**values))


def refusal(caught: pytest.ExceptionInfo[Problem]) -> int:
    return int(caught.value.status)


def test_a_job_is_its_groups_alone(jobs: JobStore) -> None:
    job, made = jobs.submit(ANNA, MAP)
    assert made
    assert (job.state, job.revision, job.attempt) == ("queued", 1, 0)
    found = jobs.get(COLLEAGUE, job.id)
    assert (found.request, found.slide_id, found.key_id) == (MAP.request, "5" * 32, ANNA.key_id)
    for principal, job_id in ((STRANGER, job.id), (ANNA, new_id())):
        for ask in (jobs.get, jobs.ask_cancel, jobs.delete_result):
            with pytest.raises(Problem, match="no such job") as caught:
                ask(principal, job_id)
            assert refusal(caught) == 404
    assert jobs.page(STRANGER) == ([], None)


def test_a_job_is_only_found_as_what_it_is(jobs: JobStore) -> None:
    job, _ = jobs.submit(ANNA, MAP)
    assert jobs.get(ANNA, job.id, kind="map").id == job.id
    with pytest.raises(Problem, match="no such training"):
        jobs.get(ANNA, job.id, kind="training")


def test_one_idempotency_key_makes_one_job(jobs: JobStore) -> None:
    once = replace(MAP, idempotency_key="key")
    job, made = jobs.submit(ANNA, once)
    again, made_again = jobs.submit(ANNA, once)
    assert (made, made_again, again.id) == (True, False, job.id)
    with pytest.raises(Problem, match="another request") as caught:
        jobs.submit(ANNA, replace(once, body=b'{"other": 1}'))
    assert refusal(caught) == 422
    with pytest.raises(Problem, match="another request"):
        jobs.submit(ANNA, replace(once, kind="training"))
    others, made = jobs.submit(COLLEAGUE, once)
    assert made
    assert others.id != job.id


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\t", "café"])
def test_idempotency_keys_that_are_none(jobs: JobStore, key: str) -> None:
    with pytest.raises(Problem, match="Idempotency-Key") as caught:
        jobs.submit(ANNA, replace(MAP, idempotency_key=key))
    assert refusal(caught) == 400


def test_the_same_request_at_the_same_moment_makes_one_job(jobs: JobStore) -> None:
    for round_ in range(5):
        once = replace(MAP, idempotency_key=f"key {round_}")
        together = threading.Barrier(8)

        def submit(_: int, once: Submission = once, gate: threading.Barrier = together) -> Job:
            gate.wait()
            return jobs.submit(ANNA, once)[0]

        with ThreadPoolExecutor(8) as pool:
            assert len({job.id for job in pool.map(submit, range(8))}) == 1
    assert len(jobs.page(ANNA)[0]) == 5


def test_too_many_waiting_jobs_of_one_group_are_refused(
    settings: Settings, records: Records, hub: Hub
) -> None:
    jobs = JobStore(replace(settings, limits=Limits(jobs_waiting=2)), records, hub)
    first, _ = jobs.submit(ANNA, replace(MAP, idempotency_key="first"))
    jobs.submit(COLLEAGUE, MAP)
    with pytest.raises(Problem, match="2 jobs of your group wait") as caught:
        jobs.submit(ANNA, MAP)
    assert refusal(caught) == 429
    assert int(caught.value.headers["Retry-After"]) > 0
    assert jobs.submit(ANNA, replace(MAP, idempotency_key="first"))[0].id == first.id
    assert jobs.submit(STRANGER, MAP)[1]
    jobs.ask_cancel(ANNA, first.id)
    assert jobs.submit(ANNA, MAP)[1]


def test_a_full_disk_takes_nothing_new(settings: Settings, records: Records, hub: Hub) -> None:
    full = replace(settings, retention=Retention(free_bytes=1 << 60))
    with pytest.raises(Problem, match="almost full") as caught:
        JobStore(full, records, hub).submit(ANNA, MAP)
    assert refusal(caught) == 503
    assert int(caught.value.headers["Retry-After"]) > 0


def test_a_used_up_quota_takes_nothing_new(settings: Settings, records: Records, hub: Hub) -> None:
    jobs = JobStore(replace(settings, retention=Retention(quota_bytes=1000)), records, hub)
    job, _ = jobs.submit(ANNA, MAP)
    change(records, job, state="succeeded", result_attempt=1, result_bytes=1001)
    with records.read() as session:
        assert used_bytes(session, ANNA.group) == 1001
    with pytest.raises(Problem, match="used up") as caught:
        jobs.submit(ANNA, MAP)
    assert refusal(caught) == 403
    assert jobs.submit(STRANGER, MAP)[1]
    jobs.delete_result(ANNA, job.id)
    assert jobs.submit(ANNA, MAP)[1]


def test_pages_show_each_job_once_newest_first(jobs: JobStore, records: Records) -> None:
    made = [jobs.submit(ANNA, MAP)[0] for _ in range(7)]
    for job in made[:4]:
        change(records, job, created_at=12.5)  # at the same moment
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = jobs.page(COLLEAGUE, cursor=cursor, limit=2)
        seen += [job.id for job in page]
        if cursor is None:
            break
        jobs.submit(ANNA, MAP)  # comes before all pages still to come
    assert len(seen) == 7
    assert seen[:3] == [job.id for job in reversed(made[4:])]
    assert set(seen) == {job.id for job in made}


def test_pages_can_be_narrowed(jobs: JobStore) -> None:
    first, _ = jobs.submit(ANNA, MAP)
    training, _ = jobs.submit(ANNA, replace(MAP, kind="training", slide_id=None))
    jobs.ask_cancel(ANNA, first.id)
    assert [job.id for job in jobs.page(ANNA, kind="training")[0]] == [training.id]
    assert [job.id for job in jobs.page(ANNA, state="cancelled")[0]] == [first.id]
    assert [job.id for job in jobs.page(ANNA, slide_id="5" * 32)[0]] == [first.id]
    assert jobs.counts() == {("map", "cancelled"): 1, ("training", "queued"): 1}


def test_a_cursor_that_is_none(jobs: JobStore) -> None:
    with pytest.raises(Problem, match="cursor") as caught:
        jobs.page(ANNA, cursor="nonsense")
    assert refusal(caught) == 400


def test_cancelling_is_at_once_and_only_once(jobs: JobStore, records: Records) -> None:
    waiting, running = (jobs.submit(ANNA, MAP)[0] for _ in range(2))
    change(records, running, state="running", attempt=3)
    for job in (waiting, running):
        cancelled = jobs.ask_cancel(ANNA, job.id)
        assert (cancelled.state, cancelled.revision > job.revision) == ("cancelled", True)
        assert jobs.get(ANNA, job.id).finished_at is not None
        with pytest.raises(Problem, match="cancelled already") as caught:
            jobs.ask_cancel(ANNA, job.id)
        assert refusal(caught) == 409
    assert not jobs.folder(waiting).exists()
    assert (jobs.folder(running) / "fence").read_text() == "cancelled"


def test_what_there_is_of_a_result(jobs: JobStore, records: Records) -> None:
    job, _ = jobs.submit(ANNA, MAP)
    with pytest.raises(Problem, match="not finished") as caught:
        jobs.result_folder(job)
    assert refusal(caught) == 409
    with pytest.raises(Problem, match="cancel it first") as caught:
        jobs.delete_result(ANNA, job.id)
    assert refusal(caught) == 409

    change(records, job, state="failed", attempt=2)
    with pytest.raises(Problem, match="has failed; it has no result") as caught:
        jobs.result_folder(jobs.get(ANNA, job.id))
    assert refusal(caught) == 404

    change(records, job, state="succeeded", result_attempt=2, result_bytes=5)
    folder = jobs.result_folder(jobs.get(ANNA, job.id))
    assert folder == jobs.attempt_folder(jobs.get(ANNA, job.id)) / "result"
    folder.mkdir(parents=True)
    for _ in range(2):
        jobs.delete_result(ANNA, job.id)
    assert not jobs.folder(job).exists()
    with pytest.raises(Problem, match="was deleted") as caught:
        jobs.result_folder(jobs.get(ANNA, job.id))
    assert refusal(caught) == 410


def test_the_audit_has_all_that_was_done_and_by_whom(jobs: JobStore, records: Records) -> None:
    job, _ = jobs.submit(ANNA, replace(MAP, idempotency_key="key"))
    jobs.submit(ANNA, replace(MAP, idempotency_key="key"))
    jobs.ask_cancel(COLLEAGUE, job.id)
    jobs.delete_result(COLLEAGUE, job.id)
    jobs.delete_result(COLLEAGUE, job.id)
    with records.read() as session:
        rows = session.scalars(sa.select(Audit).order_by(Audit.id)).all()
    assert [(row.key_id, row.action, row.outcome) for row in rows] == [
        (ANNA.key_id, "job submit", "accepted"),
        (COLLEAGUE.key_id, "job cancel", "cancelled"),
        (COLLEAGUE.key_id, "result delete", "deleted"),
    ]
    assert {(row.slide_id, row.model, row.job_id) for row in rows} == {("5" * 32, "m", job.id)}


def test_a_running_job_shows_its_newest_progress_and_a_watcher_hears_of_all(
    jobs: JobStore, records: Records, hub: Hub
) -> None:
    job, _ = jobs.submit(ANNA, MAP)
    began = hub.next_revision(job.id, job.revision)
    change(records, job, state="running", attempt=1, revision=began)
    hub.tell(job.id, 1, "reading", 0, 0)
    hub.tell(job.id, 1, "canvas", 3, 9)
    hub.tell(job.id, 1, "canvas", 4, 9)
    found = jobs.get(ANNA, job.id)
    assert (found.phase, found.done, found.total) == ("canvas", 4, 9)
    heard = jobs.updates(ANNA, job.id, job.revision)
    assert [(each.phase, each.done) for each in heard] == [
        ("reading", 0),
        ("canvas", 3),
        ("canvas", 4),
    ]
    assert len({each.revision for each in heard} | {began}) == 4
    assert jobs.updates(ANNA, job.id, heard[-1].revision) == []

    change(records, job, attempt=2, phase="", revision=hub.next_revision(job.id, began))
    assert jobs.get(ANNA, job.id).phase == ""  # what an earlier attempt had done is history
    assert [each.attempt for each in jobs.updates(ANNA, job.id, 1)] == [2]


def test_news_are_kept_for_a_while_and_go_with_the_job() -> None:
    hub = Hub()
    for done in range(NEWS_KEPT + 50):
        hub.tell("j", 1, "canvas", done, 1000)
    assert len(hub.news("j")) == NEWS_KEPT
    assert hub.news("j")[-1] == News(NEWS_KEPT + 50, 1, "canvas", NEWS_KEPT + 49, 1000)
    hub.forget("j")
    assert hub.news("j") == ()
    assert hub.next_revision("j", 0) == NEWS_KEPT + 51


def test_who_waits_is_woken_from_any_thread() -> None:
    hub = Hub()

    async def watch() -> list[float]:
        started = time.monotonic()
        threading.Timer(0.1, hub.announce, ("j", 2)).start()
        await asyncio.gather(*(hub.wait("j", 1, timeout=WAIT) for _ in range(3)))
        waited = time.monotonic() - started
        await hub.wait("j", 1, timeout=WAIT)  # has happened already
        at_once = time.monotonic() - started - waited
        await hub.wait("j", 2, timeout=0.1)  # has not
        return [waited, at_once, time.monotonic() - started - waited - at_once]

    waited, at_once, in_vain = asyncio.run(watch())
    assert 0.05 < waited < WAIT / 2
    assert at_once < WAIT / 2
    assert in_vain > 0.09


def test_revisions_only_grow() -> None:
    hub = Hub()
    assert hub.next_revision("j", 5) == 6
    hub.tell("j", 1, "canvas", 1, 2)
    assert hub.next_revision("j", 5) == 8
    hub.announce("j", 3)  # late
    assert hub.next_revision("j", 5) == 9
