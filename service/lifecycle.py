"""How a server begins and ends."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from annotations.errors import RecordsError

from .services import Services

log = logging.getLogger("extent.server")
SECONDS_BETWEEN_TRIES = 2.0
THREADS = 32  # that wait for the database and the disk; Python's own number is too few
SECONDS_TO_BEGIN = 6.0  # after which the server answers, though not everything is there


class Lifecycle:
    """Starts and stops the parts. `prepared`: the database has the tables, jobs are seen to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.prepared = False
        self._draining: asyncio.Task[None] | None = None
        self.failure: Exception | None = None  # why the server could not be started

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Run; where the database is away, wait for it while everything else is answered."""
        threads = ThreadPoolExecutor(THREADS, "extent")
        asyncio.get_running_loop().set_default_executor(threads)
        preparing = asyncio.create_task(self._prepare())
        try:
            await self._begin(preparing)
            yield
        finally:
            await self._end(preparing)

    async def _begin(self, preparing: "asyncio.Task[None]") -> None:
        try:
            await self._services.readers.start()
            await asyncio.wait({preparing}, timeout=SECONDS_TO_BEGIN)
            if preparing.done():
                preparing.result()
        except Exception as error:
            self.failure = error
            raise
        preparing.add_done_callback(_say_if_failed)

    async def _prepare(self) -> None:
        """Bring the tables up to date and start the runner, however long the database takes."""
        waited = False
        while not await self._migrated():
            if not waited:
                log.warning("the database cannot be reached; waiting for it")
            waited = True
            await asyncio.sleep(SECONDS_BETWEEN_TRIES)
        if waited:
            log.warning("the database is there")
        await asyncio.to_thread(self._services.runner.start)
        self.prepared = True
        with suppress(RecordsError):  # whoever asks for the list has it looked at again
            await asyncio.to_thread(self._services.catalog.scan)

    async def _migrated(self) -> bool:
        try:
            await asyncio.to_thread(self._services.records.migrate)
        except RecordsError:
            return False
        return True

    async def drain(self) -> None:
        """Put the jobs down, once; meanwhile answers that are under way may end."""
        if self._draining is None:
            self._draining = asyncio.create_task(asyncio.to_thread(self._services.runner.drain))
        await asyncio.shield(self._draining)

    async def _end(self, preparing: "asyncio.Task[None]") -> None:
        preparing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await preparing
        await self.drain()
        await self._services.readers.close()
        self._services.records.close()


def _say_if_failed(preparing: "asyncio.Task[None]") -> None:
    """For a database that came late, and then was not one to work with."""
    if not preparing.cancelled() and (error := preparing.exception()) is not None:
        log.error("jobs cannot be seen to (%s); start the server again", type(error).__name__)
