"""The runner on a real embedded cluster; what becomes of a slide is the test's own task."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotations.errors import ResultError
from service.engine.attempt import TOPIC, Attempt, AttemptEnd, Progress
from service.http.principals import LOCAL
from service.jobs.ledger import MOST_CRASHES, MOST_KILLS, REASONS
from service.jobs.once import run_engine
from service.jobs.runner import STOPPED
from service.records.tables import Audit, Job
from service.settings import Retention, Settings
from tests.clusters import embedded_workers
from tests.conftest import REPOSITORY
from tests.patience import wait_for
from tests.runners import Bench, bench, leave_result, server_settings

CANVAS = ".work/slides/result/canvas"  # of an attempt
HEARD = "heard"  # a file of a job: the test has seen its phases
SLIDES = ("well", "broken", "crashes", "shy", "killed", "loses", "told", "slow", "raises", "still")


def stand_in(attempt: Attempt) -> AttemptEnd:
    """An engine that does with a slide what the slide's name says."""
    import os
    import time
    from dataclasses import asdict
    from pathlib import Path

    from distributed import get_worker

    from service.engine.attempt import FENCE

    def end(status: str, reason: str = "") -> AttemptEnd:
        return AttemptEnd(attempt.job_id, attempt.number, status, reason)  # type: ignore[arg-type]

    def say(phase: str, done: int = 0, total: int = 0) -> None:
        told = Progress(attempt.job_id, attempt.number, phase, done, total)
        get_worker().log_event(TOPIC, asdict(told))

    does = Path(attempt.request["slide_path"]).stem
    log = attempt.folder.parent / "log"
    with log.open("a") as stream:
        stream.write(f"{time.time()} began {attempt.number} after {attempt.previous}\n")
    if does == "broken":
        return end("failed", "the slide is damaged")
    if does == "crashes" or (does == "shy" and attempt.number == 1):
        return end("crashed", "SIGSEGV")
    if does == "killed":
        return end("killed")
    if does == "loses" and attempt.number < 3:
        os.kill(os.getpid(), 9)
    if does == "raises" and attempt.number < 3:
        raise RuntimeError("a fault of the engine")
    if does == "told":
        for phase in ("reading", "canvas", "pyramid", "tracing"):
            say(phase, 1, 2)
        while not (attempt.folder.parent / HEARD).exists():
            time.sleep(0.02)
    if does in ("slow", "still"):
        (attempt.folder / CANVAS).mkdir(parents=True)
        fence = attempt.folder.parent / FENCE
        say("canvas", 1, 9)
        while fence.read_text() == str(attempt.number):
            if (Path(attempt.request["slide_path"]).parent / "go").exists():
                break
            time.sleep(0.05)
        else:
            return end("stopped")
    return leave_result(attempt)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, random_model: Path) -> Settings:
    return server_settings(tmp_path_factory.mktemp("runner"), random_model, *SLIDES)


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Bench]:
    with bench(settings, stand_in) as server:
        yield server


def audited(server: Bench, job: Job) -> list[str]:
    query = sa.select(Audit.action).where(Audit.job_id == job.id).order_by(Audit.id)
    with server.services.records.read() as session:
        return list(session.scalars(query))


def begun(server: Bench, job: Job) -> list[str]:
    """A line for each attempt that a worker began."""
    return server.path(job, "log").read_text().splitlines()


def test_a_job_is_run_and_published(server: Bench) -> None:
    job = server.wait(server.submit("well"))
    assert (job.state, job.attempt, job.result_attempt) == ("succeeded", 1, 1)
    assert job.outcome == {"by": 1}
    assert job.result_bytes == len("a map")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert (server.services.jobs.result_folder(job) / "summary.json").read_text() == "a map"
    assert audited(server, job) == ["job submit", "map succeed"]


def test_a_slide_that_cannot_be_mapped_fails_with_the_reason(server: Bench) -> None:
    job = server.wait(server.submit("broken"))
    assert (job.state, job.attempt, job.reason) == ("failed", 1, "the slide is damaged")
    assert audited(server, job) == ["job submit", "map fail"]
    assert not server.path(job, "1").exists()


