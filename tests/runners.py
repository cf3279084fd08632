"""A server's runner without its HTTP, on real workers, with a task of the test's own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from service.engine.attempt import Attempt, AttemptEnd
from service.http.principals import LOCAL, Principal
from service.jobs.once import Task
from service.jobs.runner import Runner
from service.jobs.submission import Submission
from service.records.tables import Job, SlideRecord
from service.services import Services
from service.settings import Settings
from tests.conftest import draw_slide
from tests.patience import SECONDS

MODEL = "random"
FINAL = {"succeeded", "failed", "cancelled"}


def server_settings(folder: Path, random_model: Path, *slides: str) -> Settings:
    """A server with these slides (stems of flat pictures) and one model."""
    settings = Settings(folder / "data", folder / "state", models=folder / "models", workers=2)
    settings.data.mkdir()
    for slide in slides:
        draw_slide(settings.data / f"{slide}.png", 64, 48)
    assert settings.models
    settings.models.mkdir()
    (settings.models / f"{MODEL}.safetensors").write_bytes(random_model.read_bytes())
    return settings


def leave_result(attempt: Attempt, content: str = "a map") -> AttemptEnd:
    """What an engine leaves that is done."""
    result = attempt.folder / "result"
    result.mkdir()
    (result / "summary.json").write_text(content)
    return AttemptEnd(attempt.job_id, attempt.number, "done", outcome={"by": attempt.number})


@dataclass(frozen=True)
class Bench:
    """The parts of a server whose runner is at work."""

    services: Services
    runner: Runner

    def submit(self, slide: str, *, who: Principal = LOCAL, **request: object) -> Job:
        with self.services.records.read() as session:
            found = sa.select(SlideRecord).where(SlideRecord.name.startswith(slide))
            record = session.scalars(found).one()
        model = self.services.models.find(who, MODEL)
        submission = Submission("map", record.id, MODEL, model.digest, request, None, b"")
        return self.services.jobs.submit(who, submission)[0]

    def job(self, job: Job, *, who: Principal = LOCAL) -> Job:
        return self.services.jobs.get(who, job.id)

    def wait(self, job: Job, *, until: Callable[[Job], bool] | None = None) -> Job:
        """The job once it is finished, or as soon as something is true of it."""
        deadline = time.monotonic() + SECONDS
        reached = until or (lambda job: job.state in FINAL)
        owner = replace(LOCAL, group=job.group)
        while not reached(found := self.job(job, who=owner)):
            said = (found.state, found.phase, found.attempt, found.reason)
            assert time.monotonic() < deadline and (until is None or found.state not in FINAL), said
            time.sleep(0.02)
        return found

    def path(self, job: Job, *parts: str) -> Path:
        return self.services.settings.jobs.joinpath(job.id, *parts)


@contextmanager
def bench(settings: Settings, task: Task) -> Iterator[Bench]:
    """A runner at work until the block ends."""
    services = Services.of(settings)
    services.records.migrate()
    services.catalog.scan()
    parts = (services.records, services.hub, services.catalog, services.models)
    runner = Runner(settings, *parts, task=task)
    runner.start()
    try:
        yield Bench(services, runner)
    finally:
        runner.drain()
        services.records.close()
