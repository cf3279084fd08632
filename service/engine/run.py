"""The Dask task that sees an attempt to its end. Light to import: the work is its engine's."""

import signal
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..throttle import Throttle
from .attempt import MAX_REASON, RESULT, TOPIC, Attempt, AttemptEnd, Progress
from .engine import Engine, EngineEnded, lent
from .watch import Watch

SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_DIE = 10.0
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
Hear = Callable[[Progress], None]


def run_attempt(attempt: Attempt) -> AttemptEnd:
    """Do one attempt on a Dask worker, which hears of the progress as events on TOPIC."""
    from distributed import get_worker

    worker = get_worker()
    if isinstance(worker.name, int):
        attempt = replace(attempt, seat=worker.name)
    return supervise(attempt, lambda progress: worker.log_event(TOPIC, asdict(progress)))


def supervise(attempt: Attempt, hear: Hear) -> AttemptEnd:
    """Have an engine do an attempt; ends it as soon as its fence or its limits say so."""
    started = time.monotonic()
    try:
        end = _Supervision(attempt, hear).run()
    except (EngineEnded, OSError) as error:
        said = f"the process that computes could not be kept: {type(error).__name__}"
        end = AttemptEnd(attempt.job_id, attempt.number, "killed", said)
    return replace(end, seconds=round(time.monotonic() - started, 3))


class _Supervision:
    """One attempt under way."""

    def __init__(self, attempt: Attempt, hear: Hear) -> None:
        self._attempt = attempt
        self._hear = Throttle(hear)
        self._watch = Watch(attempt)
        self._said: dict[str, Any] = {}

    def run(self) -> AttemptEnd:
        verdict = self._watch.verdict()
        if verdict:
            return verdict
        self._attempt.folder.mkdir(parents=True, exist_ok=True)
        with lent() as engine:
            engine.order({"do": "run", "attempt": self._attempt.to_json()})
            while (status := self._listen(engine)) is None:
                verdict = self._watch.verdict()
                if verdict:
                    self._kill(engine)
                    return verdict
        return self._end(status)

    def _listen(self, engine: Engine) -> int | None:
        """Hear for a moment; how the child ended, None while it goes on."""
        for message in engine.messages(SECONDS_BETWEEN_LOOKS):
            if message.child:
                self._heard(message.fields)
            elif "exit" in message.fields:
                return int(message.fields["exit"])
        return None

    def _heard(self, said: dict[str, Any]) -> None:
        """What the child says; it may be anything."""
        if "end" in said:
            self._said = said
            return
        with suppress(KeyError, ValueError, TypeError):
            done, total = int(said["done"]), int(said["total"])
            job, number = self._attempt.job_id, self._attempt.number
            self._hear(Progress(job, number, str(said["phase"])[:20], done, total))

    def _kill(self, engine: Engine) -> None:
        """Kill the child; with it the engine where that does not obey.

        Raises:
            EngineEnded: it did not.
        """
        engine.order({"do": "kill"})
        deadline = time.monotonic() + SECONDS_TO_DIE
        while self._listen(engine) is None:
            if time.monotonic() > deadline:
                raise EngineEnded("it does not obey")

    def _end(self, status: int) -> AttemptEnd:
        end = AttemptEnd(self._attempt.job_id, self._attempt.number, "failed")
        if status < 0:
            name = signal.Signals(-status).name
            if -status in CRASHES:
                return replace(end, status="crashed", reason=f"its process crashed ({name})")
            return replace(end, status="killed", reason=f"its process was killed ({name})")
        outcome = self._said.get("outcome")
        if self._said.get("end") == "done" and isinstance(outcome, dict):
            if not _is_plain(self._attempt.folder / RESULT):
                return replace(end, reason="it left no result that could be used")
            # an attempt may be over before the first sum
            return self._watch.too_large() or replace(end, status="done", outcome=outcome)
        reason = str(self._said.get("reason") or f"its process ended without a word ({status})")
        return replace(end, reason=reason[:MAX_REASON])


def _is_plain(folder: Path) -> bool:
    """Whether a result is a folder of files alone: links would lead whoever serves it astray."""
    try:
        modes = [path.lstat().st_mode for path in folder.iterdir()]
        return stat.S_ISDIR(folder.lstat().st_mode) and all(map(stat.S_ISREG, modes))
    except OSError:
        return False
