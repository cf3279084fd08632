"""Whatever dies while jobs run, each finishes once: schedulers, workers, the database, servers."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.errors import RecordsError
from service.engine.attempt import TOPIC, Attempt, AttemptEnd, Progress
from service.http.principals import LOCAL
from service.http.problems import Problem
from service.jobs.desk import DISK_FULL
from service.jobs.workers import AWAY, BLIND, NONE_THERE
from service.records.database import new_id
from service.records.tables import Job
from service.settings import Retention, Settings
from tests.clusters import Cluster, cluster
from tests.conftest import REPOSITORY
from tests.patience import wait_for
from tests.postgres import postgresql
from tests.runners import Bench, bench, leave_result, server_settings

STEPS = 10
HELD = "held"  # a file in the folder of slides: while it is there, no attempt comes to its end
FILLS = 512 << 20  # bytes


def steady(attempt: Attempt) -> AttemptEnd:
    """An engine that works for two seconds, heeds its fence and notes what it did."""
    import time
    from dataclasses import asdict
    from pathlib import Path

    from distributed import get_worker

    with (attempt.folder.parent / "log").open("a") as log:
        log.write(f"{attempt.number}\n")
    held, step = Path(attempt.request["slide_path"]).with_name(HELD), 0
    while step < STEPS or held.exists():
        if attempt.fence.read_text() != str(attempt.number):
            return AttemptEnd(attempt.job_id, attempt.number, "stopped")
        told = Progress(attempt.job_id, attempt.number, "canvas", min(step, STEPS), STEPS)
        get_worker().log_event(TOPIC, asdict(told))
        time.sleep(0.2)
        step += 1
    return leave_result(attempt)


def deaf(attempt: Attempt) -> AttemptEnd:
    """An engine that heeds no fence, and takes its time when it is a job's first."""
    import time

    time.sleep(6 if attempt.number == 1 else 0.1)
    return leave_result(attempt, f"by {attempt.number}")


def finished(server: Bench, jobs: list[Job]) -> list[Job]:
    """The jobs, all of which have succeeded, each with one whole result."""
    found = [server.wait(job) for job in jobs]
    for job in found:
        assert (job.state, job.reason) == ("succeeded", None)
        summary = server.services.jobs.result_folder(job) / "summary.json"
        assert summary.read_text() == "a map"
    return found


@pytest.fixture
def settings(tmp_path: Path, random_model: Path) -> Settings:
    return server_settings(tmp_path, random_model, "well")


@contextmanager
def elsewhere(settings: Settings) -> Iterator[tuple[Cluster, Bench]]:
    """A server whose two workers are another's."""
    with ExitStack() as stack:
        others = stack.enter_context(cluster(2))
        remote = replace(settings, workers=None, cluster=others.address)
        server = stack.enter_context(bench(remote, steady))
        wait_for(lambda: server.runner.state.workers == 2)
        yield others, server


@contextmanager
def under_way(server: Bench, count: int) -> Iterator[list[Job]]:
    """Jobs, two of which are being worked on at once until the block ends."""
    held = server.services.settings.data / HELD
    held.touch()
    jobs = [server.submit("well") for _ in range(count)]

    def running(job: Job) -> bool:
        found = server.job(job)
        return found.state == "running" and found.done > 0

    wait_for(lambda: sum(map(running, jobs)) >= 2)
    try:
        yield jobs
    finally:
        held.unlink()


@pytest.mark.slow
def test_a_scheduler_that_is_killed_and_comes_back_loses_nothing(settings: Settings) -> None:
    with elsewhere(settings) as (others, server):
        with under_way(server, 4) as jobs:
            others.kill_scheduler()
            wait_for(lambda: server.runner.state.said == AWAY)
            assert {server.job(job).state for job in jobs} <= {"queued", "running"}
        others.start_scheduler()

        def all_end() -> bool:
            others.keep_workers(2)  # some leave with the scheduler, at some time
            return all(server.job(job).state == "succeeded" for job in jobs)

        wait_for(all_end)
        done = finished(server, jobs)
        assert any(job.attempt > 1 for job in done)
        assert {job.losses for job in done} == {0}


@pytest.mark.slow
def test_killed_workers_lose_nothing_and_no_workers_are_waited_for(settings: Settings) -> None:
    with elsewhere(settings) as (others, server):
        with under_way(server, 4) as jobs:
            others.kill_worker()
        wait_for(lambda: any(server.job(job).attempt == 2 for job in jobs))
        others.kill_worker()
        wait_for(lambda: server.runner.state.said == NONE_THERE)
        assert not server.runner.state.ready
        others.keep_workers(2)
        finished(server, jobs)


def test_workers_that_see_other_folders_get_nothing_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = replace(settings, data=tmp_path / "mounted only here", workers=1)
    settings.data.rename(elsewhere.data)
    script = tmp_path / "hide.py"
    script.write_text(
        "from service.jobs import shared\n"
        "shared.Shared.is_seen = lambda self: False\n"  # on the workers alone
    )
    with cluster(0) as others:
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", str(script)]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", others.address, *options]
        blind = subprocess.Popen(
            command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, start_new_session=True
        )
        others.workers.append(blind)
        with bench(replace(elsewhere, workers=None, cluster=others.address), steady) as server:
            job = server.submit("well")
            wait_for(lambda: server.runner.state.said == BLIND)
            assert (server.job(job).state, server.runner.state.workers) == ("queued", 0)
            others.kill_worker()
            others.keep_workers(1)
            finished(server, [job])


