"""The one who sees each job through to its end."""

import logging
import threading
import traceback
from contextlib import ExitStack
from dataclasses import dataclass

from tiling.rawplanes import disk_errors

from ..locks import LOCK, held
from ..model_shelf import ModelShelf
from ..records.belonging import check_belonging
from ..records.database import Records
from ..settings import Settings
from ..slides.catalog import Catalog
from .desk import Desk
from .hub import Hub
from .ledger import Ledger
from .once import Task, run_engine
from .preparation import Preparation
from .retention import Retention
from .workers import Listener, Workers

log = logging.getLogger("extent.runner")
SECONDS_BETWEEN_TURNS = 1.0
SECONDS_TO_STOP = 12.0  # for attempts under way
SECONDS_TO_CLOSE = 8.0  # for the workers
SECONDS_FOR_ANOTHER = 5.0  # server to end

STOPPED = "The server does not run jobs now."
BUSY = "--state: another server works in this folder; stop that first, or give another --state"


@dataclass(frozen=True)
class RunnerState:
    """Whether jobs are begun; if not, `said` is why. `workers` and `running` are counts."""

    ready: bool
    said: str
    workers: int
    running: int


class Runner:
    """Begins waiting jobs on the workers and records how they end, in a thread of its own.

    `task` is what a worker does of an attempt.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        hub: Hub,
        catalog: Catalog,
        models: ModelShelf,
        *,
        task: Task = run_engine,
    ) -> None:
        self._settings, self._records, self._hub = settings, records, hub
        preparation = Preparation(settings, records, catalog, models)
        self._desk = Desk(settings, hub, Ledger(settings, records, hub), preparation)
        listener = Listener(self._desk.heard, self._desk.ended, self.wake)
        self._workers = Workers(settings, task, listener)
        self._retention = Retention(settings, records, hub)
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held = ExitStack()

    @property
    def state(self) -> RunnerState:
        """How things are; for any thread."""
        said = self._desk.said or self._workers.said
        if self._thread is None:
            said = STOPPED
        return RunnerState(not said, said, self._workers.count, self._desk.running)

    def start(self) -> None:
        """Begin; returns before the workers are there.

        Raises:
            ResultError: another server works in this state folder, or the disk refuses.
            UsageError: the database is another state folder's. RecordsError: it is away.
        """
        with self._starting:
            if self._stopping.is_set():
                return
            with disk_errors(self._settings.state):
                self._settings.jobs.mkdir(parents=True, exist_ok=True)
            lock = held(self._settings.state / LOCK, wait_s=SECONDS_FOR_ANOTHER, busy=BUSY)
            with ExitStack() as stack:
                stack.enter_context(lock)
                check_belonging(self._records, self._settings.state)
                self._held = stack.pop_all()
            self._workers.start()
            self._retention.start()
            self._thread = threading.Thread(target=self._run, name="extent-runner", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._hub.work.set()

    def drain(self) -> None:
        """Begin nothing more, stop what is under way, and leave it to the next server.

        Within 30 s. What the attempts have computed stays.
        """
        self._stopping.set()
        self.wake()
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join()
        self._desk.stop(SECONDS_TO_STOP)
        self._workers.close(SECONDS_TO_CLOSE)
        self._retention.close()
        self._held.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._hub.work.clear()
            try:
                self._desk.turn(self._workers)
            except Exception as error:  # a fault of Extent; the jobs of others go on
                where = "".join(traceback.format_tb(error.__traceback__))
                log.error("unforeseen %s in the runner\n%s", type(error).__name__, where)
            self._hub.work.wait(SECONDS_BETWEEN_TURNS)
