"""Batches on a real embedded cluster; what a slide does to its worker is the test's own task."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from annotations.errors import UsageError
from service.batch import KILLS, Batch
from service.cluster import Share, check_address, embedded
from service.inputs import SlideInput
from service.tasks import MapSettings, Model, SlideJob, SlideOutcome, Update, topic_of
from service.throttle import Throttle
from tests.patience import SECONDS
from tiling.resolution import Resolution


def jobs(out: Path, *names: str) -> list[SlideJob]:
    model = Model(Path("m"), "m", "digest", MapSettings())
    return [SlideJob(SlideInput(Path(name), name), out, model) for name in names]


def run(out: Path, task: Callable[[SlideJob], SlideOutcome], *names: str) -> dict[str, str]:
    """Each slide's reason, or its status where it has none."""
    with embedded(Share(2, 1)) as client:
        batch = Batch(client, jobs(out, *names), hear=lambda _: None, task=task)
        return {outcome.name: outcome.reason or outcome.status for outcome in batch.outcomes()}


def test_a_slide_that_kills_its_worker_fails_and_all_others_finish(tmp_path: Path) -> None:
    def task(job: SlideJob) -> SlideOutcome:
        if job.slide.name == "killer":
            os.abort()
        time.sleep(0.2)
        return SlideOutcome(job.slide.name, "done")

    assert run(tmp_path, task, "a", "killer", "b", "c", "d") == {
        "killer": KILLS,
        "a": "done",
        "b": "done",
        "c": "done",
        "d": "done",
    }


def test_a_slide_whose_worker_died_once_is_tried_again(tmp_path: Path) -> None:
    def task(job: SlideJob) -> SlideOutcome:
        mark = job.out / job.slide.name
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return SlideOutcome(job.slide.name, "done")

    assert run(tmp_path, task, "a") == {"a": "done"}


def test_a_task_that_raises_fails_its_slide_alone(tmp_path: Path) -> None:
    def task(job: SlideJob) -> SlideOutcome:
        if job.slide.name == "a":
            raise RuntimeError("no such luck")
        return SlideOutcome(job.slide.name, "done")

    found = run(tmp_path, task, "a", "b")
    assert found["b"] == "done"
    assert "no such luck" in found["a"]


def test_progress_arrives_while_slides_are_under_way(tmp_path: Path) -> None:
    topic = topic_of(tmp_path)

    def task(job: SlideJob) -> SlideOutcome:
        from dataclasses import asdict

        from distributed import get_worker

        for done in range(3):
            get_worker().log_event(topic, asdict(Update(job.slide.name, "canvas", done, 2)))
        while not (job.out / "heard").exists():
            time.sleep(0.02)
        return SlideOutcome(job.slide.name, "done")

    heard: list[Update] = []

    def hear(update: Update) -> None:
        heard.append(update)
        if update.done == 2:
            (tmp_path / "heard").touch()

    with embedded(Share(1, 1)) as client:
        outcomes: Iterator[SlideOutcome] = Batch(
            client, jobs(tmp_path, "a"), hear=hear, task=task
        ).outcomes()
        assert [outcome.name for outcome in outcomes] == ["a"]
    assert heard == [Update("a", "canvas", done, 2) for done in range(3)]


def test_an_embedded_cluster_is_this_machines_alone_and_encrypted() -> None:
    with embedded(Share(1, 1)) as client:
        addresses = [client.scheduler.address, *client.scheduler_info()["workers"]]
    assert [address.rpartition(":")[0] for address in addresses] == ["tls://127.0.0.1"] * 2


def test_an_embedded_cluster_shows_nothing_over_http() -> None:
    with embedded(Share(1, 1)) as client:
        info = client.scheduler_info()
        ports = [info["services"]["dashboard"]]
        ports += [worker["services"]["dashboard"] for worker in info["workers"].values()]
        for port in ports:
            for path in ("health", "info/main/workers.html", "json/identity.json", "metrics"):
                connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
                connection.request("GET", f"/{path}")
                assert connection.getresponse().status == 404
                connection.close()


def test_workers_have_no_memory_limit() -> None:
    with embedded(Share(1, 1)) as client:
        (worker,) = client.scheduler_info()["workers"].values()
    assert worker["memory_limit"] == 0


@pytest.mark.parametrize(
    ("cores", "slides", "workers", "share"),
    [
        (2, 10, None, Share(1, 2)),
        (16, 10, None, Share(4, 4)),
        (16, 1, None, Share(1, 16)),
        (16, 3, None, Share(3, 5)),
        (2, 10, 4, Share(4, 1)),
        (1, 1, None, Share(1, 1)),
    ],
)
def test_cores_are_shared_out(cores: int, slides: int, workers: int | None, share: Share) -> None:
    assert Share.of(cores, slides, workers) == share


@pytest.mark.parametrize(
    "address",
    [
        "tls://cluster.example:8786",
        "tcp://127.0.0.1:8786",
        "127.0.0.1:8786",
        "tcp://[::1]:8786",
        "tcp://localhost:8786",
    ],
)
def test_addresses_that_are_safe(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://cluster.example:8786",
        "cluster.example:8786",
        "tcp://10.0.0.7:8786",
        "ws://10.0.0.7:8786",
        "tcp://127.0.0.1.example:1",
        "",
    ],
)
def test_addresses_that_would_send_pickles_in_the_open(address: str) -> None:
    with pytest.raises(UsageError, match="tls://"):
        check_address(address)


def test_updates_are_thinned_but_never_a_new_phase_or_an_end() -> None:
    passed: list[Update] = []
    throttle = Throttle(passed.append)
    for done in range(1001):
        throttle(Update("a", "canvas", done, 1000))
    throttle(Update("a", "pyramid", 0, 100))
    assert passed[0].done == 0
    assert Update("a", "canvas", 1000, 1000) in passed
    assert passed[-1].phase == "pyramid"
    assert len(passed) < 20


@pytest.mark.parametrize(
    ("slide", "command", "expected"),
    [
        ((None, False), (0.5, False), Resolution(0.5)),
        ((0.25, False), (0.5, False), Resolution(0.25)),
        ((0.25, False), (0.5, True), Resolution(0.5, True)),
        ((0.25, True), (None, False), Resolution(0.25, True)),
    ],
)
def test_a_cohorts_word_on_a_slide_goes_first_unless_the_command_forces(
    slide: tuple[float | None, bool], command: tuple[float | None, bool], expected: Resolution
) -> None:
    model = Model(Path("m"), "m", "digest", MapSettings())
    job = SlideJob(SlideInput(Path("a"), "a", *slide), Path("out"), model, *command)
    assert job.resolution == expected
