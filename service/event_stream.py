"""Jobs as server-sent events: what changes is told at once, and no thread waits for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from annotations.errors import RecordsError

from .http.keys import KeyStore
from .http.principals import Principal
from .http.problems import Problem
from .jobs.hub import Hub
from .jobs.store import JobStore
from .records.tables import FINAL, Job

MEDIA_TYPE = "text/event-stream"
SECONDS_BETWEEN_SIGNS = 15.0  # of life, for proxies that close what is silent
SECONDS_WITHOUT_DATABASE = 2.0  # between tries
RETRY_MS = 2000  # after which a browser that was cut off comes back


class EventStreams:
    """All who listen: at most `most` of a group at once, and all sent home by `close`."""

    def __init__(self, jobs: JobStore, hub: Hub, keys: KeyStore, most: int) -> None:
        self.jobs, self.hub, self.keys = jobs, hub, keys
        self._most = most
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    @property
    def open(self) -> int:
        """How many listen."""
        return self._open.total()

    def close(self) -> None:
        """End all streams: a server that stops waits for its answers to end. In its event loop."""
        self._closing.set()

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    @contextmanager
    def place(self, group: str) -> Iterator[None]:
        """One of the group's places.

        Raises:
            Problem: 429, all are taken.
        """
        if self._open[group] >= self._most:
            raise Problem(
                429,
                f"{self._most} clients listen already; ask for the job now and then instead.",
                headers={"Retry-After": str(int(SECONDS_BETWEEN_SIGNS))},
            )
        self._open[group] += 1
        try:
            yield
        finally:
            self._open[group] -= 1

    async def sleep(self, seconds: float) -> None:
        """Return after so long, or when the server closes."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    async def until(self, news: Coroutine[None, None, None]) -> None:
        """Return when `news` does, or when the server closes."""
        tasks = {asyncio.create_task(news), asyncio.create_task(self._closing.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


@dataclass(frozen=True)
class Watch:
    """Who watches which job; `describe` makes of its record what the watcher is sent."""

    streams: EventStreams
    principal: Principal
    job_id: str
    kind: str
    describe: Callable[[Job], BaseModel]
    seconds_between_signs: float = SECONDS_BETWEEN_SIGNS

    async def answer(self, last_event_id: str | None) -> Response:
        """The stream of what the watcher does not know yet; 204 when nothing will come any more.

        Raises:
            Problem: 404. RecordsError: the database is away.
        """
        job = await asyncio.to_thread(self.streams.jobs.get, self.principal, self.job_id, self.kind)
        known = _revision(last_event_id)
        if known == job.revision and job.state in FINAL:
            return Response(status_code=204)  # a browser then stops coming back
        place = self.streams.place(self.principal.group)
        return _Stream(place, self._events(known))

    async def _events(self, known: int) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while not self.streams.closing:
            try:
                updates = await asyncio.to_thread(self._updates, known)
            except RecordsError:
                yield b": the database is away\n\n"
                await self.streams.sleep(SECONDS_WITHOUT_DATABASE)
                continue
            except Problem:  # the job is gone, or the key was revoked
                return
            for job in updates:
                known = job.revision
                text = self.describe(job).model_dump_json()
                yield f"event: job\nid: {known}\ndata: {text}\n\n".encode()
            if updates and updates[-1].state in FINAL:
                return
            if not updates:
                yield b": still here\n\n"
            news = self.streams.hub.wait(self.job_id, known, self.seconds_between_signs)
            await self.streams.until(news)

    def _updates(self, known: int) -> list[Job]:
        if not self.streams.keys.holds(self.principal):
            raise Problem(401, "The key is no longer good.")
        return self.streams.jobs.updates(self.principal, self.job_id, known)


class _Stream(StreamingResponse):
    """A response that takes one of the places for as long as it lasts, and notices who leaves."""

    def __init__(self, place: AbstractContextManager[None], events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type=MEDIA_TYPE, headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def _revision(last_event_id: str | None) -> int:
    """What a client says it knows; an id that is none of ours counts for nothing."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
