"""Attempts at jobs: what an engine makes, what it may open, and every way it can end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from service.cluster import Share, embedded
from service.engine.attempt import CANCELLED, TOPIC, Attempt, AttemptEnd, Progress
from service.engine.run import run_attempt, supervise
from service.engine.watch import bytes_in
from service.process import NICENESS
from service.readers import jail
from service.readers.slide_ref import own_files
from tests.attempts import (
    UnderWay,
    content,
    engine_pids,
    engines,
    halted,
    map_attempt,
    workers,
)
from tests.conftest import REPOSITORY, draw_slide, extent, write_random_model
from tests.patience import SECONDS, wait_for
from tiling.canvas_view import CanvasView

CANVAS = Path(".work/slides/result/canvas")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn slide with a name of its own, quick to map."""
    return draw_slide(tmp_path_factory.mktemp("slides") / "MARKER-name.png", 1100, 900)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that takes some seconds."""
    return draw_slide(tmp_path_factory.mktemp("slides") / "MARKER-large.png", 3600, 2900)


def done(attempt: Attempt) -> AttemptEnd:
    end = supervise(attempt, lambda _: None)
    assert end.status == "done", end
    return end


def failed(attempt: Attempt) -> str:
    """The reason of an attempt that fails."""
    end = supervise(attempt, lambda _: None)
    assert end.status == "failed", end
    assert "MARKER" not in end.reason and str(attempt.folder) not in end.reason
    assert not (attempt.folder / "result").exists()
    return end.reason


def test_an_attempt_gives_the_bytes_of_extent_predict(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    options = ("--model", random_model, "--mpp", 4, "--threshold", 0.4)
    assert extent("predict", slide, *options, "--out", tmp_path / "out").returncode == 0
    attempt = map_attempt(tmp_path / "jobs", slide, random_model, threshold=0.4)
    end = done(attempt)
    assert content(attempt.folder / "result") == content(tmp_path / "out" / slide.stem)
    assert sorted(path.name for path in attempt.folder.iterdir()) == ["result"]
    files = list((attempt.folder / "result").iterdir())
    assert end.outcome["bytes"] == sum(file.stat().st_size for file in files)
    assert end.outcome["threshold"] == 0.4
    assert end.outcome["regions"] > 0
    assert end.outcome["digests"]["model"] == attempt.request["model_digest"]
    assert 0 < end.outcome["tumour_area_mm2"] < end.outcome["tissue_area_mm2"]


def test_progress_reaches_the_server_and_the_engine_is_kept(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    heard: list[object] = []
    with embedded(Share(1, 1)) as client:
        client.subscribe_topic(TOPIC, lambda event: heard.append(event[1]))
        seen = []
        for name in ("a", "b"):
            attempt = map_attempt(tmp_path / name, slide, random_model)
            assert client.submit(run_attempt, attempt).result().status == "done"
            seen += client.run(engine_pids).values()
        wanted = asdict(Progress("job", 1, "publishing"))
        wait_for(lambda: any(wanted.items() <= dict(h).items() for h in heard))  # type: ignore[call-overload]
    assert seen[0] == seen[1] and len(seen[0]) == 1


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGSEGV, "crashed"),
        (signal.SIGABRT, "crashed"),
        (signal.SIGBUS, "crashed"),
        (signal.SIGKILL, "killed"),
        (signal.SIGTERM, "killed"),
    ],
)
def test_how_the_process_died_is_told(
    tmp_path: Path, large: Path, random_model: Path, number: signal.Signals, expected: str
) -> None:
    under_way = halted(lambda jobs: map_attempt(jobs, large, random_model), tmp_path)
    (worker,) = workers()
    worker.send_signal(number)
    worker.resume()
    end = under_way.end()
    assert end.status == expected
    assert number.name in end.reason
    assert workers() == []


def test_an_engine_that_is_killed_takes_its_child_with_it_and_another_follows(
    tmp_path: Path, slide: Path, large: Path, random_model: Path
) -> None:
    under_way = halted(lambda jobs: map_attempt(jobs, large, random_model), tmp_path / "a")
    (worker,), (engine,) = workers(), engines()
    engine.kill()
    assert under_way.end().status == "killed"
    worker.wait(SECONDS)
    done(map_attempt(tmp_path / "b", slide, random_model))


@pytest.mark.parametrize("word", [CANCELLED, "2", "", None])
def test_a_fence_stops_an_attempt_at_once(
    tmp_path: Path, large: Path, random_model: Path, word: str | None
) -> None:
    under_way = halted(lambda jobs: map_attempt(jobs, large, random_model), tmp_path)
    attempt = under_way.attempt
    (engine,) = engines()
    if word is None:
        attempt.fence.unlink()
    else:
        attempt.fence.write_text(word)
    assert under_way.end().status == "stopped"
    assert workers() == []
    assert engines() == [engine], "it is kept: only its child was killed"
    assert not (attempt.folder / "result").exists()


def test_an_attempt_that_is_too_late_never_begins(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    attempt = map_attempt(tmp_path, slide, random_model)
    attempt.fence.write_text("2")
    assert supervise(attempt, lambda _: None).status == "stopped"
    assert not attempt.folder.exists()


def test_a_limit_of_time(tmp_path: Path, large: Path, random_model: Path) -> None:
    attempt = map_attempt(tmp_path, large, random_model)
    assert "longer than the 1e-09 h" in failed(replace(attempt, hours=1e-9))


def test_a_limit_of_disk_while_it_goes_on(tmp_path: Path, large: Path, random_model: Path) -> None:
    under_way = halted(
        lambda jobs: replace(map_attempt(jobs, large, random_model), bytes=20_000_000), tmp_path
    )
    with (under_way.attempt.folder / "full").open("wb") as full:
        os.posix_fallocate(full.fileno(), 0, 30_000_000)
    assert "more disk than the 0.02 GB" in under_way.end().reason
    assert not (under_way.attempt.folder / "result").exists()


def test_a_limit_of_disk_once_it_is_over(tmp_path: Path, slide: Path, random_model: Path) -> None:
    attempt = map_attempt(tmp_path, slide, random_model)
    attempt.folder.mkdir()
    (attempt.folder / "full").write_bytes(b"x" * 20_000)
    assert bytes_in(attempt.folder) >= 20_000
    end = supervise(replace(attempt, bytes=10_000), lambda _: None)
    assert end.status == "failed"
    assert "more disk than the 1e-05 GB" in end.reason


def killed_with_a_part_of_its_map(folder: Path, slide: Path, model: Path) -> tuple[Path, UnderWay]:
    """The jobs' folder and an attempt that was killed once some of its map was on disk.

    Its child runs in steps of milliseconds, so that there is time to look between them; one that
    came through all the same is let go, and another begun.
    """
    for number in range(10):
        jobs = folder / f"jobs{number}"
        under_way = UnderWay(map_attempt(jobs, slide, model))
        under_way.wait_for(lambda p: p.phase == "canvas")
        journal = under_way.attempt.folder / CANVAS / "values.journal"
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            for worker in workers():
                empty = journal.stat().st_size
                while not under_way.has_reached("pyramid"):
                    worker.suspend()
                    if journal.exists() and journal.stat().st_size > empty:
                        worker.kill()
                        return jobs, under_way
                    worker.resume()
                    time.sleep(0.005)
        under_way.end()
    pytest.fail("every attempt was over before it could be killed")


def test_a_kill_changes_no_byte_and_what_was_computed_is_not_computed_again(
    tmp_path: Path, large: Path, random_model: Path
) -> None:
    undisturbed = map_attempt(tmp_path / "undisturbed", large, random_model)
    done(undisturbed)
    jobs, first = killed_with_a_part_of_its_map(tmp_path, large, random_model)
    assert first.end().status == "killed"
    with CanvasView.open(first.attempt.folder / CANVAS) or pytest.fail("no canvas") as view:
        assert view.counts(view.foreground)[1:].sum() > 0
    second = UnderWay(map_attempt(jobs, large, random_model, number=2))
    begun = second.wait_for(lambda p: p.phase == "canvas")
    assert second.end().status == "done"
    assert begun.done > 0
    assert content(second.attempt.folder / "result") == content(undisturbed.folder / "result")
    assert (first.attempt.folder / CANVAS).is_dir(), "an orphan may still write to it"


def test_a_region_is_mapped_and_recorded(tmp_path: Path, slide: Path, random_model: Path) -> None:
    attempt = map_attempt(tmp_path, slide, random_model, region_level0=[300, 200, 400, 300])
    assert done(attempt).outcome["tissue_area_mm2"] == pytest.approx(400 * 300 * 16 / 1e6)
    text = (attempt.folder / "result" / "summary.json").read_text()
    assert '"region_level0": [\n        300,' in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mpp": None}, "no resolution"),
        ({"threshold": 1.5}, "threshold of 1.5"),
        ({"region_level0": [5000, 0, 10, 10]}, "outside what was scanned"),
        ({"region_level0": [0, 0, 0, 10]}, "at least 1"),
        ({"model_digest": "0" * 64}, "no longer the one"),
        ({"slide_path": "/nowhere/MARKER.svs"}, "no such file"),
    ],
)
def test_what_cannot_be_done_fails_with_a_reason_that_names_no_file(
    tmp_path: Path, slide: Path, random_model: Path, change: dict[str, object], expected: str
) -> None:
    assert expected in failed(map_attempt(tmp_path, slide, random_model, **change))


@pytest.mark.parametrize("name", ["MARKER.tiff", "MARKER.mrxs", "MARKER.png", "MARKER.svs"])
def test_a_file_that_is_no_slide_fails_alone(
    tmp_path: Path, slide: Path, random_model: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"MARKER" * 1000)
    assert failed(map_attempt(tmp_path / "a", tmp_path / name, random_model))
    done(map_attempt(tmp_path / "b", slide, random_model))


def test_a_broken_model_is_told(tmp_path: Path, slide: Path) -> None:
    broken = tmp_path / "MARKER.safetensors"
    broken.write_bytes(b"nothing")
    assert "the model" in failed(map_attempt(tmp_path, slide, broken))


@pytest.mark.skipif(not jail.available(), reason="this kernel has no Landlock")
def test_nothing_but_what_an_attempt_sees_can_be_opened(
    tmp_path: Path, slide: Path, random_model: Path
) -> None:
    attempt = map_attempt(tmp_path / "a", slide, random_model)
    assert failed(replace(attempt, sees=(random_model,)))  # the slide is there, but out of sight
    link = tmp_path / "link.png"
    link.symlink_to(slide)
    assert failed(replace(map_attempt(tmp_path / "b", link, random_model), sees=(random_model,)))


@pytest.mark.skipif(not jail.available(), reason="this kernel has no Landlock")
def test_a_slide_of_several_files_is_mapped_from_its_own_files(
    tmp_path: Path, data: Path, random_model: Path
) -> None:
    slide = data / "slides" / "dicom_cmu1_small_region"
    own = own_files(slide).sees
    attempt = map_attempt(tmp_path / "a", slide, random_model)
    assert done(replace(attempt, sees=(*own, random_model))).outcome["tissue_area_mm2"] > 0.5
    attempt = map_attempt(tmp_path / "b", slide, random_model)
    assert failed(replace(attempt, sees=(slide / "absent", random_model)))


def test_the_engine_knows_nothing_of_the_worker_and_runs_at_low_priority(
    tmp_path: Path, slide: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTENT_TEST_SECRET", "MARKER")
    for engine in engines():
        engine.kill()
        engine.wait()
    done(map_attempt(tmp_path, slide, random_model))
    (engine,) = engines()
    assert "EXTENT_TEST_SECRET" not in engine.environ()
    assert engine.nice() == max(os.nice(0), NICENESS)
    assert engine.num_threads() == 1


def test_engines_end_with_their_worker(tmp_path: Path, large: Path, random_model: Path) -> None:
    """The supervisor killed: its engine and its child are gone."""
    code = (
        "import sys, time; from pathlib import Path;"
        "from tests.attempts import halted, map_attempt;"
        "jobs, slide, model = map(Path, sys.argv[1:]);"
        "halted(lambda folder: map_attempt(folder, slide, model), jobs);"
        "print('halted', flush=True); time.sleep(600)"
    )
    arguments = [str(path) for path in (tmp_path, large, random_model)]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    with supervisor.stdout as lines:
        assert lines.readline() == "halted\n"
        family = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(family) == 2
        supervisor.kill()
        supervisor.wait()
    _, alive = psutil.wait_procs(family, timeout=SECONDS)
    assert not alive


def test_openvino_reports_to_nobody() -> None:
    code = (
        "import sys, threading, model.openvino_predictor;"
        "assert not any('telemetry.backend' in name for name in sys.modules);"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_attempts_survive_json(tmp_path: Path) -> None:
    attempt = Attempt("j", 3, "training", tmp_path, {"a": [1]}, (tmp_path,), tmp_path, 1.5, 7, 2)
    assert Attempt.from_json(attempt.to_json()) == attempt
    assert Attempt.from_json(replace(attempt, previous=None).to_json()).previous is None


def test_a_model_is_compiled_once_for_all_engines(slide: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "compiled"
    unknown = write_random_model(tmp_path / "unknown.safetensors", seed=11)  # to engines kept ready
    for number in (1, 2):
        attempt = map_attempt(tmp_path / "jobs", slide, unknown, number)
        end = supervise(replace(attempt, compiled=compiled, previous=None), lambda progress: None)
        assert end.status == "done", end
        (kept,) = compiled.iterdir()
        if number == 1:
            first = kept.read_bytes()
            for engine in engines():
                engine.kill()
                engine.wait()
    assert kept.read_bytes() == first, "a model compiled anew has other bytes"
