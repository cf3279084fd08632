"""The reader processes, shared out among slides.

Each slide that is asked for has a crew: one reader, and more, up to the number of cores, while
requests queue up. Beyond `most` readers, the one that was idle longest goes.
"""

import asyncio
import logging
import os
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from annotations.errors import SlideError

from ..http.problems import Problem
from . import jail
from .crew import GONE, Crew, Work
from .names import said, unreadable
from .protocol import Message
from .reader import ReaderEnded, ReaderHung
from .slide_ref import SlideRef, own_files
from .spare import Spare

__all__ = ["ReaderPool", "SlideRef"]

log = logging.getLogger("extent.readers")
SECONDS_TO_WAIT = 60.0  # for one's turn and the answer
SECONDS_UNCHECKED = 2.0  # for so long a slide's files may have changed unnoticed
MOST_WAITING = 1_024
MOST_WAITING_OF_A_SLIDE = 384
MOST_KNOWN = 1_000  # slides whose facts are kept
QUEUE_OF_A_READER = 2  # more waiting requests than this for each reader call for another
TURN = 64  # requests after which a reader makes room for a slide that has none
NO_READER = "No process to read slides could be started; try again shortly."
BUSY = "Too many parts of slides are being asked for; try again shortly."


@dataclass(eq=False)
class _Member:
    """One reader's place in the pool."""

    crew: Crew
    busy: bool = True
    idle_since: float = 0.0
    task: asyncio.Task[None] | None = None


