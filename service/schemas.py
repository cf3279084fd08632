"""What all bodies share. Each subject's own schemas stand beside its routes."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["6f1ed002ab5595859014ebf0951522d9"])]
Time = Annotated[datetime, Field(examples=["2026-01-31T12:00:00Z"])]


class Body(BaseModel):
    """What a client sends: nothing unknown, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Answer(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


class ProblemDocument(Answer):
    """RFC 9457."""

    type: str = "about:blank"
    title: Annotated[str, Field(examples=["Not Found"])]
    status: Annotated[int, Field(examples=[404])]
    detail: Annotated[str, Field(examples=["There is no such job, or it is not yours."])]


EVENT: dict[str, object] = {  # of a stream of server-sent events
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


def time_of(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses` of a route: these refusals, and those that every route can answer with."""
    every = (400, 401, 403, 429, 503)
    return {
        status: {
            "model": ProblemDocument,
            "content": {
                "application/problem+json": {"schema": ProblemDocument.model_json_schema()}
            },
        }
        for status in sorted({*every, *statuses})
    }
