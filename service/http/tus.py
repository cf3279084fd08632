"""The tus protocol 1.0 (tus.io): what its headers say."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute

from .problems import Problem

VERSION = "1.0.0"
EXTENSIONS = "creation,checksum,expiration,termination"
ALGORITHMS = ("sha1", "sha256")
CONTENT_TYPE = "application/offset+octet-stream"
MOST_METADATA = 8192  # characters
KEY = re.compile(r"[!-+\--~]+")  # printable ASCII without space and comma


@dataclass(frozen=True)
class Checksum:
    """What a client says of the bytes of one request."""

    algorithm: str
    digest: bytes

    @classmethod
    def of(cls, header: str) -> "Checksum":
        """Read Upload-Checksum: an algorithm, a space, a digest in base64.

        Raises:
            Problem: 400.
        """
        algorithm, _, encoded = header.partition(" ")
        if algorithm not in ALGORITHMS:
            raise Problem(400, f"Upload-Checksum: takes {' or '.join(ALGORITHMS)}.")
        digest = _decoded(encoded, "Upload-Checksum")
        if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
            raise Problem(400, f"Upload-Checksum: this is no digest of {algorithm}.")
        return cls(algorithm, digest)

    def check(self, found: bytes) -> None:
        """Compare with what was found.

        Raises:
            Problem: 460.
        """
        if not hmac.compare_digest(self.digest, found):
            raise Problem(460, "These bytes do not have this checksum; send them again.")


def metadata_of(header: str) -> dict[str, bytes]:
    """Read Upload-Metadata: pairs of a key and a value in base64, parted by commas.

    Raises:
        Problem: 400.
    """
    if len(header) > MOST_METADATA:
        raise Problem(400, f"Upload-Metadata: longer than {MOST_METADATA} characters.")
    pairs: dict[str, bytes] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not KEY.fullmatch(key) or key in pairs:
            raise Problem(400, "Upload-Metadata: a key is missing, odd, or there twice.")
        pairs[key] = _decoded(value, "Upload-Metadata")
    return pairs


def metadata(**pairs: str) -> str:
    """Upload-Metadata that says these."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items()
    )


def _decoded(text: str, header: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        raise Problem(400, f"{header}: this is no base64.") from None


def expires(at: float) -> str:
    """Seconds since 1970 as Upload-Expires takes them."""
    return formatdate(at, usegmt=True)


def answer(status: int, **headers: str) -> Response:
    """An answer without a body; `_` in the names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **named})


async def _spoken(
    tus_resumable: Annotated[
        str, Header(description="The version of the protocol.", examples=[VERSION])
    ] = "",
) -> str:
    if tus_resumable != VERSION:
        raise Problem(412, f"Say `Tus-Resumable: {VERSION}`.", headers={"Tus-Version": VERSION})
    return tus_resumable


Tus = Annotated[str, Depends(_spoken)]


class TusRoute(APIRoute):
    """A route whose refusals, too, say the version of the protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_tus(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                problem.headers["Tus-Resumable"] = VERSION
                raise

        return handle_tus
