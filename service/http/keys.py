"""API keys: made, listed, revoked, and who each one is."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sa

from annotations.errors import UsageError

from ..records.database import Records, now
from ..records.tables import BrowserSession, Key
from ..settings import DAY
from .principals import Principal, Scope
from .recent import Recent, Unknown
from .sessions import Sessions, principal_of

PATTERN = re.compile(r"extent_(?P<id>[0-9a-f]{16})_(?P<secret>[0-9a-f]{64})")
NAME = re.compile(r"[\w .@+-]{1,100}")


@dataclass(frozen=True)
class KeyEntry:
    """What may be shown of a key; times in seconds since 1970."""

    id: str
    name: str
    scope: Scope
    group: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.expires_at is None or self.expires_at > now() else "expired"


class KeyStore:
    """The keys in the database. Another process on the same database may make and revoke them."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._recent: Recent[Principal | None] = Recent()
        self.sessions = Sessions(records)

    def create(self, name: str, scope: Scope, group: str, days: float | None = None) -> str:
        """A new key, for `days` or for ever. It is told here, and nowhere kept.

        Raises:
            UsageError: the name, the group or the days cannot be.
        """
        for what, text in (("--name", name), ("--group", group)):
            if not NAME.fullmatch(text):
                raise UsageError(f"{what}: takes 1 to 100 letters, digits, spaces and _ . @ + -")
        if days is not None and not 0 < days < 100_000:
            raise UsageError("--days: takes a number above 0")
        key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
        made = now()
        with self._records.begin() as session:
            session.add(
                Key(
                    id=key_id,
                    name=name,
                    secret_sha256=_hash(secret),
                    scope=scope.word,
                    group=group,
                    created_at=made,
                    expires_at=None if days is None else made + days * DAY,
                    revoked_at=None,
                )
            )
        return f"extent_{key_id}_{secret}"

    def entries(self) -> list[KeyEntry]:
        """All keys, oldest first."""
        with self._records.read() as session:
            return [_entry(key) for key in session.scalars(sa.select(Key).order_by(Key.created_at))]

    def revoke(self, key_id: str) -> KeyEntry:
        """End a key and the browser sessions it was exchanged for.

        Raises:
            UsageError: there is none of that id.
        """
        with self._records.begin() as session:
            key = session.get(Key, key_id)
            if key is None:
                raise UsageError("there is no key of that id; `extent keys list` shows them")
            key.revoked_at = key.revoked_at or now()
            session.execute(sa.delete(BrowserSession).where(BrowserSession.key_id == key_id))
            return _entry(key)

    def known(self, token: str) -> Principal | Unknown | None:
        """Who a key is, where that was looked up a moment ago or needs no looking up."""
        if PATTERN.fullmatch(token) is None:
            return None
        return self._recent.get(token)

    def had(self, token: str) -> bool:
        """Whether it was somebody's when last looked up: then a rate limit spares it."""
        return self._recent.had(token)

    def principal(self, token: str) -> Principal | None:
        """Who a key is; None for one that is unknown, expired or revoked.

        Raises:
            RecordsError: the database is away.
        """
        known = self.known(token)
        return self._look_up(token) if isinstance(known, Unknown) else known

    def holds(self, principal: Principal) -> bool:
        """Whether the key that a principal came with is good as of now; loopback needs none.

        Raises:
            RecordsError: the database is away.
        """
        if principal.via == "loopback":
            return True
        with self._records.read() as session:
            key = session.get(Key, principal.key_id)
            return key is not None and principal_of(key, principal.via) is not None

    def _look_up(self, token: str) -> Principal | None:
        asked_at = time.monotonic()
        match = PATTERN.fullmatch(token)
        assert match is not None
        with self._records.read() as session:
            key = session.get(Key, match["id"])
            right = key is not None and hmac.compare_digest(
                key.secret_sha256, _hash(match["secret"])
            )
            found = principal_of(key, "key") if key is not None and right else None
        return self._recent.put(token, found, asked_at)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _entry(key: Key) -> KeyEntry:
    return KeyEntry(
        key.id,
        key.name,
        Scope[key.scope.upper()],
        key.group,
        key.created_at,
        key.expires_at,
        key.revoked_at,
    )
