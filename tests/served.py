"""A real server on loopback, in a thread of the test's process."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from service.serving import Server
from service.settings import Settings
from tests import patience

# Below those that the kernel gives to whoever connects: of them one may be taken before it is used,
# and who calls in vain at one can reach itself
PORTS = iter(random.SystemRandom().sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, another one each time."""
    for port in PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@contextmanager
def served(settings: Settings, *, key: str | None = None) -> Iterator[httpx.Client]:
    """Serve until the block ends; a client that sends `key`, if any, with every request.

    A database of the settings' own may be away; otherwise its tables are there.
    """
    listening = socket.create_server(("127.0.0.1", 0))  # wherever the settings say
    port = listening.getsockname()[1]
    server = Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()

    def begun() -> bool:
        assert thread.is_alive(), "the server did not start"
        return server.started and (server.lifecycle.prepared or settings.database is not None)

    patience.wait_for(begun)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=patience.SECONDS
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(patience.SECONDS)
        assert not thread.is_alive(), "the server does not stop"
