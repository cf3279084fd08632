"""The command as people run it: in a process of its own."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from service.locks import held
from tests.conftest import REPOSITORY, command, draw_slide, extent
from tests.fabricated import write_rectangles
from tests.patience import SECONDS

FILES = ["extent.geojson", "overlay.png", "probability.tiff", "summary.json"]


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "slides.csv").open(newline="", encoding="utf-8") as stream:
        return {row["slide"]: row for row in csv.DictReader(stream)}


def summary(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return content


@pytest.fixture(scope="module")
def batch(
    tmp_path_factory: pytest.TempPathFactory, random_model: Path
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run over drawn slides, good and bad; the output folder."""
    folder = tmp_path_factory.mktemp("batch")
    slides = folder / "slides"
    slides.mkdir()
    draw_slide(slides / "drawn [red] ü.png")
    Image.new("RGB", (300, 200), (244, 243, 245)).save(slides / "blank.png")
    whole = draw_slide(folder / "whole.png").read_bytes()
    (slides / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (slides / "empty.svs").touch()
    (slides / "text.tiff").write_text("no picture")
    result = extent(
        *("predict", slides, folder / "missing.svs", "--model", random_model),
        *("--out", folder / "out", "--mpp", 4, "--window", 1),
    )
    return result, folder / "out"


def test_bad_slides_fail_with_their_reason_and_the_others_finish(
    batch: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    result, out = batch
    assert result.returncode == 1, result.stderr
    table = rows(out)
    assert {name for name, row in table.items() if row["status"] == "done"} == {
        "drawn [red] ü",
        "blank",
    }
    for name, said in {
        "truncated": "truncated.png: broken image",
        "empty": "empty.svs: the file is empty",
        "text": "text.tiff: not a slide format",
        "missing": "missing.svs: no such file",
    }.items():
        assert said in table[name]["reason"]
        assert f"extent: {name} failed: " in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_results_are_whole_and_nothing_else_is_left(
    batch: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    result, out = batch
    assert sorted(path.name for path in out.iterdir()) == [
        "blank",
        "drawn [red] ü",
        "slides.csv",
    ]
    assert sorted(path.name for path in (out / "drawn [red] ü").iterdir()) == FILES
    assert str(out / "drawn [red] ü" / "overlay.png") in result.stdout


def test_progress_is_plain_lines_outside_a_terminal(
    batch: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    lines = batch[0].stdout.splitlines()
    for phase in ("reading", "canvas 0/", "pyramid", "tracing", "overlay", "publishing"):
        assert any(line.startswith(f"drawn [red] ü: {phase}") for line in lines), phase
    assert "\x1b" not in batch[0].stdout


def test_a_blank_slide_has_no_tumour(
    batch: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    found = summary(batch[1] / "blank")
    assert (found["tumour_area_mm2"], found["tissue_area_mm2"], found["regions"]) == (0, 0, [])
    assert rows(batch[1])["blank"]["tumour_area_mm2"] == "0.0"


def test_window_1_is_rounded_up_to_the_stride(
    batch: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    provenance = summary(batch[1] / "drawn [red] ü")["provenance"]
    assert isinstance(provenance, dict)
    assert provenance["parameters"]["window"] == 8


def test_finished_slides_are_left_alone_until_something_changes(
    tmp_path: Path, random_model: Path
) -> None:
    slide, out = draw_slide(tmp_path / "a.png"), tmp_path / "out"
    arguments = ("predict", slide, "--model", random_model, "--out", out, "--mpp", 4)
    assert extent(*arguments).returncode == 0
    before = (out / "a" / "summary.json").stat().st_mtime_ns
    again = extent(*arguments)
    assert "finished by an earlier run" in again.stdout
    assert (out / "a" / "summary.json").stat().st_mtime_ns == before
    changed = extent(*arguments, "--threshold", 0.25)
    assert changed.returncode == 0
    assert "computed again: made with other parameters" in changed.stdout
    assert summary(out / "a")["threshold"] == 0.25


def test_the_slide_itself_is_never_overwritten(tmp_path: Path, random_model: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"not really")
    result = extent("predict", folder, "--model", random_model, "--out", tmp_path)
    assert result.returncode == 1
    assert "move it away" in result.stderr
    assert (folder / "1.dcm").read_bytes() == b"not really"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--model", "no-such"], "no-such: no such model file, and no shipped model"),
        (["--model", "M", "--device", "abacus"], "--device abacus"),
        (["--model", "M", "--device", "cuda", "--runtime", "openvino"], "--"),
        (["--model", "M", "--threshold", "1.5"], "threshold"),
        (["--model", "M", "--mpp", "-1"], "--mpp -1"),
        (["--model", "M", "--force-mpp"], "--force-mpp needs --mpp"),
        (["--model", "M", "--window", "0"], "--window"),
        (["--model", "M", "--cluster", "tcp://203.0.113.1:8786"], "tls://"),
        (["--model", "M", "--cluster", "tls://x:1", "--workers", "2"], "has its own workers"),
        ([], "--model"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_line(
    tmp_path: Path, random_model: Path, extra: list[str], said: str
) -> None:
    slide = draw_slide(tmp_path / "a.png")
    filled = [str(random_model) if argument == "M" else argument for argument in extra]
    result = extent("predict", slide, "--out", tmp_path / "out", *filled)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "a").exists()


def test_two_slides_of_one_name_stop_before_any_work(tmp_path: Path, random_model: Path) -> None:
    (tmp_path / "x").mkdir()
    first, second = draw_slide(tmp_path / "a.png"), draw_slide(tmp_path / "x" / "a.jpg")
    result = extent("predict", first, second, "--model", random_model, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert str(first) in result.stderr
    assert str(second) in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_users_own_list_is_not_overwritten(tmp_path: Path, random_model: Path) -> None:
    draw_slide(tmp_path / "a.png")
    listed = tmp_path / "slides.csv"
    listed.write_text("slide,mpp\na.png,4\n")
    result = extent("predict", listed, "--model", random_model, "--out", tmp_path)
    assert (result.returncode, "not written by Extent" in result.stderr) == (1, True)
    assert listed.read_text() == "slide,mpp\na.png,4\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "slides.csv"]


def test_a_broken_model_is_one_line(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    result = extent("predict", draw_slide(tmp_path / "a.png"), "--model", model, "--out", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("extent: model.safetensors")
    assert result.stderr.count("\n") == 1


def test_a_second_run_on_one_folder_and_a_file_for_a_folder_are_refused(
    tmp_path: Path, random_model: Path
) -> None:
    slide, out = draw_slide(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    with held(out / ".extent.lock", wait_s=0, busy=""):
        result = extent("predict", slide, "--model", random_model, "--out", out, "--mpp", 4)
    assert (result.returncode, "another extent is writing there" in result.stderr) == (1, True)
    result = extent("predict", slide, "--model", random_model, "--out", slide / "out")
    assert (result.returncode, str(slide) in result.stderr) == (1, True)


def _small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_on_a_full_disk_finished_slides_stay_and_the_rest_goes_on_later(
    tmp_path: Path, random_model: Path
) -> None:
    small = draw_slide(tmp_path / "small.png", 240, 180)
    large = draw_slide(tmp_path / "large.png", 2400, 1800)
    arguments = ("predict", small, large, "--model", random_model, "--mpp", 4)
    out = tmp_path / "out"
    full = extent(*arguments, "--out", out, before=_small_files_only)
    assert full.returncode == 1, full.stderr
    assert "large failed" in full.stderr
    assert "the disk is full" in full.stderr
    assert (out / "small" / "summary.json").exists()
    assert not (out / "large").exists()
    later = extent(*arguments, "--out", out)
    assert later.returncode == 0, later.stderr
    assert "small: unchanged" in later.stdout
    assert sorted(path.name for path in (out / "large").iterdir()) == FILES


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_can(
    tmp_path: Path, random_model: Path, signum: signal.Signals
) -> None:
    slide, out = draw_slide(tmp_path / "a.png", 1200, 900), tmp_path / "out"
    arguments = ("predict", slide, "--model", random_model, "--out", out, "--mpp", 4)
    process = subprocess.Popen(
        command(*arguments, "--window", 8),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert any("canvas" in line for line in process.stdout)
    os.killpg(process.pid, signum)  # as a terminal does: to all processes at once
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signum
    assert said.startswith(f"extent: stopped by {signum.name}.")
    assert "run the same command again" in said
    assert said.count("\n") == 1
    assert not (out / "a").exists()
    assert (out / ".work" / "slides" / "a" / "canvas").is_dir()
    assert extent(*arguments, "--window", 8).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == ["a", "slides.csv"]


def test_a_resolution_that_is_missing_names_the_way_out(data: Path, random_model: Path) -> None:
    slide = data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"
    result = extent("info", slide)
    assert result.returncode == 0
    assert "--mpp" in result.stdout


def test_real_slides_good_and_bad(data: Path, random_model: Path, tmp_path: Path) -> None:
    slides = data / "slides"
    without = slides / "TCGA-CR-7395-01A-01-TS1.svs"
    arguments = ("--model", random_model, "--out", tmp_path)
    result = extent("predict", slides, *arguments)
    assert result.returncode == 1
    table = rows(tmp_path)
    assert {name for name, row in table.items() if row["status"] == "failed"} == {
        "broken",
        "kidney-48-5",
        "boxes",
        without.stem,
    }
    assert "--mpp" in table[without.stem]["reason"]
    assert float(table["dicom_cmu1_small_region"]["tissue_area_mm2"]) > 0
    assert extent("predict", without, *arguments, "--mpp", 0.25).returncode == 0
    assert rows(tmp_path)[without.stem]["status"] == "done"
    assert rows(tmp_path)["broken"]["status"] == "failed"


def test_help_needs_no_networks() -> None:
    code = (
        "import sys; sys.argv = ['extent', '--help']\n"
        "from service.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'openvino', 'distributed', 'openslide'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "predict" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_version_info_and_convert(tmp_path: Path) -> None:
    assert extent("--version").stdout.startswith("extent ")
    facts = extent("info", draw_slide(tmp_path / "a.png"), "--mpp", 4, "--json")
    assert json.loads(facts.stdout)["size"] == [480, 360]
    broken = extent("convert", tmp_path / "none.xml", tmp_path / "out.geojson")
    assert broken.returncode == 1
    assert broken.stderr.startswith("extent: ")
    assert extent("predict", "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        (".", 2, ".: is a folder; name the file to write"),
        ("a" * 300 + ".geojson", 1, "File name too long"),
    ],
)
def test_files_that_the_system_refuses_are_one_line(
    tmp_path: Path, target: str, code: int, said: str
) -> None:
    source = write_rectangles(tmp_path / "in.geojson", (0, 0, 9, 9))
    result = extent("convert", source, target, "--to", "qupath")
    assert (result.returncode, result.stderr.count("\n")) == (code, 1), result.stderr
    assert said in result.stderr