class ReaderPool:
    """At most `most` reader processes, each with `patience` seconds for an answer; that may change.

    All methods run in one event loop, but `forget`.
    """

    def __init__(self, most: int, *, patience: float = 30.0) -> None:
        self._most, self.patience = most, patience
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._crews: OrderedDict[tuple[str, float | None], Crew] = OrderedDict()
        self._members: set[_Member] = set()
        self._starving: deque[Crew] = deque()
        self._spare = Spare()
        self._asking = 0
        self._loop: asyncio.AbstractEventLoop | None = None  # while open
        self.jailed = jail.available()

    async def start(self) -> None:
        """Warm up the first process."""
        self._loop = asyncio.get_running_loop()
        self._spare.warm_up()

    async def close(self) -> None:
        """End all processes."""
        self._loop = None
        tasks = [self._leave(member) for member in list(self._members)]
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
        await self._spare.end()

    @property
    def ready(self) -> bool:
        """Whether slides can be read, as far as is known."""
        return self._loop is not None and not self._spare.failed

    @property
    def processes(self) -> int:
        """How many have a slide."""
        return len(self._members)

    @property
    def asking(self) -> int:
        """How many requests wait for an answer."""
        return self._asking

    async def facts(self, ref: SlideRef) -> dict[str, Any]:
        """What there is to know of a slide: see `readers.facts`.

        Raises:
            SlideError: it cannot be opened; the text names no file.
            Problem: 503; too much is asked for.
        """
        crew = await self._crew(ref)
        if crew.facts is None:
            await self._ask(crew, {})
        assert crew.facts is not None
        return crew.facts

    async def stamp(self, ref: SlideRef) -> str:
        """A word that changes when the slide's files do. Raises SlideError: they are not there."""
        return (await self._crew(ref)).files.stamp

    async def tile(self, ref: SlideRef, level: int, column: int, row: int) -> bytes:
        """A deep-zoom tile as JPEG (see `tiling.deepzoom`); errors as of `facts`."""
        place = {"level": level, "column": column, "row": row}
        return (await self._ask(await self._crew(ref), {"do": "tile", **place})).body

    async def thumbnail(self, ref: SlideRef, longest_side: int) -> bytes:
        """A small JPEG of the scanned part; errors as of `facts`."""
        request = {"do": "thumbnail", "side": longest_side}
        return (await self._ask(await self._crew(ref), request)).body

    def forget(self, slide_id: str) -> None:
        """Let go of a slide's files: they changed, or are to be deleted. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._forget, slide_id)

    def _forget(self, slide_id: str) -> None:
        for key in [key for key in self._crews if key[0] == slide_id]:
            crew = self._crews.pop(key)
            crew.fail_all(unreadable(GONE))
            for member in [member for member in self._members if member.crew is crew]:
                self._leave(member)

    async def _crew(self, ref: SlideRef) -> Crew:
        """The crew of a slide as its files are, or were SECONDS_UNCHECKED ago."""
        key = (ref.id, ref.mpp)
        crew, now = self._crews.get(key), time.monotonic()
        if crew is not None and crew.ref == ref and now - crew.checked_at < SECONDS_UNCHECKED:
            self._crews.move_to_end(key)
            return crew
        if crew is not None:
            crew.checked_at = now  # the others need not check at the same time
        try:
            files = await asyncio.to_thread(own_files, ref.path)
        except SlideError as error:
            raise unreadable(said(error, ref.path)) from None
        crew = self._crews.get(key)
        if crew is None or crew.ref != ref or crew.files != files:
            self._forget(ref.id)
            crew = self._crews[key] = Crew(ref, files, now)
            self._forget_oldest()
        return crew

    def _forget_oldest(self) -> None:
        for key, crew in list(self._crews.items())[: max(0, len(self._crews) - MOST_KNOWN)]:
            if not crew.readers and not crew.waiting:
                del self._crews[key]

    async def _ask(self, crew: Crew, header: dict[str, Any]) -> Message:
        crew.refuse_if_hopeless()
        if self._asking >= MOST_WAITING or crew.waiting >= MOST_WAITING_OF_A_SLIDE:
            raise Problem(503, BUSY, headers={"Retry-After": "1"})
        work = Work(header, asyncio.get_running_loop().create_future())
        crew.add(work)
        self._staff(crew)
        self._asking += 1
        try:
            async with asyncio.timeout(SECONDS_TO_WAIT):
                return await work.done
        except TimeoutError:
            raise Problem(503, BUSY) from None
        finally:
            self._asking -= 1
            crew.drop(work)

    def _staff(self, crew: Crew) -> None:
        """Give a crew another reader when it needs one and there is room."""
        if not (crew.waiting and self._loop):
            return
        enough = crew.readers >= self._cores or crew.waiting <= QUEUE_OF_A_READER * crew.readers
        if crew.readers and enough:
            return
        if len(self._members) >= self._most and not self._make_room():
            if not crew.readers and crew not in self._starving:
                self._starving.append(crew)
            return
        member = _Member(crew)
        self._members.add(member)
        crew.readers += 1
        member.task = asyncio.create_task(self._serve(member))

    def _make_room(self) -> bool:
        idle = [m for m in self._members if not m.busy and not m.crew.waiting]
        if idle:
            self._leave(min(idle, key=lambda member: member.idle_since))
        return bool(idle)

    def _leave(self, member: _Member) -> asyncio.Task[None] | None:
        """Take a member's place away; its task, which then ends."""
        if member in self._members:
            self._members.remove(member)
            member.crew.readers -= 1
            if member.task is not asyncio.current_task() and member.task is not None:
                member.task.cancel()
        return member.task

    async def _serve(self, member: _Member) -> None:
        """A member's life: a process for its crew, and one request after the other."""
        crew, reader = member.crew, None
        try:
            reader = await self._spare.take()
            opened = await crew.opened(reader, jailed=self.jailed, within=self.patience)
            if self._loop is not None:
                self._spare.warm_up()
            if not opened:
                return
            served = 0
            while not (served and self._must_go(crew, served)):
                member.busy, member.idle_since = False, time.monotonic()
                work = await crew.next()
                member.busy = True
                if not await crew.answered(work, reader, within=self.patience):
                    return
                served += 1
        except (OSError, ReaderEnded, ReaderHung):
            log.error("no process to read slides could be started")
            crew.fail_all(Problem(503, NO_READER))
        finally:
            self._leave(member)
            if reader is not None:
                await reader.end()
            for hungry in [self._starving.popleft() for _ in range(len(self._starving))]:
                self._staff(hungry)
            self._staff(crew)

    def _must_go(self, crew: Crew, served: int) -> bool:
        """Whether this reader's place is needed more by a slide that has none."""
        return bool(self._starving) and (served >= TURN or crew.readers > 1 or not crew.waiting)
