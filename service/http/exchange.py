"""One request and its answer, as the gate sees them."""

import secrets
import time
from collections.abc import Sequence

from starlette.responses import JSONResponse
from starlette.types import Message, Scope, Send

from .bodies import Body
from .problems import MEDIA_TYPE, Problem

RawHeaders = Sequence[tuple[bytes, bytes]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
ON_EVERYTHING: RawHeaders = (  # unless a route says otherwise
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
OVER_HTTPS: RawHeaders = ((b"strict-transport-security", b"max-age=31536000"),)


def answer_to(problem: Problem) -> JSONResponse:
    """A problem as the response it is."""
    return JSONResponse(
        problem.document, int(problem.status), headers=problem.headers, media_type=MEDIA_TYPE
    )


class Exchange:
    """A request under way: its id, when it came, and what was answered so far."""

    __slots__ = ("_ended", "_send", "_usual", "began", "body", "request_id", "scope", "status")

    def __init__(self, scope: Scope, send: Send, usual: RawHeaders) -> None:
        self.scope, self._send, self._usual = scope, send, usual
        self.began = time.perf_counter()
        self.request_id = secrets.token_hex(8)
        self.status: int | None = None
        self.body: Body | None = None
        self._ended = False

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one with the headers that everything has.

        Where the body was cut off, that is the answer, whatever the app made of it.
        """
        if self._ended:
            return
        if self.body is not None and self.body.refusal is not None and self.status is None:
            refusal, self.body = self.body.refusal, None
            await self.refuse(refusal)
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = message.get("headers", ())
            named = {name for name, _ in own}
            usual = (header for header in self._usual if header[0] not in named)
            message = {
                **message,
                "headers": [*own, *usual, (b"x-request-id", self.request_id.encode())],
            }
        elif message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem, unless an answer has begun: that is then cut off."""
        if self.status is None:
            await answer_to(problem)(self.scope, _nothing, self.send)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def route(self) -> str:
        """The template of the route that was found, "-" for none: never the path itself."""
        return getattr(self.scope.get("route"), "path", "-")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
