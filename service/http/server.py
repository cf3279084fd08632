"""uvicorn, told how to stop."""

import socket

import uvicorn

from ..services import Services


class Server(uvicorn.Server):
    """Serves one app; at the end it first sends those home who only listen for events."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.streams.close()
        await super().shutdown(sockets)
