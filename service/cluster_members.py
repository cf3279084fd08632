"""A Dask scheduler or worker as a process of its own, until it is told to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotations.errors import ExtentError, UsageError

from .certificates import security
from .cluster import EMBEDDED_CONFIG, check_address, quiet
from .loopback import is_loopback
from .process import NICENESS, lower_priority

Say = Callable[[str], None]
Make = Callable[[], AbstractAsyncContextManager[Any]]
_PASSING = OSError | TimeoutError | RuntimeError  # what Dask raises where nobody answers

LOOPBACK = "127.0.0.1"
ANY_PORT = 9
SECONDS_BETWEEN_TRIES = 2.0
SECONDS_TO_STOP = 10.0
NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # Dask insists on a server


@dataclass(frozen=True)
class Member:
    """Where a member of a cluster listens, and the folder of its certificates, if any."""

    host: str
    port: int
    tls: Path | None

    def __post_init__(self) -> None:
        if self.tls is None and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host}: beyond this machine only with --tls, because Dask's messages "
                "are programs; `extent certificates DIR` makes what it takes"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What Dask is told of it.

        Raises:
            UsageError: the certificates are not there.
        """
        where = {"host": self.host, "port": self.port, **NO_DASHBOARD}
        if self.tls is None:
            return where | {"protocol": "tcp://"}
        return where | {"protocol": "tls://", "security": security(self.tls)}


def run_scheduler(member: Member, say: Say) -> None:
    """Bring clients and workers together until SIGINT or SIGTERM.

    Raises:
        ExtentError: it cannot listen there.
    """
    from distributed import Scheduler

    options = member.options
    _run(lambda: Scheduler(**options), say, again=False)


def run_worker(scheduler: str, host: str | None, tls: Path | None, say: Say) -> None:
    """Work for a scheduler until SIGINT or SIGTERM; waits for it where it is not there.

    `host` is where to listen; None for the address by which this machine reaches the scheduler.

    Raises:
        UsageError: the address is neither tls:// nor this machine's own.
    """
    from distributed import Nanny

    check_address(scheduler, "SCHEDULER")
    options = Member(host or LOOPBACK, 0, tls).options | {
        "nthreads": 1,
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,  # it would name files
    }
    lower_priority(NICENESS)

    def make() -> AbstractAsyncContextManager[Any]:
        where = host or _address_towards(scheduler)
        nanny: AbstractAsyncContextManager[Any] = Nanny(scheduler, **options | {"host": where})
        return nanny

    _run(make, say, again=True)


def _address_towards(scheduler: str) -> str:
    """This machine's address on the way to a scheduler, which can reach it back there.

    Raises:
        OSError: the scheduler's name is not known here, or not yet.
    """
    host = scheduler.rpartition("://")[2].rpartition(":")[0].strip("[]")
    family, _, _, _, place = socket.getaddrinfo(host, ANY_PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)  # sends nothing
        return str(probe.getsockname()[0])


def _run(make: Make, say: Say, *, again: bool) -> None:
    """Run what `make` gives, `again` whenever it ends by itself."""
    import dask

    quiet()
    with dask.config.set(EMBEDDED_CONFIG):
        asyncio.run(_until_told(make, say, again))


async def _until_told(make: Make, say: Say, again: bool) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    stopping = asyncio.create_task(told.wait())
    while not told.is_set():
        serving = asyncio.create_task(_serve(make, say))
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if told.is_set():
            serving.cancel()
            await asyncio.wait({serving}, timeout=SECONDS_TO_STOP)
            return
        error = serving.exception()
        if error is not None and not (again and isinstance(error, _PASSING)):
            raise ExtentError(f"cannot start: {error.__cause__ or error}") from error
        if not again:
            return
        say("the scheduler is not there; waiting for it")
        await asyncio.wait({stopping}, timeout=SECONDS_BETWEEN_TRIES)


async def _serve(make: Make, say: Say) -> None:
    async with make() as server:
        say(f"listens at {server.address}")
        await server.finished()
