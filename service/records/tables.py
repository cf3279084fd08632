"""The tables. Times are seconds since 1970 (UTC); ids are random, 128 bits.

A change here needs a migration in `migrations/versions`.
"""

from typing import Any, Literal, get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
UNFINISHED, FINAL = STATES[:2], STATES[2:]
ID = String(32)
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own idiom)
        float: Double,
        dict[str, Any]: JSON(none_as_null=True),
    }


class Key(Table):
    """An API key: the SHA-256 of its 256 random bits, never the key."""

    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(8))
    group: Mapped[str] = mapped_column("group_name", String(100))
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class BrowserSession(Table):
    """A key exchanged for a cookie; the SHA-256 of the cookie's token."""

    __tablename__ = "sessions"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("keys.id"))
    created_at: Mapped[float]
    expires_at: Mapped[float]


class SlideRecord(Table):
    """A slide on disk (`group` None: for every key) or an upload (its owner's group).

    `path` is relative to the data root or to the uploads. `facts` is what a reader said of the
    file when it had `facts_of` (size and time of change); `unusable` why it cannot be read.
    """

    __tablename__ = "slides"
    __table_args__ = (UniqueConstraint("kind", "path"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))  # disk | upload
    path: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text, index=True)
    group: Mapped[str | None] = mapped_column("group_name", String(100))
    key_id: Mapped[str | None] = mapped_column(ID)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    missing_at: Mapped[float | None]
    facts_of: Mapped[str | None] = mapped_column(String(64))
    facts: Mapped[dict[str, Any] | None]
    unusable: Mapped[str | None] = mapped_column(Text)


class Upload(Table):
    """A tus upload that is not yet a slide, or what became of it."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    group: Mapped[str] = mapped_column("group_name", String(100), index=True)
    key_id: Mapped[str] = mapped_column(ID)
    name: Mapped[str] = mapped_column(Text)
    length: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int] = mapped_column("offset_bytes", BigInteger)
    state: Mapped[str] = mapped_column(String(10))  # receiving | ready | refused
    reason: Mapped[str | None] = mapped_column(Text)
    slide_id: Mapped[str | None] = mapped_column(ID)
    created_at: Mapped[float]
    expires_at: Mapped[float]


class OutlineVersion(Table):
    """One saved state of a slide's outlines: gzipped GeoJSON in level-0 pixels."""

    __tablename__ = "outlines"
    __table_args__ = (UniqueConstraint("slide_id", "group_name", "version"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    slide_id: Mapped[str] = mapped_column(ForeignKey("slides.id", ondelete="CASCADE"))
    group: Mapped[str] = mapped_column("group_name", String(100))
    version: Mapped[int] = mapped_column(Integer)
    author: Mapped[str] = mapped_column(String(200))
    key_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[float]
    format: Mapped[str] = mapped_column(String(16))
    count: Mapped[int] = mapped_column(Integer)
    areas_mm2: Mapped[dict[str, Any] | None]
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Job(Table):
    """A map or a training, from submission to result.

    `attempt` is the fence: whatever an attempt with a smaller number does is not published.
    `revision` grows with every change that a watcher should hear of. `result_attempt` names the
    attempt whose folder holds the result, and its bytes count in the quota until it is deleted.
    `crashes`, `kills` and `losses` count the attempts that ended badly: by a fault of their own
    process, by another's hand, or with their worker.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_group_created", "group_name", "created_at"),
        Index("ix_jobs_state_created", "state", "created_at"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))  # map | training
    group: Mapped[str] = mapped_column("group_name", String(100))
    key_id: Mapped[str] = mapped_column(ID)
    slide_id: Mapped[str | None] = mapped_column(ID, index=True)
    model: Mapped[str] = mapped_column(String(200))
    model_digest: Mapped[str | None] = mapped_column(String(64))
    request: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10))  # a State
    phase: Mapped[str] = mapped_column(String(32), default="")
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int] = mapped_column(Integer, default=0)
    revision: Mapped[int] = mapped_column(Integer, default=1)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    kills: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    reason: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[dict[str, Any] | None]
    result_attempt: Mapped[int | None] = mapped_column(Integer)
    result_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    expires_at: Mapped[float | None]
    deleted_at: Mapped[float | None]


class Idempotency(Table):
    """Which job an owner's Idempotency-Key made, and of what body."""

    __tablename__ = "idempotency"
    key_id: Mapped[str] = mapped_column(ID, primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[float]


class TrainedModel(Table):
    """A model that a training here made: private to its group until published."""

    __tablename__ = "models"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    group: Mapped[str] = mapped_column("group_name", String(100))
    job_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[float]
    published_at: Mapped[float | None]


class StateFolder(Table):
    """The state folder that this database belongs to: one row, by the token that lies there."""

    __tablename__ = "state_folder"
    token: Mapped[str] = mapped_column(ID, primary_key=True)
    created_at: Mapped[float]


class Audit(Table):
    """Who did what to which slide with which model, and how it ended. No names of files."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(index=True)
    key_id: Mapped[str] = mapped_column(ID)
    group: Mapped[str] = mapped_column("group_name", String(100))
    action: Mapped[str] = mapped_column(String(40))
    slide_id: Mapped[str | None] = mapped_column(ID)
    model: Mapped[str | None] = mapped_column(String(200))
    job_id: Mapped[str | None] = mapped_column(ID)
    outcome: Mapped[str] = mapped_column(String(200))
