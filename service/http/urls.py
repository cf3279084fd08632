"""What an address may hold: no keys, which would end up in histories and in the logs of others."""

import re
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from .problems import Problem

KEY = re.compile(rb"extent_[0-9a-f]{16}_")
PARAMETERS = frozenset({b"key", b"api_key", b"apikey", b"access_token", b"token", b"authorization"})


def check_url(scope: Scope) -> None:
    """Refuse keys in an address, and NUL, which no database takes.

    Raises:
        Problem: 400.
    """
    query: bytes = scope["query_string"]
    if query:
        parameters = query.split(b"&")
        names = {part.partition(b"=")[0].lower() for part in parameters}
        _check(unquote_to_bytes(query), secret=not names.isdisjoint(PARAMETERS))
    path: bytes = scope["raw_path"]
    if b"%00" in path or b"extent_" in path:
        _check(unquote_to_bytes(path), secret=False)


def _check(text: bytes, *, secret: bool) -> None:
    if secret or KEY.search(text):
        raise Problem(
            400,
            "Keys do not belong in addresses, which others log: send it as `Authorization: "
            "Bearer …`, and revoke this one.",
        )
    if b"\0" in text:
        raise Problem(400, "The address holds a NUL character.")
