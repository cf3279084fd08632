import csv
import hashlib
import json
import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from annotations.errors import ResultError
from model.area_interval import AreaInterval
from model.familiarity import Familiarity
from service.locks import held
from service.results import (
    Fingerprint,
    ResultPlace,
    SlideTable,
    claimed,
    what_changed,
)
from service.tasks import SlideOutcome
from service.training_folder import training_folder, writing_folder
from tests.patience import SECONDS

FOLDERS = [claimed, writing_folder, partial(training_folder, marks=("m",), resume=False)]
WANTED = Fingerprint("slide digest", "model digest", {"window": 1024})


def write_result(folder: Path, content: bytes = b"map") -> Path:
    folder.mkdir(parents=True)
    (folder / "probability.tiff").write_bytes(content)
    provenance = {
        "slide": WANTED.slide,
        "model": WANTED.model,
        "parameters": dict(WANTED.parameters),
        "outputs": {"probability.tiff": hashlib.sha256(content).hexdigest()},
    }
    (folder / "summary.json").write_text(json.dumps({"provenance": provenance}))
    return folder


def hold_forever(path: Path, ready: Event) -> None:
    with held(path, wait_s=0, busy="busy"):
        ready.set()
        multiprocessing.Event().wait()


def test_a_lock_keeps_others_out_until_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold_forever, args=(path, ready))
    holder.start()
    try:
        assert ready.wait(SECONDS)
        with pytest.raises(ResultError, match="is busy"), held(path, wait_s=0.3, busy="is busy"):
            pass
    finally:
        holder.kill()
        holder.join()
    with held(path, wait_s=5, busy="is busy"):
        pass
    assert not path.exists()


def test_a_second_batch_on_one_folder_stops_and_the_first_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with claimed(out), pytest.raises(ResultError, match="another extent"), claimed(out):
        pass
    assert list(out.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ResultError, match="out"), claimed(tmp_path / "out"):
        pass
    with pytest.raises(ResultError, match="out"), claimed(tmp_path / "out" / "deeper"):
        pass


@pytest.mark.parametrize("folder", FOLDERS)
def test_output_folders_that_the_system_refuses_are_named(
    tmp_path: Path, folder: Callable[[Path], AbstractContextManager[None]]
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("a" * 300, "loop"):
        with pytest.raises(ResultError, match=name), folder(tmp_path / name):
            pass


def test_publishing_shows_the_result_and_clears_the_work(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path, "a")
    place.canvas.mkdir(parents=True)
    place.begin()
    write_result(tmp_path / "made").rename(tmp_path / "made2")
    for file in (tmp_path / "made2").iterdir():
        file.rename(place.unfinished / file.name)
    place.publish()
    assert what_changed(tmp_path / "a", WANTED) is None
    assert not place.work.exists()


def test_an_older_result_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path, "a")
    write_result(place.folder, b"old")
    (place.folder / "of-the-old-one").touch()
    write_result(place.unfinished, b"new")
    write_result(place.work / "replaced", b"left by a kill")
    place.publish()
    assert sorted(f.name for f in place.folder.iterdir()) == ["probability.tiff", "summary.json"]
    assert (place.folder / "probability.tiff").read_bytes() == b"new"


def test_what_is_no_result_is_never_replaced(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path, "slide")
    place.folder.mkdir()
    (place.folder / "1.dcm").write_bytes(b"the slide itself")
    write_result(place.unfinished)
    with pytest.raises(ResultError, match="move it away"):
        place.publish()
    assert (place.folder / "1.dcm").read_bytes() == b"the slide itself"


def test_beginning_again_forgets_a_half_written_result(tmp_path: Path) -> None:
    place = ResultPlace(tmp_path, "a")
    (place.begin() / "half").touch()
    assert list(place.begin().iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Fingerprint("x", WANTED.model, WANTED.parameters), "slide"),
        (Fingerprint(WANTED.slide, "x", WANTED.parameters), "model"),
        (Fingerprint(WANTED.slide, WANTED.model, {"window": 512}), "parameters"),
    ],
)
def test_another_slide_model_or_parameter_is_not_finished(
    tmp_path: Path, wanted: Fingerprint, said: str
) -> None:
    folder = write_result(tmp_path / "a")
    assert said in (what_changed(folder, wanted) or "")


def test_altered_missing_or_unreadable_results_are_not_finished(tmp_path: Path) -> None:
    folder = write_result(tmp_path / "a")
    (folder / "probability.tiff").write_bytes(b"mop")
    assert what_changed(folder, WANTED) == "probability.tiff was altered"
    (folder / "probability.tiff").unlink()
    assert what_changed(folder, WANTED) == "probability.tiff is missing"
    (folder / "summary.json").write_text("{")
    assert what_changed(folder, WANTED) == "its summary cannot be read"


def test_the_table_keeps_the_rows_of_earlier_runs(tmp_path: Path) -> None:
    SlideTable(tmp_path).record(SlideOutcome("b, c", "failed", 'it said "no"\nand left'))
    table = SlideTable(tmp_path)
    table.record(SlideOutcome("a", "done", "", 1.25, 2.5, 3.0))
    table.record(SlideOutcome("d", "unchanged", "before", 0.0, 0.0, 0.1))
    with (tmp_path / "slides.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["slide"], r["status"], r["tumour_area_mm2"]) for r in rows] == [
        ("a", "done", "1.25"),
        ("b, c", "failed", ""),
        ("d", "done", "0.0"),
    ]
    assert rows[1]["reason"] == 'it said "no"\nand left'


@pytest.mark.parametrize(
    "earlier",
    [
        "slide,status,reason,tumour_area_mm2,tissue_area_mm2,seconds\na,done,,1.25,2.5,3.0\n",
        "slide,status,reason,tumour_area_mm2,area_low_mm2,area_high_mm2,tissue_area_mm2,seconds\n"
        "a,done,,1.25,,,2.5,3.0\n",
    ],
    ids=["before intervals", "before familiarity"],
)
def test_the_table_goes_on_from_one_that_said_less(tmp_path: Path, earlier: str) -> None:
    (tmp_path / "slides.csv").write_text(earlier)
    interval = AreaInterval(0.0, 2.5, 0.8, "guaranteed", 9, 0.2)
    like = Familiarity("like", 0.5, 0.9, 20)
    SlideTable(tmp_path).record(SlideOutcome("b", "done", "", 1.5, 2.0, 1.0, interval, like))
    with (tmp_path / "slides.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = ("slide", "tumour_area_mm2", "area_low_mm2", "area_high_mm2", "tissue_area_mm2")
    assert [tuple(row[name] for name in (*names, "familiarity")) for row in rows] == [
        ("a", "1.25", "", "", "2.5", ""),
        ("b", "1.5", "0.0", "2.5", "2.0", "like"),
    ]


def test_a_table_of_others_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("slide,mpp\na.svs,0.25\n")
    with pytest.raises(ResultError, match="not written by Extent; move it or give another --out"):
        SlideTable(tmp_path)


def test_of_a_damaged_table_what_can_be_read_stays(tmp_path: Path) -> None:
    SlideTable(tmp_path).record(SlideOutcome("a", "done", "", 1.25, 2.5, 3.0))
    with (tmp_path / "slides.csv").open("ab") as stream:
        stream.write(b"b,do\xff\x00")
    SlideTable(tmp_path).record(SlideOutcome("c", "done", "", 0.0, 2.5, 3.0))
    with (tmp_path / "slides.csv").open(newline="") as stream:
        assert {"a", "c"} <= {row["slide"] for row in csv.DictReader(stream)}
