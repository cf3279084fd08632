"""Who asks: by a key, by a browser's cookie, or from this machine where that is enough."""

import asyncio
from collections.abc import Mapping
from functools import partial

from ..loopback import is_loopback
from ..settings import Settings
from .cookies import session_token
from .keys import KeyStore
from .limits import Rate, address_of
from .principals import LOCAL, Principal
from .recent import Unknown
from .sessions import Sessions

FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")


class Identity:
    """Finds a request's principal."""

    def __init__(self, settings: Settings, keys: KeyStore) -> None:
        self._keys, self._https = keys, settings.https
        self._failures = Rate(settings.limits.failed_keys_per_minute)
        self._needs_no_key = is_loopback(settings.host) and not settings.require_key
        self._under_way: dict[str, asyncio.Future[Principal | None]] = {}

    async def of(
        self, headers: Mapping[bytes, bytes], client: tuple[str, int] | None, asker: str
    ) -> Principal | None:
        """The principal; None for nobody. A wrong key is nobody's, even on loopback.

        A wrong cookie on loopback is as good as none: browsers send it unasked.

        Raises:
            Problem: 429, too many wrong keys from this address.
            RecordsError: the database is away.
        """
        authorization = headers.get(b"authorization")
        if authorization is not None:
            return await self.of_key(_bearer(authorization), asker)
        token = session_token(headers, self._https)
        if token is not None:
            found = await self._found(self._keys.sessions, token, asker)
            if found is not None:
                return found
        return self._local(headers, client)

    async def of_key(self, token: str, asker: str) -> Principal | None:
        """Whose key this is.

        Raises:
            Problem: 429, too many wrong keys from this address.
            RecordsError: the database is away.
        """
        return await self._found(self._keys, token, asker)

    async def offered(self, token: str, client: tuple[str, int] | None) -> Principal | None:
        """Whose key is offered for a session; whatever is none counts against the address.

        Raises:
            Problem, RecordsError: as `of_key`.
        """
        asker = address_of(client)
        self._failures.check(asker)
        found = await self.of_key(token, asker)
        if found is None:
            self._failures.take(asker)
        return found

    async def _found(self, store: KeyStore | Sessions, token: str, asker: str) -> Principal | None:
        """Ask the store, once for all who ask at the same time."""
        known = store.known(token)
        if not isinstance(known, Unknown):
            return known
        if not store.had(token):
            self._failures.check(asker)
        pending = self._under_way.get(token)
        if pending is None:
            pending = asyncio.ensure_future(asyncio.to_thread(store.principal, token))
            self._under_way[token] = pending
            pending.add_done_callback(partial(self._done, token))
        found = await asyncio.shield(pending)
        if found is None:
            self._failures.take(asker)
        return found

    def _done(self, token: str, pending: "asyncio.Future[Principal | None]") -> None:
        self._under_way.pop(token, None)
        if not pending.cancelled():
            pending.exception()  # whoever still waits has it; nobody may

    def _local(
        self, headers: Mapping[bytes, bytes], client: tuple[str, int] | None
    ) -> Principal | None:
        """LOCAL for a program or page of this machine; not for whom a proxy here speaks."""
        if not self._needs_no_key or client is None or not is_loopback(client[0]):
            return None
        return None if any(name in headers for name in FORWARDED) else LOCAL


def _bearer(authorization: bytes) -> str:
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
