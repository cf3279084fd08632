"""The web server around the app: where it listens, how it starts, how it stops."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from annotations.errors import ExtentError, RecordsError, UsageError

from . import certificates
from .app import create_app
from .cluster import check_address
from .failures import system_reason
from .http.protocol import PatientProtocol
from .lifecycle import Lifecycle
from .loopback import is_loopback
from .services import Services
from .settings import Settings

SECONDS_FOR_ANSWERS = 8  # that were under way at SIGTERM; jobs are put down meanwhile
BACKLOG = 1024


class Server(uvicorn.Server):
    """uvicorn's server, which ends open event streams before it waits for answers to end."""

    def __init__(self, settings: Settings, started: "Callable[[Server], None] | None" = None):
        """`started` is called once requests are answered.

        Raises:
            UsageError: the settings make no sense.
        """
        app = create_app(settings)
        self.services: Services = app.state.services
        self.lifecycle: Lifecycle = app.state.lifecycle
        self._when_started = started
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # whoever sends them is not believed
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=SECONDS_FOR_ANSWERS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._when_started is not None:
            self._when_started(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.services.streams.close()
        draining = asyncio.create_task(self.lifecycle.drain())
        await super().shutdown(sockets)
        await draining

    def lacks_keys(self) -> bool:
        """Whether keys are needed and there is none; False while the database is away."""
        settings = self.services.settings
        if is_loopback(settings.host) and not settings.require_key:
            return False
        try:
            entries = self.services.keys.entries() if self.lifecycle.prepared else None
        except RecordsError:
            return False
        return entries is not None and all(entry.state != "valid" for entry in entries)

    @property
    def is_open_to_listeners(self) -> bool:
        """Whether keys pass over a network unencrypted, as far as the server knows."""
        settings = self.services.settings
        return not settings.https and not is_loopback(settings.host)


def check(settings: Settings) -> None:
    """Refuse what cannot be used, before anything starts.

    Raises:
        UsageError: no slides, no place for the state, one within the other; an address of a
            cluster, or its certificates, that will not do.
    """
    if settings.cluster is not None:
        check_address(settings.cluster)
    if settings.tls is not None:
        certificates.security(settings.tls)
    data, state = settings.data.resolve(), settings.state.resolve()
    if not data.is_dir():
        raise UsageError(f"{settings.data}: there is no such folder; --data says where slides are")
    if settings.models is not None and not settings.models.is_dir():
        raise UsageError(f"{settings.models}: there is no such folder; --models takes a folder")
    if state.is_relative_to(data) or data.is_relative_to(state):
        raise UsageError(
            "--state lies within --data or around it: every key could read what others upload; "
            "keep them apart"
        )
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold patients' data
        _try_writing(state / ".written")
    except OSError as error:
        raise UsageError(
            f"{settings.state}: {system_reason(error)}; --state takes a folder that "
            "can be written to"
        ) from None


def _try_writing(probe: Path) -> None:
    probe.write_bytes(b"")
    probe.unlink()


def listen(settings: Settings) -> socket.socket:
    """The socket that the server answers on.

    Raises:
        UsageError: the address is not this machine's, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(
            (str(address[0]), settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "is taken; stop what listens there, or give another --port"
        elif error.errno == errno.EACCES:
            reason = "may not be used; take a --port above 1023"
        else:
            reason = "is no address of this machine"
        raise UsageError(f"{settings.host} port {settings.port} {reason}") from None


def run(server: Server, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, and stop within 30 s of it.

    Raises:
        ExtentError: a part could not be started.
    """

    def stop(signum: int, _: FrameType | None) -> None:
        """For a signal that comes before uvicorn looks, or that it raises again at the end."""
        server.should_exit = True

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {known: signal.signal(known, stop) for known in signals}
    try:
        server.run(sockets=[listening])
    except SystemExit:
        raise server.lifecycle.failure or ExtentError("the server could not be started") from None
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
