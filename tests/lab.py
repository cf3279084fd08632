"""A server with keys of two groups, and jobs in any state, for tests over HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from service.engine.attempt import RESULT
from service.http.keys import KeyStore
from service.http.principals import Scope
from service.records.database import Records, new_id, now
from service.records.tables import Job
from service.results import ResultPlace
from service.settings import Settings
from tests.patience import SECONDS, wait_for
from tests.served import served

NOBODY = "nobody://nowhere"  # no address of a cluster: it is never reached


@dataclass(frozen=True)
class Lab:
    """`anna` may write, `reader` only read, both in one group; `stranger` is an admin elsewhere."""

    settings: Settings
    records: Records
    anna: httpx.Client
    reader: httpx.Client
    stranger: httpx.Client

    def slide(self, name: str) -> str:
        """The id of a slide by its name."""
        items = self.anna.get("/v1/slides", params={"q": name}).json()["items"]
        return str(next(item["id"] for item in items if item["name"] == name))

    def add_job(self, **values: Any) -> str:
        """A job of Anna's group as the records may hold it; queued unless told otherwise.

        The server's runner is not told of it.
        """
        request = {
            "slide_name": "slide.tiff",
            "model_digest": "d" * 64,
            "mpp": None,
            "threshold": 0.5,
            "region_level0": None,
            "foreground_class": "tumour",
        }
        usual = {
            "id": new_id(),
            "kind": "map",
            "group": "pathology",
            "key_id": "a" * 32,
            "slide_id": "5" * 32,
            "model": "model",
            "model_digest": "d" * 64,
            "request": request,
            "state": "queued",
            "created_at": now(),
        }
        job = Job(**(usual | values))
        with self.records.begin() as session:
            session.add(job)
        return job.id

    def change_job(self, job_id: str, **values: Any) -> None:
        """Set columns of a job's record."""
        with self.records.begin() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(**values))

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as it is by now."""
        found: dict[str, Any] = self.anna.get(job["links"]["self"]).json()
        return found

    def finish(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job as it is once it is finished."""
        wait_for(lambda: self.job(job)["finished_at"] is not None)
        return self.job(job)


@contextmanager
def lab(settings: Settings, *, works: bool = False) -> Iterator[Lab]:
    """Serve until the block ends. Unless the lab `works`, jobs wait for workers for ever."""
    settings = replace(settings, require_key=True, cluster=None if works else NOBODY)
    settings.state.mkdir(parents=True, exist_ok=True)
    records = Records(settings.database_url)
    records.migrate()
    keys = KeyStore(records)
    anna = keys.create("Anna", Scope.WRITE, "pathology")
    others = (
        keys.create("a reader", Scope.READ, "pathology"),
        keys.create("a stranger", Scope.ADMIN, "elsewhere"),
    )
    with ExitStack() as stack:
        stack.callback(records.close)
        client = stack.enter_context(served(settings, key=anna))
        reader, stranger = (
            stack.enter_context(
                httpx.Client(
                    base_url=client.base_url,
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=SECONDS,
                )
            )
            for key in others
        )
        yield Lab(settings, records, client, reader, stranger)


def refused(answer: httpx.Response, status: int) -> str:
    """The detail of a problem document, which this answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    detail = str(problem["detail"])
    assert len(detail) > 10
    return detail


def folder_of(settings: Settings, job_id: str, attempt: int = 1) -> Path:
    """An attempt's folder."""
    return settings.jobs / job_id / str(attempt)


def canvas_of(settings: Settings, job_id: str) -> Path:
    """The canvas of a job's first attempt."""
    return ResultPlace(folder_of(settings, job_id), RESULT).canvas
