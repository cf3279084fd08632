"""What every request passes: host, limits, who asks, headers."""

from starlette.types import ASGIApp, Receive, Scope, Send

from ..services import Services
from .principals import LOCAL


class Gate:
    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extent.principal"] = LOCAL
        await self._app(scope, receive, send)
