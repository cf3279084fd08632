"""The audit log, exported."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from service.records.database import Records
from service.records.tables import Audit
from service.routes.audit import FIELDS, ROWS_AT_A_TIME
from service.settings import Settings
from tests.served import served

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
ENTRIES = ROWS_AT_A_TIME * 2 + 3  # a second apart, from NOON on


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("audit")
    (root / "slides").mkdir()
    settings = Settings(root / "slides", root / "state", cluster="nobody://nowhere")
    records = Records(settings.database_url)
    records.migrate()
    with records.begin() as session:
        for second in range(ENTRIES):
            session.add(
                Audit(
                    at=NOON + second,
                    key_id="a" * 16,
                    group="pathology",
                    action="job submit",
                    slide_id="5" * 32,
                    model=f'model "{second}", or so',
                    job_id=None,
                    outcome="accepted",
                )
            )
    records.close()
    with served(settings) as found:
        yield found


def rows(answer: httpx.Response) -> list[dict[str, str | None]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_row_once_oldest_first_and_the_export_itself(client: httpx.Client) -> None:
    found = rows(client.get("/v1/audit"))
    told = [row for row in found if row["action"] == "job submit"]
    assert [row["model"] for row in told] == [f'model "{n}", or so' for n in range(ENTRIES)]
    assert told[0] == {
        "at": "2026-01-31T12:00:00+00:00",
        "key_id": "a" * 16,
        "group": "pathology",
        "action": "job submit",
        "slide_id": "5" * 32,
        "model": 'model "0", or so',
        "job_id": None,
        "outcome": "accepted",
    }
    assert found[-1]["action"] == "audit export" and found[-1]["key_id"] == "local"


def test_as_a_table(client: httpx.Client) -> None:
    answer = client.get("/v1/audit", params={"format": "csv", "until": "2026-02-01"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "audit.csv" in answer.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(table[0]) == FIELDS and len(table) == ENTRIES
    assert table[7]["model"] == 'model "7", or so' and table[7]["job_id"] == ""


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [
        ("2026-01-31T12:00:10Z", "2026-01-31T12:00:20Z", 10),
        ("2026-01-31T13:00:10+01:00", "2026-01-31T12:00:20", 10),
        ("0001-01-01", "2026-01-31T12:00:00Z", 0),
        ("9999-12-31T23:59:59-12:00", None, 0),
        ("2026-01-31T12:00:10Z", "2026-01-31T12:00:10Z", 0),
    ],
)
def test_a_span_of_time(client: httpx.Client, since: str, until: str | None, count: int) -> None:
    span = {"since": since} | ({"until": until} if until else {})
    assert len(rows(client.get("/v1/audit", params=span))) == count


def test_what_is_no_time_or_no_format(client: httpx.Client) -> None:
    for wrong in (
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"until": "2277748"},
        {"format": "xml"},
    ):
        assert client.get("/v1/audit", params=wrong).status_code == 422


def test_metrics_have_the_parts_figures(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    with served(Settings(tmp_path / "slides", tmp_path / "state")) as client:
        text = client.get("/metrics").text
    for line in (
        'extent_readers{state="open"} 0.0',
        'extent_pictures_total{state="found"} 0.0',
        'extent_attempts{state="running"} 0.0',
        'extent_jobs{state="running"} 0.0',
    ):
        assert line in text