def test_a_cluster_that_is_not_there_yet_is_waited_for(settings: Settings) -> None:
    others = Cluster()
    with bench(replace(settings, workers=None, cluster=others.address), steady) as server:
        job = server.submit("well")
        assert not server.runner.state.ready
        try:
            others.start_scheduler()
            others.keep_workers(1)
            finished(server, [job])
        finally:
            for process in (*others.workers, others.scheduler):
                assert process
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.parametrize("seconds", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_a_database_that_is_away_while_jobs_run_costs_nothing(
    settings: Settings, seconds: float
) -> None:
    with postgresql() as database:
        url = database.new_database(new_id())
        with bench(replace(settings, database=url), steady) as server:
            with under_way(server, 4) as jobs:
                database.stop()
            try:
                with pytest.raises(RecordsError):
                    server.job(jobs[0])
                with pytest.raises((RecordsError, Problem)):
                    server.submit("well")
                time.sleep(seconds)
                wait_for(lambda: not server.runner.state.ready)
            finally:
                database.start()
            done = finished(server, jobs)
            assert {job.attempt for job in done} == {1}  # nothing was done twice
            assert server.services.jobs.counts() == {("map", "succeeded"): 4}


def filling(attempt: Attempt) -> AttemptEnd:
    """An engine that needs more disk than there is the first time."""
    import os

    if attempt.number == 1:
        with (attempt.folder / "large").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, FILLS)
        return AttemptEnd(attempt.job_id, attempt.number, "failed", "the disk is full")
    return leave_result(attempt)


def test_a_disk_that_is_full_for_a_while_fails_no_job(random_model: Path) -> None:
    memory = Path("/dev/shm")  # a file system that nobody else fills meanwhile
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2 * FILLS:
        pytest.skip(f"needs {2 * FILLS >> 20} MiB in {memory}")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        settings = server_settings(Path(folder), random_model, "well")
        limit = Retention(free_bytes=shutil.disk_usage(memory).free - FILLS // 2)
        with bench(replace(settings, retention=limit), filling) as server:
            job = server.submit("well")
            server.wait(job, until=lambda job: job.state == "queued" and job.attempt == 1)
            wait_for(lambda: server.runner.state.said == DISK_FULL)
            with pytest.raises(Problem, match="almost full"):
                server.submit("well")
            server.path(job, "1", "large").unlink()
            (done,) = finished(server, [job])
            assert done.attempt == 2
            assert server.submit("well").state == "queued"


SERVER = """
import sys
from pathlib import Path
from service.settings import Settings
from tests.runners import bench
from tests.test_service_runner_faults import steady, deaf
if __name__ == "__main__":
    data, state, models, cluster, task = sys.argv[1:]
    settings = Settings(Path(data), Path(state), models=Path(models), cluster=cluster or None,
                        workers=None if cluster else 2)
    with bench(settings, {"steady": steady, "deaf": deaf}[task]) as server:
        print("ready", flush=True)
        for line in sys.stdin:
            job = server.submit(line.strip())
            print(job.id, flush=True)
"""


class Server:
    """A server in a process that can be killed; what it is told to submit, it submits."""

    def __init__(self, settings: Settings, folder: Path, task: str) -> None:
        script = folder / "server.py"
        script.write_text(SERVER)
        arguments = (settings.data, settings.state, settings.models, settings.cluster or "", task)
        self.process = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout and self.process.stdin
        assert self.process.stdout.readline() == "ready\n"

    def submit(self, slide: str) -> str:
        assert self.process.stdout and self.process.stdin
        self.process.stdin.write(f"{slide}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout and self.process.stdin
        self.process.stdout.close()
        self.process.stdin.close()


@pytest.mark.slow
def test_a_server_that_is_killed_loses_nothing_and_the_next_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    first = Server(settings, tmp_path, "steady")
    (settings.data / HELD).touch()
    ids = [first.submit("well") for _ in range(4)]
    wait_for(lambda: any((settings.jobs / job / "log").exists() for job in ids))
    first.kill()
    (settings.data / HELD).unlink()
    with bench(settings, steady) as server:
        jobs = [server.services.jobs.get(LOCAL, job_id) for job_id in ids]
        assert len(server.services.jobs.page(LOCAL)[0]) == 4
        done = finished(server, jobs)
        assert any(job.attempt > 1 for job in done)
        assert {(job.losses, job.kills, job.crashes) for job in done} == {(0, 0, 0)}


@pytest.mark.slow
def test_an_orphan_that_outlives_its_server_cannot_publish_over_a_newer_attempt(
    settings: Settings, tmp_path: Path
) -> None:
    with cluster(2) as others:
        remote = replace(settings, workers=None, cluster=others.address)
        first = Server(remote, tmp_path, "deaf")
        job_id = first.submit("well")
        wait_for(lambda: (settings.jobs / job_id / "1").exists())
        first.kill()
        with bench(remote, deaf) as server:
            job = server.wait(server.services.jobs.get(LOCAL, job_id))
            assert (job.state, job.result_attempt) == ("succeeded", 2)
            orphan = server.path(job, "1", "result")
            wait_for(lambda: not server.path(job, "1").exists() or orphan.exists())
            time.sleep(7)  # the orphan ends meanwhile
            again = server.job(job)
            assert (again.result_attempt, again.revision) == (2, job.revision)
            result = server.services.jobs.result_folder(again)
            assert (result / "summary.json").read_text() == "by 2"
