"""ETags that are version numbers or digests, and the conditions that requests put on them."""

import re

from .problems import Problem

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def etag(version: int | str) -> str:
    return f'"{version}"'


def names(header: str | None, version: int | str) -> bool:
    """Whether If-Match or If-None-Match names this version; `*` names any that exists.

    Tags that a proxy made weak by compressing count as themselves. No header names nothing.
    """
    if header is None:
        return False
    if header.strip() == "*":
        return version != 0
    return str(version) in _TAG.findall(header)


def check_match(header: str | None, version: int) -> None:
    """Raises Problem: 412 with the version that is there, which If-Match does not name."""
    if header is not None and not names(header, version):
        raise Problem(
            412,
            f"Version {version} is there by now: fetch it, and send your change again on top of it "
            f"with If-Match: {etag(version)}.",
            headers={"ETag": etag(version)},
        )
