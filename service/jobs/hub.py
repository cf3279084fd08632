"""Who waits for news of a job hears of it, and how far running jobs are, kept in memory."""

import asyncio
import threading
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass

NEWS_KEPT = 100  # of a running job: what a watcher who is a second late still hears
REVISIONS_KEPT = 50_000


@dataclass(frozen=True)
class News:
    """How far an attempt at a job was at a revision: `done` of `total` in a phase."""

    revision: int
    attempt: int
    phase: str
    done: int
    total: int


class Hub:
    """The newest revision of each job, and those who wait for one. For any number of threads.

    All revisions of jobs are numbered here, because progress is told sooner than it is recorded.
    `work` is set when there is something for the runner to do.
    """

    def __init__(self) -> None:
        self.work = threading.Event()
        self._lock = threading.Lock()
        self._revisions: OrderedDict[str, int] = OrderedDict()
        self._news: dict[str, deque[News]] = {}
        self._waiting: defaultdict[str, set[_Waiter]] = defaultdict(set)

    def next_revision(self, job_id: str, recorded: int) -> int:
        """A number above all that this job had; `recorded` is the one in its row."""
        with self._lock:
            return self._next(job_id, recorded)

    def announce(self, job_id: str, revision: int) -> None:
        """Wake those who wait for this revision, or an earlier one; for when it is recorded."""
        with self._lock:
            self._remember(job_id, max(revision, self._revisions.get(job_id, 0)))
            waiting = self._waiting.pop(job_id, set())
        for waiter in waiting:
            waiter.wake()

    def tell(self, job_id: str, attempt: int, phase: str, done: int, total: int) -> None:
        """Progress of a running job, for watchers at once."""
        with self._lock:
            news = News(self._next(job_id, 0), attempt, phase, done, total)
            self._news.setdefault(job_id, deque(maxlen=NEWS_KEPT)).append(news)
        self.announce(job_id, news.revision)

    def news(self, job_id: str, after_revision: int = 0) -> tuple[News, ...]:
        """What was told of a running job after a revision, oldest first."""
        with self._lock:
            known = self._news.get(job_id, ())
            return tuple(news for news in known if news.revision > after_revision)

    def forget(self, job_id: str) -> None:
        """Keep no progress of a job that no longer runs."""
        with self._lock:
            self._news.pop(job_id, None)

    async def wait(self, job_id: str, after_revision: int, timeout: float) -> None:
        """Return once the job has a later revision, or after `timeout` seconds."""
        waiter = _Waiter()
        with self._lock:
            if self._revisions.get(job_id, 0) > after_revision:
                return
            self._waiting[job_id].add(waiter)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter.woken.wait(), timeout)
        finally:
            with self._lock:
                self._waiting[job_id].discard(waiter)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def _next(self, job_id: str, recorded: int) -> int:
        revision = max(recorded, self._revisions.get(job_id, 0)) + 1
        self._remember(job_id, revision)
        return revision

    def _remember(self, job_id: str, revision: int) -> None:
        self._revisions[job_id] = revision
        self._revisions.move_to_end(job_id)
        while len(self._revisions) > REVISIONS_KEPT:
            self._revisions.popitem(last=False)


class _Waiter:
    """One coroutine that waits in its own loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self.woken.set)
