"""Whether a request comes from Extent's own page.

A browser sends cookies, and reaches loopback, on behalf of whatever page is open. What needs
no more than that must therefore not be done for another site's page.
"""

from collections.abc import Mapping

from .problems import Problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN = frozenset({b"cross-site", b"same-site"})


def check_origin(method: str, headers: Mapping[bytes, bytes], scheme: str, cookie: bool) -> None:
    """Refuse what another site's page asks in a user's name; `cookie`: by the user's cookie.

    Programs that are no browsers send neither Origin nor Sec-Fetch-Site, and no cookie.

    Raises:
        Problem: 403.
    """
    site = headers.get(b"sec-fetch-site")
    if method in SAFE:
        followed = headers.get(b"sec-fetch-mode") == b"navigate" and method == "GET"
        if site in FOREIGN and not followed:
            raise _refusal()
        return
    origin = headers.get(b"origin")
    if origin is not None:
        own = scheme.encode() + b"://" + headers.get(b"host", b"")
        if origin.lower() != own.lower():
            raise _refusal()
    elif site in FOREIGN or (site is None and cookie):
        raise _refusal()


def _refusal() -> Problem:
    return Problem(
        403, "This comes from another site's page. Programs send their key as `Authorization`."
    )
