"""The audit log, exported."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator

from ..deps import Admin, Parts
from ..records.audit import audit
from ..records.database import Records
from ..records.tables import Audit
from ..schemas import problems, time_of

router = APIRouter(tags=["audit"])
ROWS_AT_A_TIME = 1000
FIELDS = ("at", "key_id", "group", "action", "slide_id", "model", "job_id", "outcome")
EXAMPLE = {
    "at": "2026-01-31T12:00:00+00:00",
    "key_id": "0123456789abcdef",
    "group": "pathology",
    "action": "job submit",
    "slide_id": "6f1ed002ab5595859014ebf0951522d9",
    "model": "breast-idc",
    "job_id": "b9d3c2a1f0e94c6f8d7a6b5c4d3e2f10",
    "outcome": "accepted",
}

Row = dict[str, Any]


def _no_number(value: object) -> object:
    """Pydantic would take a number for seconds since 1970; no schema says so."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("write a time as in 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[
    datetime | None, BeforeValidator(_no_number), Query(examples=["2026-01-31T12:00:00Z"])
]


@router.get(
    "/v1/audit",
    response_class=StreamingResponse,
    responses={
        **problems(422),
        200: {
            "description": "A row an event, oldest first: a JSON object a line, or CSV.",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": EXAMPLE},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
    },
)
def export_audit(
    principal: Admin,
    parts: Parts,
    since: Moment = None,
    until: Moment = None,
    format: Literal["json", "csv"] = "json",
) -> StreamingResponse:
    """Who did what to which slide with which model, and how it ended. Times are in UTC."""
    with parts.records.begin() as session:
        audit(session, principal, "audit export", outcome="done")
    pages = _pages(parts.records, since, until)
    first = next(pages)  # so that a database that is away is a 503
    write, media_type = _FORMATS[format]
    name = f"audit.{'csv' if format == 'csv' else 'ndjson'}"
    return StreamingResponse(
        _written(first, pages, write),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _pages(records: Records, since: datetime | None, until: datetime | None) -> Iterator[list[Row]]:
    """The rows, some at a time, so that neither memory nor a transaction grows with the log."""
    last = 0
    while True:
        wanted = sa.select(Audit).where(Audit.id > last).order_by(Audit.id).limit(ROWS_AT_A_TIME)
        if since is not None:
            wanted = wanted.where(Audit.at >= _seconds(since))
        if until is not None:
            wanted = wanted.where(Audit.at < _seconds(until))
        with records.read() as session:
            found = list(session.scalars(wanted))
        yield [_row(entry) for entry in found]
        if len(found) < ROWS_AT_A_TIME:
            return
        last = found[-1].id


def _seconds(moment: datetime) -> float:
    """Since 1970; a time without a zone is in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _row(entry: Audit) -> Row:
    moment = time_of(entry.at)
    values = {name: getattr(entry, name) for name in FIELDS[1:]}
    return {"at": moment.isoformat() if moment else None, **values}


def _written(
    first: list[Row], pages: Iterator[list[Row]], write: Callable[[list[Row], bool], str]
) -> Iterator[str]:
    yield write(first, True)
    for page in pages:
        yield write(page, False)


def _as_json(rows: list[Row], _: bool) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_csv(rows: list[Row], begins: bool) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS)
    if begins:
        table.writeheader()
    table.writerows(rows)
    return text.getvalue()


_FORMATS = {"json": (_as_json, "application/x-ndjson"), "csv": (_as_csv, "text/csv")}
