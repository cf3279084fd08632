"""Whether a server's parts are there, and the figures that they give."""

import shutil
from collections.abc import Iterator, Mapping
from typing import Literal

import sqlalchemy as sa

from annotations.errors import RecordsError

from .records.tables import STATES
from .services import Services

Part = Literal["database", "cluster", "disk", "readers"]


def parts_of(services: Services, prepared: bool) -> dict[Part, str | None]:
    """What is wrong with each part, None for nothing; `prepared`: the database has its tables.

    Asks the database and the disk, so not for the event loop.
    """
    return {
        "database": _database(services) if prepared else "cannot be reached",
        "cluster": _cluster(services) if prepared else "waits for the database",
        "disk": _disk(services),
        "readers": _readers(services),
    }


def _database(services: Services) -> str | None:
    try:
        with services.records.read() as session:
            session.execute(sa.select(1))
    except RecordsError:
        return "cannot be reached"
    return None


def _cluster(services: Services) -> str | None:
    state = services.runner.state
    return None if state.ready else state.said


def _disk(services: Services) -> str | None:
    try:
        free = shutil.disk_usage(services.settings.state).free
    except OSError:
        return "cannot be reached"
    return "nearly full" if free < services.settings.retention.free_bytes else None


def _readers(services: Services) -> str | None:
    return None if services.readers.ready else "no process to read slides could be started"


Gauge = tuple[str, str, Mapping[str, float]]


def gauges_of(services: Services) -> Iterator[Gauge]:
    """Figures of a moment, for Prometheus; those of a database that is away are left out."""
    runner, readers = services.runner.state, services.readers
    found, made = services.tiles.found_and_made
    yield "extent_workers", "Workers of the cluster.", {"there": runner.workers}
    yield "extent_attempts", "Attempts at jobs under way.", {"running": runner.running}
    yield "extent_readers", "Processes that decode slides.", {"open": readers.processes}
    yield "extent_reads", "Requests to them.", {"waiting": readers.asking}
    yield "extent_pictures_total", "Tiles and thumbnails.", {"found": found, "made": made}
    try:
        counted = services.jobs.counts()
    except (RecordsError, sa.exc.DBAPIError):
        return
    jobs: dict[str, float] = dict.fromkeys(STATES, 0.0)
    for (_, state), count in counted.items():
        jobs[state] += count
    yield "extent_jobs", "Jobs by state.", jobs