def test_a_slide_that_ends_its_process_fails_and_all_others_finish(server: Bench) -> None:
    killer, *others = (server.submit(slide) for slide in ("crashes", "well", "well", "well"))
    assert {server.wait(job).state for job in others} == {"succeeded"}
    job = server.wait(killer)
    assert (job.state, job.crashes, job.attempt) == ("failed", MOST_CRASHES, MOST_CRASHES)
    assert job.reason == f"{REASONS['crashed']} The last time: SIGSEGV."


def test_one_crash_is_forgiven(server: Bench) -> None:
    job = server.wait(server.submit("shy"))
    assert (job.state, job.crashes, job.result_attempt) == ("succeeded", 1, 2)
    assert not server.path(job, "1").exists()


def test_a_process_killed_from_outside_is_tried_again_but_not_for_ever(server: Bench) -> None:
    job = server.wait(server.submit("killed"))
    assert (job.state, job.kills, job.attempt) == ("failed", MOST_KILLS, MOST_KILLS)
    assert job.reason == REASONS["killed"]


@pytest.mark.parametrize("slide", ["loses", "raises"])
def test_an_attempt_lost_with_its_worker_is_no_strike(server: Bench, slide: str) -> None:
    job = server.wait(server.submit(slide))
    assert (job.state, job.losses, job.crashes, job.kills) == ("succeeded", 2, 0, 0)
    assert len(begun(server, job)) == 3


def test_watchers_hear_of_every_phase_and_the_record_follows(server: Bench) -> None:
    job = server.submit("told")
    server.wait(job, until=lambda job: job.phase == "tracing")
    heard = [each.phase for each in server.services.jobs.updates(LOCAL, job.id, 1)]
    assert heard[-4:] == ["reading", "canvas", "pyramid", "tracing"]

    def recorded() -> str:
        with server.services.records.read() as session:
            return session.get_one(Job, job.id).phase

    wait_for(lambda: recorded() == "tracing")
    revision = server.job(job).revision
    server.path(job, HEARD).touch()
    assert server.wait(job).revision > revision


def test_a_running_job_is_cancelled_at_once_and_its_worker_freed(server: Bench) -> None:
    jobs = [server.submit("slow") for _ in range(2)]
    for job in jobs:
        server.wait(job, until=lambda job: job.phase == "canvas")
        assert server.services.jobs.ask_cancel(LOCAL, job.id).state == "cancelled"
    assert server.wait(server.submit("well")).state == "succeeded"
    for job in jobs:
        assert server.job(job).state == "cancelled"
        wait_for(lambda job=job: not server.path(job, "1").exists())  # type: ignore[misc]
        assert audited(server, job) == ["job submit", "job cancel"]


def test_a_slide_that_has_gone_fails_its_job(server: Bench, settings: Settings) -> None:
    away = settings.data / "gone.png"
    away.write_bytes((settings.data / "well.png").read_bytes())
    server.services.catalog.scan()
    blockers = [server.submit("slow") for _ in range(2)]
    for blocker in blockers:
        server.wait(blocker, until=lambda job: job.state == "running")
    job = server.submit("gone")
    away.unlink()
    for blocker in blockers:
        server.services.jobs.ask_cancel(LOCAL, blocker.id)
    job = server.wait(job)
    assert job.state == "failed"
    assert "not there any more" in str(job.reason)


def test_a_model_that_is_another_by_now_fails_its_job(server: Bench) -> None:
    record = server.submit("well")
    server.wait(record)
    submission_digest = "0" * 64
    with server.services.records.begin() as session:
        session.execute(
            sa.update(Job)
            .where(Job.id == record.id)
            .values(state="queued", model_digest=submission_digest, finished_at=None)
        )
    server.runner.wake()
    job = server.wait(record)
    assert job.state == "failed"
    assert "model of this name is another" in str(job.reason)


def test_groups_take_turns(server: Bench) -> None:
    blockers = [server.submit("slow") for _ in range(2)]
    for blocker in blockers:
        server.wait(blocker, until=lambda job: job.state == "running")
    many = [server.submit("well") for _ in range(6)]
    few = [server.submit("well", who=replace(LOCAL, group="late")) for _ in range(2)]
    for blocker in blockers:
        server.services.jobs.ask_cancel(LOCAL, blocker.id)
    began = {job.id: server.wait(job).started_at or 0 for job in (*many, *few)}
    order = sorted(began, key=lambda job_id: began[job_id])
    assert {job.id for job in few} <= set(order[:5])
    assert [i for i in order if i in {job.id for job in many}] == [job.id for job in many]


