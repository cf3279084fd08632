"""The maps of jobs: as they are being made, and after."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import ResultError
from model.stored import StoredResult
from tiling.canvas_view import CanvasView
from tiling.frame import Frame
from tiling.map_zoom import CanvasSource, MapSource, StoredSource

from .engine.attempt import RESULT
from .http.problems import Problem
from .jobs.store import JobStore
from .records.tables import FINAL, Job
from .results import ResultPlace

MAPS_KEPT_OPEN = 16
CACHE_BYTES = 8 << 20  # of decoded tiles, a map
COUNTS_KEPT = 64
SECONDS_TO_LOOK_AGAIN = 1
_Key = tuple[str, int, int]  # job, attempt, revision


@dataclass(frozen=True)
class JobMap:
    """A job's map: where its pixels lie, and their values as they are now."""

    frame: Frame
    source: MapSource
    finished: bool


@dataclass(frozen=True)
class Areas:
    """How many pixels of a map have each of the 256 values, and what one of them covers."""

    pixel_area_mm2: float
    counts: tuple[int, ...]
    revision: int
    finished: bool


class MapTiles:
    """Opens maps; finished ones are kept open for a while. For any number of threads."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs, self._stored = jobs, _OpenMaps()
        self._counts: OrderedDict[_Key, Areas] = OrderedDict()
        self._counting = asyncio.Lock()

    @contextmanager
    def opened(self, job: Job) -> Iterator[JobMap]:
        """The job's map as it is now.

        Raises:
            Problem: 409, it has not begun, or never came to be; 410, it was deleted.
        """
        if job.state in FINAL:
            with self._stored.lent(self._jobs.result_folder(job)) as (frame, source):
                yield JobMap(frame, source, finished=True)
            return
        attempt = self._jobs.attempt_folder(job)
        view = CanvasView.open(ResultPlace(attempt, RESULT).canvas)
        if view is not None:
            with view, _canvas_errors():
                yield JobMap(view.frame, CanvasSource(view), finished=False)
        elif (attempt / RESULT).is_dir():  # whole, but not published yet
            with self._stored.lent(attempt / RESULT) as (frame, source):
                yield JobMap(frame, source, finished=False)
        else:
            raise _not_yet()

    async def areas(self, job: Job) -> Areas:
        """The values of the job's map, counted: once a revision, one map at a time.

        Errors as of `opened`.
        """
        key = job.id, job.attempt, job.revision
        if key not in self._counts:
            async with self._counting:
                if key not in self._counts:
                    self._keep(key, await asyncio.to_thread(self._counted, job))
        return self._counts[key]

    def _counted(self, job: Job) -> Areas:
        with self.opened(job) as found:
            counts = tuple(found.source.counts().tolist())
            return Areas(found.frame.pixel_area_mm2, counts, job.revision, found.finished)

    def _keep(self, key: _Key, areas: Areas) -> None:
        self._counts[key] = areas
        while len(self._counts) > COUNTS_KEPT:
            self._counts.popitem(last=False)


class _OpenMap:
    """A finished map that is open, and how many hold it."""

    def __init__(self, folder: Path) -> None:
        result = StoredResult.read(folder)
        self.frame = result.frame
        self.stored = result.open_map(CACHE_BYTES)
        self.holders = 1  # who keeps it open


class _OpenMaps:
    """The last maps that were asked for; one that is dropped closes when nobody reads it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, _OpenMap] = OrderedDict()

    @contextmanager
    def lent(self, folder: Path) -> Iterator[tuple[Frame, StoredSource]]:
        """A result's map, open.

        Raises:
            Problem: 410; it is not there any more, or broken.
        """
        try:
            with self._lock:
                held = self._taken(folder)
            try:
                yield held.frame, StoredSource(held.stored)
            finally:
                with self._lock:
                    _let_go(held)
        except ResultError:
            raise Problem(
                410, "The map's file is not there any more, or broken; run the job again."
            ) from None

    def _taken(self, folder: Path) -> _OpenMap:
        held = self._kept.get(folder)
        if held is None:
            held = self._kept[folder] = _OpenMap(folder)
        self._kept.move_to_end(folder)
        held.holders += 1
        while len(self._kept) > MAPS_KEPT_OPEN:
            _let_go(self._kept.popitem(last=False)[1])
        return held


def _let_go(held: _OpenMap) -> None:
    held.holders -= 1
    if not held.holders:
        held.stored.close()


@contextmanager
def _canvas_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise _not_yet() from None


def _not_yet() -> Problem:
    return Problem(
        409,
        "The map has not begun yet; ask again in a moment.",
        headers={"Retry-After": str(SECONDS_TO_LOOK_AGAIN)},
    )
