"""A reader process as the server sees it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from typing import Any, Self

from ..process import CHILD_ENVIRONMENT, child_command
from .names import unreadable
from .protocol import Message, ProtocolError, receive
from .slide_ref import OwnFiles

SECONDS_TO_START = 60.0


class ReaderEnded(Exception):  # noqa: N818  (not an error of ours: it may have been killed)
    """A reader process ended in the midst of a request, by `signal` if any."""

    def __init__(self, number: int | None) -> None:
        super().__init__("it ended" if number is None else signal.Signals(number).name)
        self.signal = number

    @property
    def from_outside(self) -> bool:
        """Whether somebody killed it, rather than it failing at its slide."""
        return self.signal in (signal.SIGKILL, signal.SIGTERM)


class ReaderHung(Exception):  # noqa: N818
    """A reader process did not answer in time."""

    def __init__(self) -> None:
        super().__init__("it did not answer in time")


class Reader:
    """One process, which answers one request at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._process = process
        self._incoming, self._outgoing = streams

    @classmethod
    async def start(cls) -> Self:
        """A process that has all it needs in memory, and waits for its slide.

        Raises:
            ReaderEnded, ReaderHung: it did not start.
            OSError: the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                child_command("service.readers.child", str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a library's last words can quote a file
                cwd="/",
                env={**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": "1"},
            )
        reader = cls(process, await asyncio.open_connection(sock=ours))
        try:
            await reader._exchange(None, SECONDS_TO_START)
        except BaseException:
            await reader.end()
            raise
        return reader

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open(
        self, files: OwnFiles, mpp: float | None, *, jailed: bool, within: float
    ) -> dict[str, Any]:
        """Confine the process to a slide, and open it; its facts. Errors as of `ask`."""
        request: dict[str, Any] = {"do": "open", "path": str(files.path), "mpp": mpp}
        request |= {"sees": [str(path) for path in files.sees], "jail": jailed}
        facts = (await self.ask(request, within)).header.get("facts")
        if not isinstance(facts, dict):
            raise ReaderEnded(None)
        return facts

    async def ask(self, header: dict[str, Any], within: float) -> Message:
        """The answer to a request, in at most `within` seconds.

        Raises:
            SlideError: what the process says of the slide.
            ReaderEnded: it died, or spoke nonsense.
            ReaderHung: it took too long.
        """
        reply = await self._exchange(Message(header), within)
        if "error" in reply.header:
            raise unreadable(str(reply.header["error"]))
        return reply

    async def _exchange(self, request: Message | None, within: float) -> Message:
        try:
            async with asyncio.timeout(within):
                if request is not None:
                    self._outgoing.write(request.packed())
                return await receive(self._incoming)
        except TimeoutError:
            raise ReaderHung from None
        except ProtocolError:
            raise ReaderEnded(None) from None
        except (EOFError, OSError):
            status = await asyncio.to_thread(self._process.wait)
            raise ReaderEnded(-status if status < 0 else None) from None

    async def end(self) -> None:
        """Kill it: it has nothing to lose."""
        self._process.kill()
        self._outgoing.close()
        with contextlib.suppress(OSError):
            await self._outgoing.wait_closed()
        await asyncio.to_thread(self._process.wait)
