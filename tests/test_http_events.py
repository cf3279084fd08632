"""Watching a job: every change once, the end, and what happens to those who only listen."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from annotations.errors import RecordsError
from service.event_stream import SECONDS_BETWEEN_SIGNS, EventStreams, Watch
from service.http.keys import KeyStore
from service.http.principals import LOCAL, Principal, Scope
from service.jobs.hub import Hub
from service.jobs.store import JobStore
from service.jobs.submission import Submission
from service.records.database import Records
from service.records.tables import Job
from service.settings import Limits, Settings
from tests.lab import Lab, lab, refused
from tests.patience import SECONDS, wait_for

SOON = 0.8 * SECONDS_BETWEEN_SIGNS  # whoever is not told at once hears with the next sign of life


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    name: str
    id: int
    job: dict[str, Any]


def events(answer: httpx.Response) -> Iterator[Event]:
    """The events of an open stream, as they come."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


def watched(client: httpx.Client, job: str, known: str | None = None) -> list[Event]:
    """All events until the server ends the stream."""
    headers = {"Last-Event-ID": known} if known is not None else {}
    with client.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events(answer))


@pytest.fixture
def served_lab(tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "slides").mkdir()
    with lab(Settings(tmp_path / "slides", tmp_path / "state")) as served_lab:
        yield served_lab


def test_a_cancelled_jobs_stream_tells_and_ends(served_lab: Lab) -> None:
    job = served_lab.add_job()
    with served_lab.reader.stream("GET", f"/v1/jobs/{job}/events") as answer:
        seen = events(answer)
        first = next(seen)
        assert (first.name, first.job["id"], first.job["state"]) == ("job", job, "queued")
        cancelled = served_lab.anna.delete(f"/v1/jobs/{job}").json()
        began = time.monotonic()
        rest = list(seen)
        assert time.monotonic() - began < SOON
    assert [event.job for event in rest] == [cancelled]
    assert rest[0].id == cancelled["revision"] > first.id


def test_what_is_known_is_not_told_again(served_lab: Lab) -> None:
    job = served_lab.add_job()
    served_lab.anna.delete(f"/v1/jobs/{job}")
    last = watched(served_lab.anna, job)[-1]
    assert [event.id for event in watched(served_lab.anna, job, str(last.id - 1))] == [last.id]
    path, known = f"/v1/jobs/{job}/events", {"Last-Event-ID": str(last.id)}
    assert served_lab.anna.get(path, headers=known).status_code == 204


@pytest.mark.parametrize("known", ["", "yesterday", "-1", "9" * 300, "²", "999999"])
def test_ids_that_were_never_given_count_for_nothing(served_lab: Lab, known: str) -> None:
    job = served_lab.add_job(state="failed", reason="it was torn")
    headers = [(b"Last-Event-ID", known.encode())]
    answer = served_lab.anna.get(f"/v1/jobs/{job}/events", headers=headers)
    assert [event.job["reason"] for event in events(answer)] == ["it was torn"]


def test_jobs_that_are_not_there(served_lab: Lab) -> None:
    refused(served_lab.anna.get(f"/v1/jobs/{'0' * 32}/events"), 404)
    training = served_lab.add_job(kind="training", request={})
    refused(served_lab.anna.get(f"/v1/jobs/{training}/events"), 404)
    refused(served_lab.stranger.get(f"/v1/jobs/{served_lab.add_job()}/events"), 404)


def test_who_may_no_longer_ask_hears_no_more(served_lab: Lab) -> None:
    job = served_lab.add_job()
    keys = KeyStore(served_lab.records)
    key = keys.create("leaves", Scope.READ, "pathology")
    path, theirs = f"/v1/jobs/{job}/events", {"Authorization": f"Bearer {key}"}
    with served_lab.anna.stream("GET", path, headers=theirs) as answer:
        seen = events(answer)
        assert next(seen).job["state"] == "queued"
        keys.revoke(key.split("_")[1])
        served_lab.anna.delete(f"/v1/jobs/{job}")
        assert list(seen) == []  # it ends without a word


