"""The workers that attempts run on: a Dask cluster that may go and come back."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from annotations.errors import ExtentError

from ..cluster import Share, available_cores, connected, embedded
from ..engine.attempt import TOPIC, Attempt, AttemptEnd, Progress
from ..settings import Settings
from .once import Task, run_once
from .shared import Shared

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger("extent.workers")
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_FOR_AN_ANSWER = 10.0
LOOKS_IN_VAIN = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between tries to connect

STARTING = "The workers are starting."
AWAY = "The cluster of workers cannot be reached."
NONE_THERE = "There are no workers at present."
BLIND = "A worker does not see the slides' folder or the state folder as the server does."


@dataclass(frozen=True)
class Lost:
    """How an attempt ended without a word: with its worker, or with the whole cluster."""

    cluster: bool
    reason: str = ""


End = AttemptEnd | Lost


@dataclass(frozen=True)
class Listener:
    """Who hears what becomes of attempts. Called from threads of Dask's."""

    heard: Callable[[Progress], None]
    ended: Callable[[Attempt, End], None]
    changed: Callable[[], None]  # workers came or went


class Workers:
    """Connects to the cluster, or starts one, and does so again whenever it is lost.

    Whatever was submitted ends in one call of `Listener.ended`, as long as this is open.
    """

    def __init__(self, settings: Settings, task: Task, listener: Listener) -> None:
        self._settings, self._task, self._listener = settings, task, listener
        cores = available_cores()
        self._share = Share.of(cores, cores, settings.workers)
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._under_way: dict[str, tuple[Attempt, Future]] = {}
        self._seeing: dict[str, bool] = {}  # address -> whether the worker sees the folders
        self._said = STARTING
        self._lost = threading.Event()  # the connection
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="extent-workers", daemon=True)

    @property
    def said(self) -> str:
        """Why nothing can be begun; empty where all is well."""
        return self._said

    @property
    def count(self) -> int:
        """How many attempts may be under way at a time."""
        return 0 if self._said else len(self._seeing)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Let go of the cluster, and end it where it is this server's own."""
        self._closing.set()
        self._lost.set()
        self._thread.join(timeout)

    def submit(self, attempt: Attempt) -> None:
        """Have a worker begin an attempt."""
        key = f"extent-{attempt.job_id}-{attempt.number}"
        if self._settings.cluster is None:
            attempt = replace(attempt, threads=self._share.threads)
        with self._lock:
            future = None if self._client is None else self._handed_over(self._client, key, attempt)
            if future is not None:
                self._under_way[key] = (attempt, future)
        if future is None:
            self._listener.ended(attempt, Lost(cluster=True))
        else:
            future.add_done_callback(partial(self._done, key))

    def _handed_over(self, client: "Client", key: str, attempt: Attempt) -> "Future | None":
        try:
            return client.submit(run_once, self._task, attempt, key=key, pure=False)
        except Exception as error:  # whatever Dask raises while the connection is being lost
            log.warning("an attempt could not be handed over: %s", type(error).__name__)
            return None

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            self._lost.clear()
            try:
                with self._cluster() as client:
                    client.subscribe_topic(TOPIC, self._received)
                    with self._lock:
                        self._client = client
                    pause = FIRST_PAUSE
                    self._watch(client)
                    self._let_go()
            except Exception as error:  # whatever Dask raises: the cluster is not there
                log.warning("the cluster is lost: %s", type(error).__name__)
            self._let_go()
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _cluster(self) -> "AbstractContextManager[Client]":
        if self._settings.cluster is not None:
            return connected(self._settings.cluster, self._settings.tls)
        return embedded(self._share)

    def _watch(self, client: "Client") -> None:
        """Look after the workers until the connection is lost."""
        in_vain = 0
        while not self._lost.is_set() and client.status == "running" and in_vain < LOOKS_IN_VAIN:
            try:
                self._look(client)
                in_vain = 0
            except (OSError, TimeoutError, ExtentError):
                in_vain += 1
            self._lost.wait(SECONDS_BETWEEN_LOOKS)
        if not self._closing.is_set():
            log.warning("the connection to the cluster is lost")

    def _look(self, client: "Client") -> None:
        """Find out which workers there are, and whether new ones see the folders."""
        there: Mapping[str, Any] = client.sync(
            client.scheduler.ncores, callback_timeout=SECONDS_FOR_AN_ANSWER
        )
        known = {address: self._seeing[address] for address in there if address in self._seeing}
        new = [address for address in there if address not in known]
        if new:
            shared = Shared.between(self._settings.data, self._settings.jobs)
            answers = client.run(shared.is_seen, workers=new, on_error="return")
            known |= {address: answer is True for address, answer in answers.items()}
        changed, self._seeing = known != self._seeing, known
        self._said = "" if all(known.values()) else BLIND
        if not known:
            self._said = NONE_THERE
        if changed:
            self._listener.changed()

    def _let_go(self) -> None:
        """Whatever is under way on a lost cluster has ended for the server."""
        with self._lock:
            self._client = None
            left = list(self._under_way.values())
            self._under_way.clear()
        self._seeing, self._said = {}, AWAY
        for attempt, _ in left:
            self._listener.ended(attempt, Lost(cluster=True))
        self._listener.changed()

    def _received(self, event: tuple[float, Any]) -> None:
        with suppress(KeyError, TypeError):  # not ours
            message = event[1]  # the fields of Progress, and Dask's own
            named = {field.name: message[field.name] for field in fields(Progress)}
            self._listener.heard(Progress(**named))

    def _done(self, key: str, future: "Future") -> None:
        with self._lock:
            attempt, _ = self._under_way.pop(key, (None, None))
        if attempt is not None:
            self._listener.ended(attempt, self._end_of(future))

    def _end_of(self, future: "Future") -> End:
        if future.status == "finished":
            with suppress(Exception):  # the result is lost with the worker that held it
                end = future.result(timeout=SECONDS_FOR_AN_ANSWER)
                if isinstance(end, AttemptEnd):
                    return end
        if future.status == "cancelled":
            self._lost.set()
            return Lost(cluster=True)
        error = ""
        with suppress(Exception):
            error = type(future.exception(timeout=SECONDS_FOR_AN_ANSWER)).__name__
        log.warning("an attempt was lost: %s", error)
        return Lost(cluster=False, reason=error)
