"""What a request's body may be: how long, of what type, compressed how far, nested how deep."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum

from starlette.types import Message, Receive

from ..settings import Limits
from .json_depth import json_depth
from .problems import Problem

IDLE_SECONDS = 60.0  # for the next piece of a body, and for all of one that is taken as a whole
LONG = frozenset({"/v1/trainings"})  # where JSON may name thousands of slides
PIECE = 1 << 18
SLACK = 1 << 16  # what any gzipped body may expand to, however small
JSON_TYPE = re.compile(rb"application/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
OUTLINES = re.compile(r"/v1/slides/[^/]+/outlines/?")


class Kind(Enum):
    """How a body is taken in.

    JSON is read as a whole and looked through before any route sees it; a DOCUMENT (outlines)
    and a CHUNK of an upload are streamed, the latter never compressed, for its offsets count.
    """

    JSON = "json"
    DOCUMENT = "document"
    CHUNK = "chunk"


@dataclass(frozen=True)
class BodyRule:
    """What a route takes: at most `most` bytes, of which gzip may make `ratio` times as many."""

    kind: Kind
    most: int
    ratio: int

    @classmethod
    def of(cls, method: str, path: str, limits: Limits) -> "BodyRule":
        """The rule for what is sent to `path`."""
        if method in ("PATCH", "POST") and path.startswith("/v1/uploads/"):
            return cls(Kind.CHUNK, limits.upload_bytes, 1)
        if method == "PUT" and OUTLINES.fullmatch(path):
            return cls(Kind.DOCUMENT, limits.outline_bytes, limits.gzip_ratio)
        most = limits.long_body_bytes if path in LONG else limits.body_bytes
        return cls(Kind.JSON, most, limits.gzip_ratio)


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def too_large(most: int) -> Problem:
    return Problem(413, f"The body is larger than {most:,} bytes, the most that is taken here.")


def _late() -> Problem:
    return Problem(408, "The rest of the body did not come.")


class Body:
    """A request's body as the app may receive it; `refusal` is why it was cut off, if it was.

    FastAPI calls every failure while a body is read a 400; the gate looks here for the reason.
    """

    def __init__(self, receive: Receive, rule: BodyRule, headers: Mapping[bytes, bytes]) -> None:
        """Raises Problem: the headers already say that it is not to be taken."""
        self._receive, self._rule = receive, rule
        self._taken = self._compressed = 0
        self.refusal: Problem | None = None
        if rule.kind is Kind.JSON and not JSON_TYPE.match(headers.get(b"content-type", b"")):
            raise Problem(415, "This takes JSON: say `Content-Type: application/json`.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Problem(400, "Content-Length is not a number.")
        if int(length[:20]) > rule.most:
            raise too_large(rule.most)
        self._inflate = self._inflater(headers.get(b"content-encoding", b"").strip().lower())
        self._waiting = b""  # compressed, taken in but not yet expanded
        self._last = self._whole = False

    def _inflater(self, encoding: bytes) -> "zlib._Decompress | None":
        if encoding in (b"", b"identity"):
            return None
        if encoding not in (b"gzip", b"x-gzip") or self._rule.kind is Kind.CHUNK:
            taken = "no Content-Encoding" if self._rule.kind is Kind.CHUNK else "gzip only"
            raise Problem(415, f"This takes {taken}.")
        return zlib.decompressobj(wbits=31)

    async def receive(self) -> Message:
        """The next message for the app.

        Raises:
            Problem: 408, 413 or 400; kept in `refusal`.
        """
        if self._whole:
            return await self._receive()  # what comes now is that the client went away
        try:
            message = await (self._expanded() if self._inflate else self._plain())
        except Problem as problem:
            self.refusal = problem
            raise
        self._whole = not message.get("more_body", False)
        return message

    async def whole(self) -> bytes:
        """All of it.

        Raises:
            Problem: as `receive`; 400 where the client went away.
        """
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return b"".join([piece async for piece in self._pieces()])
        except TimeoutError:
            raise _late() from None

    async def _pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise Problem(400, "The body ended early.")
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def _plain(self) -> Message:
        message = await self._next()
        self._count(len(message.get("body", b"")))
        return message

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._receive()
        except TimeoutError:
            raise _late() from None

    async def _expanded(self) -> Message:
        assert self._inflate is not None
        if not self._waiting and not self._last:
            message = await self._next()
            if message["type"] != "http.request":
                return message
            self._waiting = message.get("body", b"")
            self._compressed += len(self._waiting)
            self._last = not message.get("more_body", False)
        await asyncio.sleep(0)  # others have their turn between the pieces
        try:
            piece = self._inflate.decompress(self._waiting, PIECE)
        except zlib.error:
            raise Problem(400, "The body is not what gzip makes.") from None
        self._waiting = self._inflate.unconsumed_tail
        self._count(len(piece))
        more = bool(self._waiting) or not self._last
        if self._inflate.unused_data or not (more or self._inflate.eof or piece):
            raise Problem(400, "The gzipped body is cut off, or more follows it.")
        return {
            "type": "http.request",
            "body": piece,
            "more_body": more or not self._inflate.eof,
        }

    def _count(self, length: int) -> None:
        self._taken += length
        if self._taken > self._rule.most:
            raise too_large(self._rule.most)
        if self._inflate and self._taken > SLACK + self._compressed * self._rule.ratio:
            raise Problem(413, "The gzipped body expands beyond all measure.")


def check_depth(body: bytes, most: int) -> None:
    """Refuse JSON whose arrays and objects are nested deeper than `most`.

    Raises:
        Problem: 400.
    """
    if json_depth(body) > most:
        raise Problem(400, f"The JSON is nested deeper than {most} levels.")