def test_places_are_counted_and_who_leaves_frees_one(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    limits = Limits(event_streams=2)
    with lab(Settings(tmp_path / "slides", tmp_path / "state", limits=limits)) as served_lab:
        path = f"/v1/jobs/{served_lab.add_job()}/events"
        with ExitStack() as stack:
            streams = [
                events(stack.enter_context(served_lab.anna.stream("GET", path))) for _ in range(2)
            ]
            assert [next(stream).job["state"] for stream in streams] == ["queued"] * 2
            full = served_lab.anna.get(path)
            assert "listen" in refused(full, 429)
            assert int(full.headers["retry-after"]) > 0
            theirs = f"/v1/jobs/{served_lab.add_job(group='elsewhere')}/events"
            with served_lab.stranger.stream("GET", theirs) as stream:
                assert stream.status_code == 200, "another group has places of its own"

        def has_a_place() -> bool:
            with served_lab.anna.stream("GET", path) as again:
                return again.status_code == 200

        wait_for(has_a_place)


def test_many_listen_at_once_without_a_thread_each(served_lab: Lab) -> None:
    job, listeners = served_lab.add_job(), 80
    path = f"/v1/jobs/{job}/events"
    served_lab.anna.get(f"/v1/jobs/{job}")
    before = threading.active_count()
    with ExitStack() as stack:
        streams = [
            events(stack.enter_context(served_lab.anna.stream("GET", path)))
            for _ in range(listeners)
        ]
        assert {next(stream).job["state"] for stream in streams} == {"queued"}
        assert threading.active_count() - before < listeners / 2
        began = time.monotonic()
        served_lab.anna.delete(f"/v1/jobs/{job}")
        ends = [[event.job["state"] for event in stream] for stream in streams]
        assert time.monotonic() - began < SOON
    assert ends == [["cancelled"]] * listeners


def test_a_server_that_stops_sends_listeners_home(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        with lab(Settings(tmp_path / "slides", tmp_path / "state")) as served_lab:
            client = stack.enter_context(
                httpx.Client(
                    base_url=served_lab.anna.base_url,
                    headers=served_lab.anna.headers,
                    timeout=SECONDS,
                )
            )
            path = f"/v1/jobs/{served_lab.add_job()}/events"
            seen = events(stack.enter_context(client.stream("GET", path)))
            next(seen)
            rest = pool.submit(list, seen)
        assert rest.result(timeout=SECONDS) == []  # a stream that is cut off raises


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(f"sqlite:///{tmp_path / 'extent.sqlite'}")
    records.migrate()
    yield records
    records.close()


class Told(BaseModel):
    """What is told of a job here."""

    far: str

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(far=f"{job.phase}:{job.done}/{job.total}")


class AwayAtTimes(JobStore):
    """Jobs of a database that is away every other time."""

    asked = 0

    def updates(self, principal: Principal, job_id: str, after_revision: int) -> list[Job]:
        self.asked += 1
        if self.asked % 2:
            raise RecordsError("away")
        return super().updates(principal, job_id, after_revision)


async def pieces(watch: Watch) -> AsyncGenerator[str]:
    """What a watcher is sent, piece by piece."""
    answer = await watch.answer(None)
    assert isinstance(answer, StreamingResponse)
    async for piece in answer.body_iterator:
        assert isinstance(piece, bytes)
        yield piece.decode()


def test_progress_is_told_as_it_comes(tmp_path: Path, records: Records) -> None:
    hub, keys = Hub(), KeyStore(records)
    jobs = JobStore(Settings(tmp_path, tmp_path), records, hub)

    async def watching() -> list[str]:
        job, _ = jobs.submit(LOCAL, Submission("map", None, "m", None, {}, None, b""))
        with records.begin() as session:
            session.execute(sa.update(Job).values(state="running", attempt=1))
        seen = pieces(Watch(EventStreams(jobs, hub, keys, 9), LOCAL, job.id, "map", Told.of, 0.05))
        told = [await anext(seen), await anext(seen), await anext(seen)]
        for done in (1, 2):
            threading.Thread(target=hub.tell, args=(job.id, 1, "canvas", done, 2)).start()
            while (piece := await anext(seen)) == told[2]:  # another sign
                pass
            told.append(piece)
        await seen.aclose()
        return told

    retry, begun, sign, first, second = asyncio.run(asyncio.wait_for(watching(), SECONDS))
    assert retry.startswith("retry: ")
    assert sign.startswith(": ")
    for piece, said in ((begun, ":0/0"), (first, "canvas:1/2"), (second, "canvas:2/2")):
        assert f'"far":"{said}"' in piece


def test_a_database_that_is_away_for_a_while_ends_no_stream(
    tmp_path: Path, records: Records
) -> None:
    jobs, keys = AwayAtTimes(Settings(tmp_path, tmp_path), records, Hub()), KeyStore(records)

    async def watching() -> list[str]:
        job, _ = jobs.submit(LOCAL, Submission("map", None, "m", None, {}, None, b""))
        jobs.ask_cancel(LOCAL, job.id)
        seen = pieces(Watch(EventStreams(jobs, Hub(), keys, 9), LOCAL, job.id, "map", Told.of))
        return [piece async for piece in seen]

    _, away, end = asyncio.run(asyncio.wait_for(watching(), SECONDS))
    assert away.startswith(": ")
    assert end.startswith("event: job")
