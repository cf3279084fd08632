"""Under which names a server may be asked for.

A page of another site can point its own name at this server's address (DNS rebinding); its
requests then carry that name in Host, and are refused, on loopback too.
"""

from ..settings import Settings
from .problems import Problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})


def host_name(header: str) -> str:
    """The name in a Host header or in an origin's authority: lower case, without port, [] and
    final dot; "" where there is none."""
    if header.startswith("["):
        name, closed, _ = header[1:].partition("]")
        return name.lower() if closed else ""
    return header.partition(":")[0].rstrip(".").lower()


class AllowedHosts:
    """The names of loopback, the address listened on, and those that the settings name."""

    def __init__(self, settings: Settings) -> None:
        named = {host_name(name) for name in (*settings.hosts, _bracketed(settings.host))}
        self._names = (named | LOOPBACK) - WILDCARDS

    def check(self, header: bytes | None) -> None:
        """Pass only what is asked of a known name.

        Raises:
            Problem: 400 without a Host, 421 for an unknown one.
        """
        name = host_name(header.decode("latin-1")) if header else ""
        if not name:
            raise Problem(400, "A request says in its Host header what it is meant for.")
        if name not in self._names:
            raise Problem(
                421, "This server does not go by that name; --allow-host NAME lets it answer to it."
            )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
