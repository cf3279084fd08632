"""A real server on loopback, in a thread of the test's process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from service.serving import Server
from service.settings import Settings


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
    deadline = time.monotonic() + 60
    while not (server.started and (server.lifecycle.prepared or settings.database)):
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server takes too long to start"
        time.sleep(0.02)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server does not stop"
