"""What is answered of every job, whatever it is for: how far it is."""

from typing import Annotated, Any

from pydantic import Field

from ..records.tables import Job, State
from ..schemas import Answer, Id, Time, time_of


class Followed(Answer):
    """Something under way. `revision` grows with every change; `share`: how much is done, 0-1."""

    id: Id
    state: State
    phase: str
    done: int
    total: int
    share: Annotated[float, Field(ge=0, le=1)]
    revision: int
    attempt: int
    reason: Annotated[str | None, Field(description="Why it failed.")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


def followed(job: Job) -> dict[str, Any]:
    """The values of `Followed`, but for `share`."""
    columns = ("id", "state", "phase", "done", "total", "revision", "attempt", "reason")
    times = ("created_at", "started_at", "finished_at")
    return {
        **{name: getattr(job, name) for name in columns},
        **{name: time_of(getattr(job, name)) for name in times},
    }
