"""A process kept warm, so that a slide opens without waiting for Python to start."""

import asyncio
import contextlib

from .reader import Reader, ReaderEnded, ReaderHung

STARTS = 10  # of a process that is killed from outside before it is ready


class Spare:
    """One process ahead of need. All methods run in one event loop."""

    def __init__(self) -> None:
        self._starting: asyncio.Task[Reader] | None = None

    @property
    def failed(self) -> bool:
        """Whether the last process that was started ahead did not come up."""
        task = self._starting
        return task is not None and task.done() and not task.cancelled() and bool(task.exception())

    def warm_up(self) -> None:
        """Start one ahead, unless there is one that came up or still may."""
        self._started()

    async def take(self) -> Reader:
        """The warm process, or a new one. Raises what `Reader.start` does."""
        killed = 0
        while True:
            task = self._started()
            await asyncio.wait({task})  # unlike awaiting it, this loses no process when cancelled
            if self._starting is not task:
                continue
            self._starting = None
            try:
                return task.result()
            except ReaderEnded as end:
                killed += 1
                if killed == STARTS or not end.from_outside:
                    raise

    async def end(self) -> None:
        """End the process that nobody took."""
        if self._starting is not None:
            with contextlib.suppress(OSError, ReaderEnded, ReaderHung):
                await (await self._starting).end()
            self._starting = None

    def _started(self) -> asyncio.Task[Reader]:
        if self._starting is None or self.failed:
            self._starting = asyncio.create_task(Reader.start())
        return self._starting
