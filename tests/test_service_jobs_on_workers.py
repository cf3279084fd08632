"""What workers do of a job before its engine begins."""

from pathlib import Path

import pytest

from service.engine.attempt import Attempt, AttemptEnd
from service.jobs import fence
from service.jobs.folders import previous
from service.jobs.once import UNSEEN, run_once
from service.jobs.shared import Shared


def attempt(job: Path, number: int) -> Attempt:
    return Attempt("j", number, "map", job / str(number), {}, ())


def engine(attempt: Attempt) -> AttemptEnd:
    return AttemptEnd(attempt.job_id, attempt.number, "done")


def test_an_attempt_that_the_fence_names_is_run_once(tmp_path: Path) -> None:
    fence.let_go_on(tmp_path / "j", 3)
    assert run_once(engine, attempt(tmp_path / "j", 3)).status == "done"
    assert run_once(engine, attempt(tmp_path / "j", 3)).status == "stopped"


@pytest.mark.parametrize("number", [2, 4])
def test_no_other_attempt_is_run(tmp_path: Path, number: int) -> None:
    fence.let_go_on(tmp_path / "j", 3)
    assert run_once(engine, attempt(tmp_path / "j", number)).status == "stopped"
    assert not (tmp_path / "j" / str(number)).exists()


def test_a_cancelled_job_is_not_run(tmp_path: Path) -> None:
    fence.let_go_on(tmp_path / "j", 3)
    fence.stop_all(tmp_path / "j")
    assert run_once(engine, attempt(tmp_path / "j", 3)).status == "stopped"


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    end = run_once(engine, attempt(tmp_path / "j", 1))
    assert (end.status, end.reason) == ("stopped", UNSEEN)


def test_folders_are_seen_by_whoever_sees_the_same(tmp_path: Path) -> None:
    data, jobs = tmp_path / "data", tmp_path / "jobs"
    for folder in (data, jobs):
        folder.mkdir()
    (data / "slide.svs").touch()
    (data / "dangling").symlink_to("nowhere")
    first = Shared.between(data, jobs)
    assert first.is_seen()
    assert [path.name for path in jobs.iterdir()] == [".shared"]
    later = Shared.between(data, jobs)
    assert later.is_seen()
    assert not first.is_seen()  # as on a worker with another folder on this path
    (data / "slide.svs").unlink()
    assert not later.is_seen()


def test_an_attempt_goes_on_from_the_last_that_left_something(tmp_path: Path) -> None:
    assert previous(tmp_path / "none", 1) is None
    for number in (1, 2, 3, 10):
        (tmp_path / str(number) / ".work" / "tmp").mkdir(parents=True)
    assert previous(tmp_path, 10) is None
    (tmp_path / "2" / ".work" / "slides" / "result" / "canvas").mkdir(parents=True)
    assert previous(tmp_path, 10) == tmp_path / "2"
    assert previous(tmp_path, 2) is None
    (tmp_path / "10" / ".work" / "training").mkdir()
    (tmp_path / "10" / ".work" / "training" / "state.safetensors").touch()
    assert previous(tmp_path, 11) == tmp_path / "10"
