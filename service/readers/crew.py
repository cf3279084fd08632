"""The readers of one slide, the requests that wait for them, and whether it is worth trying."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from annotations.errors import SlideError

from .names import unreadable
from .protocol import Message
from .reader import Reader, ReaderEnded, ReaderHung
from .slide_ref import OwnFiles, SlideRef

log = logging.getLogger("extent.readers")
TRIES = 3  # of a request whose readers are killed from outside
STRIKES = 3  # deaths within STRIKE_SECONDS after which a slide is left alone for that time
STRIKE_SECONDS = 60.0
UNREADABLE_SECONDS = 10.0  # for so long an answer that a slide cannot be opened stands
DIED = "its decoder failed; the file may be damaged"
HUNG = "it takes too long to decode; the file may be damaged"
GONE = "its file was changed or taken away"
LEFT_ALONE = "it stopped its readers several times; it is left alone for a minute"


@dataclass(eq=False)
class Work:
    """A request that waits for a reader; an empty one only wants the slide opened."""

    header: dict[str, Any]
    done: asyncio.Future[Message]
    kills: int = 0

    @property
    def wanted(self) -> bool:
        return not self.done.done()

    def fail(self, error: Exception) -> None:
        if self.wanted:
            self.done.set_exception(error)

    def succeed(self, reply: Message) -> None:
        if self.wanted:
            self.done.set_result(reply)


@dataclass(eq=False)
class Crew:
    """One slide, as long as its files do not change. `facts` are known once it was opened."""

    ref: SlideRef
    files: OwnFiles
    checked_at: float
    facts: dict[str, Any] | None = None
    readers: int = 0
    _waiting: deque[Work] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _strikes: deque[float] = field(default_factory=lambda: deque(maxlen=STRIKES))
    _refusal: tuple[str, float] | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def refuse_if_hopeless(self) -> None:
        """Raises SlideError while the slide is left alone."""
        if self._refusal is not None and time.monotonic() < self._refusal[1]:
            raise SlideError(self._refusal[0])
        self._refusal = None

    def add(self, work: Work) -> None:
        self._waiting.append(work)
        self._arrived.set()

    def drop(self, work: Work) -> None:
        """Nobody waits for it any more."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(work)

    async def next(self) -> Work:
        """The longest waiting request that is still wanted."""
        while True:
            if work := self._popped():
                return work
            self._arrived.clear()
            await self._arrived.wait()

    def fail_all(self, error: Exception) -> None:
        """Answer everyone who waits with an error."""
        while work := self._popped():
            work.fail(error)

    async def opened(self, reader: Reader, *, jailed: bool, within: float) -> bool:
        """Have a new reader open the slide; False when that failed and its requests know it."""
        try:
            self.facts = await reader.open(self.files, self.ref.mpp, jailed=jailed, within=within)
        except SlideError as error:
            self._refusal = (str(error), time.monotonic() + UNREADABLE_SECONDS)
            self.fail_all(error)
        except (ReaderEnded, ReaderHung) as end:
            self._lost(self._popped(), end)
        else:
            return True
        return False

    async def answered(self, work: Work, reader: Reader, *, within: float) -> bool:
        """Have a reader do a request; False when the reader is lost."""
        if not work.header:
            work.succeed(Message({}))
            return True
        try:
            work.succeed(await reader.ask(work.header, within))
        except SlideError as error:
            work.fail(error)
        except (ReaderEnded, ReaderHung) as end:
            self._lost(work, end)
            return False
        except asyncio.CancelledError:
            work.fail(unreadable(GONE))
            raise
        return True

    def _popped(self) -> Work | None:
        while self._waiting:
            if (work := self._waiting.popleft()).wanted:
                return work
        return None

    def _lost(self, work: Work | None, end: ReaderEnded | ReaderHung) -> None:
        """A reader was lost in the midst of a request, which is tried again where that helps."""
        log.warning("a reader of slide %s was lost: %s", self.ref.id, end)
        from_outside = isinstance(end, ReaderEnded) and end.from_outside
        if work is None and from_outside:
            return
        if work is not None:
            work.kills += from_outside
            if from_outside and work.kills < TRIES:
                self._waiting.appendleft(work)
                return
            work.fail(unreadable(HUNG if isinstance(end, ReaderHung) else DIED))
        now = time.monotonic()
        self._strikes.append(now)
        if len(self._strikes) == STRIKES and now - self._strikes[0] < STRIKE_SECONDS:
            self._refusal = (str(unreadable(LEFT_ALONE)), now + STRIKE_SECONDS)
            self._strikes.clear()
            self.fail_all(unreadable(LEFT_ALONE))