def test_its_state_says_that_all_is_well(server: Bench) -> None:
    wait_for(lambda: server.runner.state.workers == 2)  # one may be starting again
    assert (server.runner.state.ready, server.runner.state.said) == (True, "")


def test_one_server_for_a_state_folder(server: Bench, settings: Settings) -> None:
    program = (
        "import sys; from pathlib import Path; from service.locks import LOCK, held\n"
        "from service.jobs.runner import BUSY\n"
        "with held(Path(sys.argv[1]) / LOCK, wait_s=0, busy=BUSY): pass"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, str(settings.state)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "another server works in this folder" in second.stderr
    with pytest.raises(ResultError, match="another server"), bench(settings, stand_in):
        pass


def test_a_full_disk_begins_nothing_and_says_so(tmp_path: Path, random_model: Path) -> None:
    settings = server_settings(tmp_path, random_model, "well")
    with bench(settings, stand_in) as server:
        job = server.wait(server.submit("well"))
    full = replace(settings, retention=Retention(free_bytes=1 << 60))
    with bench(full, stand_in) as server:
        wait_for(lambda: "disk" in server.runner.state.said)
        assert server.job(job).state == "succeeded"
        assert not server.runner.state.ready


def test_draining_puts_what_runs_in_the_queue_and_the_next_server_goes_on(
    tmp_path: Path, random_model: Path
) -> None:
    settings = server_settings(tmp_path, random_model, "still", "well")
    with bench(settings, stand_in) as server:
        running, waiting = server.submit("still"), server.submit("well")
        server.wait(running, until=lambda job: job.phase == "canvas")
        server.wait(waiting)
        server.runner.drain()  # does not wait for what never ends by itself
        job = server.job(running)
        assert (job.state, job.attempt, job.losses) == ("queued", 1, 0)
        assert server.path(job, "1", CANVAS).exists()
        assert server.runner.state.said == STOPPED
    (settings.data / "go").touch()
    with bench(settings, stand_in) as server:
        job = server.wait(running)
        assert (job.state, job.result_attempt) == ("succeeded", 2)
        assert begun(server, job)[1].endswith(f"2 after {server.path(job, '1')}")


def test_a_killed_worker_costs_nothing_but_an_attempt(server: Bench, settings: Settings) -> None:
    job = server.submit("slow")
    server.wait(job, until=lambda job: job.phase == "canvas")
    for worker in embedded_workers():
        worker.kill()
    job = server.wait(job, until=lambda job: job.attempt == 2 and job.phase == "canvas")
    assert (job.losses, job.kills, job.crashes) == (1, 0, 0)
    server.services.jobs.ask_cancel(LOCAL, job.id)


def test_real_slides_on_real_engines(tmp_path: Path, random_model: Path, data: Path) -> None:
    settings = server_settings(tmp_path, random_model, "drawn")
    small = data / "slides" / "CMU-1-Small-Region.svs"
    (settings.data / small.name).write_bytes(small.read_bytes())
    (settings.data / "damaged.svs").write_bytes(small.read_bytes()[:200_000])
    with bench(settings, run_engine) as server:
        jobs = [
            server.submit("CMU-1-Small-Region"),
            server.submit("drawn", mpp=4.0, threshold=0.25),
            server.submit("damaged"),
            server.submit("drawn"),
        ]
        real, drawn, damaged, unknown = (server.wait(job) for job in jobs)
        summary = json.loads(
            (server.services.jobs.result_folder(drawn) / "summary.json").read_text()
        )
    assert {real.state, drawn.state} == {"succeeded"}
    assert {real.attempt, drawn.attempt} == {1}
    assert real.outcome
    assert real.outcome["tissue_area_mm2"] > 0
    assert summary["threshold"] == 0.25
    assert {damaged.state, unknown.state} == {"failed"}
    assert "damaged" not in str(damaged.reason)
    assert "µm" in str(unknown.reason)
    assert "drawn" not in str(unknown.reason)
