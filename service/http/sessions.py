"""Browser sessions: a key exchanged for a cookie that scripts cannot read."""

import secrets
import time
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from ..records.database import Records, now
from ..records.tables import BrowserSession, Key
from .principals import Principal, Scope
from .recent import Recent, Unknown, digest

SECONDS_VALID = 12 * 3600.0
SECONDS_BEFORE_ROTATION = 3600.0
SECONDS_AFTER_ROTATION = 60.0  # for requests under way with the old token
TOKEN_LENGTH = 64


@dataclass(frozen=True)
class Ticket:
    """A session's token, and for how many more seconds it is good."""

    token: str
    seconds: int


class Sessions:
    """The sessions in the database, each of a key; a session ends with its key."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._recent: Recent[Principal | None] = Recent()

    def start(self, key_id: str, instead_of: str | None = None) -> Ticket:
        """A new session of a key; the session `instead_of` (a token), if any, ends.

        Raises:
            RecordsError: the database is away.
        """
        with self._records.begin() as session:
            session.execute(sa.delete(BrowserSession).where(BrowserSession.expires_at < now()))
            if instead_of is not None:
                session.execute(sa.delete(BrowserSession).where(_is(instead_of)))
            return _add(session, session.get_one(Key, key_id))

    def rotated(self, token: str) -> Ticket | None:
        """A fresh token for a session whose token is old; None while it is young, or over.

        Raises:
            RecordsError: the database is away.
        """
        with self._records.read() as session:
            found = session.scalar(sa.select(BrowserSession).where(_is(token)))
            if found is None or now() - found.created_at < SECONDS_BEFORE_ROTATION:
                return None
        with self._records.begin() as session:
            found = session.scalar(sa.select(BrowserSession).where(_is(token)))
            if found is None or found.expires_at - now() <= SECONDS_AFTER_ROTATION:
                return None  # another request has just rotated it
            found.expires_at = now() + SECONDS_AFTER_ROTATION
            return _add(session, session.get_one(Key, found.key_id))

    def end(self, token: str) -> None:
        """Raises RecordsError: the database is away."""
        with self._records.begin() as session:
            session.execute(sa.delete(BrowserSession).where(_is(token)))
        self._recent.forget(token)

    def known(self, token: str) -> Principal | Unknown | None:
        """Whose session it is, where that was looked up a moment ago."""
        return None if len(token) != TOKEN_LENGTH else self._recent.get(token)

    def had(self, token: str) -> bool:
        """Whether it was somebody's when last looked up: then a rate limit spares it."""
        return self._recent.had(token)

    def principal(self, token: str) -> Principal | None:
        """Whose session it is; None for one that is over.

        Raises:
            RecordsError: the database is away.
        """
        known = self.known(token)
        if not isinstance(known, Unknown):
            return known
        asked_at = time.monotonic()
        valid = (_is(token), BrowserSession.expires_at > now())
        with self._records.read() as session:
            key = session.scalar(sa.select(Key).join(BrowserSession).where(*valid))
            found = None if key is None else principal_of(key, "cookie")
        return self._recent.put(token, found, asked_at)


def principal_of(key: Key, via: Literal["key", "cookie"]) -> Principal | None:
    """Who a key is, unless it was revoked or has expired."""
    over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now())
    if over:
        return None
    return Principal(key.id, key.name, key.group, Scope[key.scope.upper()], via)


def _is(token: str) -> sa.ColumnElement[bool]:
    return BrowserSession.token_sha256 == digest(token).hex()


def _add(session: sa.orm.Session, key: Key) -> Ticket:
    token, made = secrets.token_hex(TOKEN_LENGTH // 2), now()
    expires_at = min(made + SECONDS_VALID, key.expires_at or float("inf"))
    session.add(
        BrowserSession(
            token_sha256=digest(token).hex(),
            key_id=key.id,
            created_at=made,
            expires_at=expires_at,
        )
    )
    return Ticket(token, max(0, int(expires_at - made)))
