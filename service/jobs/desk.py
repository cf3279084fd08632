"""Where jobs go out to the workers and their ends come in."""

import threading
import time
from contextlib import suppress
from dataclasses import replace

from annotations.errors import RecordsError, ResultError

from ..engine.attempt import Attempt, AttemptEnd, Progress
from ..records.tables import FINAL
from ..settings import Settings
from . import fence
from .folders import remove_attempts
from .hub import Hub
from .ledger import Ledger
from .preparation import CannotBegin, Preparation
from .room import disk_has_room
from .turns import Turns
from .workers import End, Lost, Workers

SECONDS_BETWEEN_NOTES = 1.0  # of progress, in the records
SECONDS_BETWEEN_COUNTS = 10.0  # of what runs by the records

DATABASE_AWAY = "The database cannot be reached, is locked or full."
DISK_FULL = "The disk is almost full, or refuses."


class Desk:
    """What is under way, and what ended and is not recorded yet.

    `turn` and `stop` are for one thread; `heard` and `ended` for any. An end stays here until it
    is recorded, however long the database is away.
    """

    def __init__(
        self, settings: Settings, hub: Hub, ledger: Ledger, preparation: Preparation
    ) -> None:
        self._settings, self._hub = settings, hub
        self._ledger, self._preparation = ledger, preparation
        self._turns = Turns()
        self._lock = threading.Lock()
        self._ends: list[tuple[Attempt, End]] = []
        self._noted: dict[str, int] = {}  # job id -> the revision in its record
        self._note_at = self._count_at = 0.0  # when to do so next, on the monotonic clock
        self.said = ""  # why nothing is begun

    @property
    def running(self) -> int:
        return len(self._turns.under_way)

    def heard(self, progress: Progress) -> None:
        """An attempt said how far it is."""
        attempt = self._turns.under_way.get(progress.job_id)
        if attempt is not None and attempt.number == progress.number:
            self._hub.tell(
                progress.job_id, progress.number, progress.phase, progress.done, progress.total
            )

    def ended(self, attempt: Attempt, end: End) -> None:
        """An attempt ended."""
        with self._lock:
            self._ends.append((attempt, end))
        self._hub.work.set()

    def turn(self, workers: Workers) -> None:
        """Record what there is to record, then begin what can begin. Says why where it cannot."""
        try:
            self._record_ends(draining=False)
            self._note_progress()
            self._count()
            self.said = "" if disk_has_room(self._settings) else DISK_FULL
            while not self.said and self.running < workers.count and self._begin(workers):
                pass
        except RecordsError:
            self.said, self._count_at = DATABASE_AWAY, 0.0
        except (ResultError, OSError):
            self.said, self._count_at = DISK_FULL, 0.0

    def stop(self, seconds: float) -> None:
        """Stop what is under way and put it in the queue again; done all the same is done.

        What cannot be recorded now, the next server finds out.
        """
        for attempt in list(self._turns.under_way.values()):
            with suppress(ResultError):
                fence.let_go_on(attempt.folder.parent, attempt.number + 1)
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            with suppress(RecordsError, ResultError, OSError):
                self._record_ends(draining=True)
            self._hub.work.wait(0.2)
            self._hub.work.clear()
        for attempt in list(self._turns.under_way.values()):
            self.ended(attempt, Lost(cluster=True))
        with suppress(RecordsError, ResultError, OSError):
            self._record_ends(draining=True)

    def _record_ends(self, *, draining: bool) -> None:
        """Record each end; one that cannot be recorded does not hold up the others.

        Raises:
            RecordsError, ResultError, OSError: what kept one from being recorded; it stays.
        """
        refused: Exception | None = None
        for entry in list(self._ends):
            try:
                self._record(*entry, draining=draining)
            except (RecordsError, ResultError, OSError) as error:
                refused = error
                continue
            with self._lock:
                self._ends.remove(entry)
        if refused is not None:
            raise refused

    def _record(self, attempt: Attempt, end: End, *, draining: bool) -> None:
        status, last = _status(attempt, end, draining)
        if status == "failed" and not disk_has_room(self._settings):
            status = "again"  # that is probably why; it waits until there is room
        job = self._ledger.record(status, last)
        self._turns.ended(attempt.job_id, attempt.number)
        self._noted.pop(attempt.job_id, None)
        if job is not None and job.state in FINAL:
            remove_attempts(attempt.folder.parent, but={job.result_attempt})
        elif job is not None and status != "again":
            self._turns.rest(job)

    def _note_progress(self) -> None:
        if time.monotonic() < self._note_at:
            return
        newest = {}
        for job_id in self._turns.under_way:
            for news in self._hub.news(job_id)[-1:]:
                if news.revision != self._noted.get(job_id):
                    newest[job_id] = news
        if newest:
            self._ledger.note(newest)
        self._noted |= {job_id: news.revision for job_id, news in newest.items()}
        self._note_at = time.monotonic() + SECONDS_BETWEEN_NOTES

    def _count(self) -> None:
        """Compare what runs by the records with what is under way."""
        if time.monotonic() < self._count_at:
            return
        known = {(job_id, each.number) for job_id, each in self._turns.under_way.items()}
        self._ledger.strays(known)
        self._count_at = time.monotonic() + SECONDS_BETWEEN_COUNTS

    def _begin(self, workers: Workers) -> bool:
        """Begin the job whose turn it is; whether to look for another."""
        job = self._turns.next(self._ledger.heads(self._turns.resting))
        if job is None:
            return False
        begun = self._ledger.begin(job)
        if begun is None:
            return True
        try:
            attempt = self._preparation.attempt(begun)
        except CannotBegin as cannot:
            self._ledger.record("failed", AttemptEnd(job.id, begun.attempt, "failed", str(cannot)))
            return True
        needed = {attempt.number}
        if attempt.previous is not None:
            needed.add(int(attempt.previous.name))
        remove_attempts(attempt.folder.parent, but=needed)
        self._turns.begun(begun, attempt)
        workers.submit(attempt)
        return True


def _status(attempt: Attempt, end: End, draining: bool) -> tuple[str, AttemptEnd]:
    """What `Ledger.record` takes."""
    if isinstance(end, AttemptEnd) and end.status != "stopped":
        return end.status, replace(end, job_id=attempt.job_id, number=attempt.number)
    innocent = draining or (isinstance(end, Lost) and end.cluster)
    last = AttemptEnd(attempt.job_id, attempt.number, "stopped", end.reason)
    return "again" if innocent else "lost", last
