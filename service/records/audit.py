"""The audit: who did what to which slide with which model, and how it ended."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from .database import now
from .tables import Audit


class Owner(Protocol):
    """Who is answerable: a principal, or a job for the one who asked for it."""

    @property
    def key_id(self) -> str: ...
    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class ByRule:
    """Who is answerable for what goes by itself: its owner's group, no key of theirs."""

    group: str
    key_id: str = "retention"


def audit(
    session: Session,
    who: Owner,
    action: str,
    *,
    outcome: str,
    slide_id: str | None = None,
    model: str | None = None,
    job_id: str | None = None,
) -> None:
    """Add a row, in the transaction of what it records: both are kept or neither.

    `action` is a noun and a verb, as in "job submit"; `outcome` a word or two. Neither names a
    file or a path, nor says what an outline says.
    """
    session.add(
        Audit(
            at=now(),
            key_id=who.key_id,
            group=who.group,
            action=action,
            slide_id=slide_id,
            model=model,
            job_id=job_id,
            outcome=outcome,
        )
    )
