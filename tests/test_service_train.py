"""train, evaluate and crossvalidate as a user types them."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.openvino_predictor import cpu_computes_bf16
from tests.drawn import draw_patients
from tests.patience import SECONDS, wait_for

CONFIG = """
epochs = 4
epoch_crops = 32
batch = 4
crop = 128
validation_crops = 4
average_decay = 0.8
learning_rate = 5e-3
ignore_band_um = 0.0

[network]
stem_stride = 2
widths = [8, 16, 16]
convolutions = [1, 1, 1]
"""
EXTENT = [sys.executable, "-m", "service.cli"]


def extent(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run a command; what it said on stdout and stderr. No run ever shows a traceback."""
    done = subprocess.run([*EXTENT, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of six patients with settings; a model trained on it in `trained/`."""
    folder = tmp_path_factory.mktemp("work")
    draw_patients(folder, 6)
    (folder / "small.toml").write_text(CONFIG)
    extent(
        "train",
        folder / "cohort.csv",
        "--config",
        folder / "small.toml",
        "--out",
        folder / "trained",
    )
    return folder


def test_train_writes_one_file_and_curves(work: Path) -> None:
    assert (work / "trained" / "model.safetensors").stat().st_size > 10_000
    assert len((work / "trained" / "curves.csv").read_text().splitlines()) == 5
    assert (work / "trained" / "curves.png").stat().st_size > 5_000


def test_train_does_not_overwrite_an_earlier_training(work: Path) -> None:
    command = ("train", work / "cohort.csv", "--config", work / "small.toml")
    _, said = extent(*command, "--out", work / "trained", code=2)
    assert "--resume" in said


def test_evaluate_measures_the_test_patients_only(work: Path) -> None:
    model, out = work / "trained" / "model.safetensors", work / "evaluated"
    said, _ = extent("evaluate", work / "cohort.csv", "--model", model, "--out", out)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["split"] == "test" and metrics["n_patients"] == 1
    assert not metrics["includes_seen"]
    assert metrics["pixels"]["dice"]["value"] > 0.5
    assert "pixels dice" in said and str(out / "report.html") in said
    (slide,) = metrics["slides"]
    assert (out / "maps" / slide["slide"] / "overlay.png").exists()
    html = (out / "report.html").read_text()
    assert "data:image/png" in html and "http://" not in html.replace("http://www.w3.org", "")


def test_evaluate_leaves_seen_patients_out_and_names_them(work: Path, tmp_path: Path) -> None:
    """Another file with the same patients is another cohort: all slides, but for those seen."""
    rows = list(csv.DictReader((work / "cohort.csv").read_text().splitlines()))
    other = work / "other.csv"
    with other.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["slide", "annotations", "patient", "mpp", "note"])
        writer.writeheader()
        writer.writerows({**row, "note": "x"} for row in rows)
    model = work / "trained" / "model.safetensors"
    _, said = extent("evaluate", other, "--model", model, "--out", tmp_path / "out")
    assert said.count("p") >= 5 and "left out" in said
    _, said = extent(
        "evaluate", other, "--model", model, "--out", tmp_path / "all", "--include-seen"
    )
    metrics = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert metrics["n_patients"] == 6 and metrics["includes_seen"]
    assert metrics["pixels"]["dice"]["includes_seen"]


def test_crossvalidate_judges_every_slide_out_of_fold(work: Path, tmp_path: Path) -> None:
    command = ("crossvalidate", work / "cohort.csv", "--config", work / "small.toml")
    said, _ = extent(*command, "--folds", 3, "--out", tmp_path / "cv")
    metrics = json.loads((tmp_path / "cv" / "metrics.json").read_text())
    assert metrics["n_patients"] == 6
    models = {
        json.loads((tmp_path / "cv" / "maps" / f"s{n}" / "summary.json").read_text())["model"]
        for n in range(6)
    }
    assert models == {f"model-fold-{k}" for k in range(3)}
    assert "balanced accuracy" in said


def test_interrupted_training_says_how_to_go_on(work: Path, tmp_path: Path) -> None:
    config = work / "long.toml"
    config.write_text(CONFIG.replace("epochs = 4", "epochs = 500"))
    command = [*EXTENT, "train", str(work / "cohort.csv"), "--config", str(config)]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "long")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def has_begun() -> bool:
        assert running.poll() is None
        return (tmp_path / "long" / "state.safetensors").exists()

    wait_for(has_begun)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=SECONDS)
    assert running.returncode == 128 + signal.SIGTERM
    assert "--resume" in said and "Traceback" not in said
    assert not (tmp_path / "long" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("train", "missing.csv", "--out", "o"), 1, "missing.csv"),
        (("train", "COHORT", "--out", "o", "--config", "nowhere.toml"), 2, "nowhere.toml"),
        (("train", "COHORT"), 2, "--out"),
        (("evaluate", "COHORT", "--model", "no-such", "--out", "o"), 2, "breast-idc"),
        (("crossvalidate", "COHORT", "--folds", "40", "--out", "o"), 1, "folds"),
        (("evaluate", "COHORT", "--model", "MODEL", "--out", "o", "--split", "tset"), 2, "tset"),
        (("crossvalidate", "COHORT", "--cell-um", "-5", "--out", "o"), 2, "--cell-um -5"),
        (("crossvalidate", "COHORT", "--cell-um", "nan", "--out", "o"), 2, "--cell-um nan"),
        (("crossvalidate", "TWINS", "--out", "o"), 2, "rename one"),
        (
            ("evaluate", "TWINS", "--model", "MODEL", "--out", "o", "--include-seen"),
            2,
            "rename one",
        ),
        (("train", "COHORT", "--out", "o", "--force-mpp"), 2, "--force-mpp needs --mpp"),
        (("crossvalidate", "COHORT", "--out", "o", "--mpp", "-1"), 2, "--mpp -1"),
        (("evaluate", "COHORT", "--model", "MODEL", "--out", "o", "--mpp", "99"), 2, "--mpp 99"),
        (("evaluate", "COHORT", "--model", "MODEL", "--out", "COHORT"), 1, "is a file"),
    ],
)
def test_mistakes_get_a_line_that_helps(
    work: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    named = {
        "COHORT": str(work / "cohort.csv"),
        "TWINS": str(twins(work, tmp_path)),
        "MODEL": str(work / "trained/model.safetensors"),
    }
    words = [named.get(word, word) for word in arguments]
    words = [str(tmp_path / "o") if word == "o" else word for word in words]
    _, said = extent(*words, code=code)
    assert says in said
    assert code == 1 or not (tmp_path / "o").exists()


def twins(work: Path, folder: Path) -> Path:
    """A cohort of three patients, two of whose slides have one name."""
    draw_patients(folder, 3)
    (folder / "more").mkdir()
    shutil.copy(folder / "s0.png", folder / "more" / "s1.png")
    text = (folder / "cohort.csv").read_text().replace("\ns0.png", "\nmore/s1.png")
    (folder / "cohort.csv").write_text(text)
    return folder / "cohort.csv"


def test_mpp_fills_the_gaps_of_a_cohort_or_overrides_it(work: Path, tmp_path: Path) -> None:
    """Slides that state nothing; s0's row says 4, the others' nothing."""
    rows = (work / "cohort.csv").read_text().replace(",4.0", ",")
    bare = work / "bare.csv"
    bare.write_text(rows.replace("p0,", "p0,4.0"))
    model = work / "trained" / "model.safetensors"
    command = ("evaluate", bare, "--model", model, "--include-seen", "--out")
    extent(*command, tmp_path / "none", code=1)
    for extra, expected in (((), 4.0), (("--force-mpp",), 3.0)):
        out = tmp_path / f"out-{expected:g}"
        extent(*command, out, "--mpp", 3, *extra)
        used = {
            n: json.loads((out / "maps" / f"s{n}" / "summary.json").read_text())["mpp"][0]
            for n in range(6)
        }
        assert used == {n: 3.0 if n else expected for n in range(6)}


def test_train_learns_from_slides_whose_resolution_it_is_told(work: Path, tmp_path: Path) -> None:
    bare = work / "untold.csv"
    bare.write_text((work / "cohort.csv").read_text().replace(",4.0", ","))
    command = ("train", bare, "--config", work / "small.toml", "--out")
    _, said = extent(*command, tmp_path / "none", code=1)
    assert "--mpp" in said
    extent(*command, tmp_path / "told", "--mpp", 4)
    assert (tmp_path / "told" / "model.safetensors").exists()


def test_an_evaluation_goes_on_past_a_broken_outline_file(work: Path, tmp_path: Path) -> None:
    draw_patients(tmp_path, 3)
    (tmp_path / "s1.geojson").write_text('{"type": "nonsense"}')
    model = work / "trained" / "model.safetensors"
    command = ("evaluate", tmp_path / "cohort.csv", "--model", model, "--include-seen")
    _, said = extent(*command, "--out", tmp_path / "out", code=1)
    assert "s1 cannot be measured" in said and "s1.geojson" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sorted(row["slide"] for row in metrics["slides"]) == ["s0", "s2"]


@pytest.mark.skipif(not cpu_computes_bf16(), reason="int8 needs a processor with bf16")
def test_a_model_measured_to_be_as_good_in_int8_runs_so(work: Path, tmp_path: Path) -> None:
    cohort, settings, slide = work / "cohort.csv", work / "small.toml", work / "s0.png"
    folds = ("crossvalidate", cohort, "--config", settings, "--folds", 3, "--out", tmp_path / "cv")
    extent(*folds, "--precision", "int8")
    measured = tmp_path / "cv" / "metrics.json"
    extent(
        *("train", cohort, "--config", settings, "--out", tmp_path / "trained"),
        *("--measured", measured, "--measured-int8", measured),
    )
    for model, precision in ((tmp_path / "trained", "int8"), (work / "trained", "bf16")):
        out = tmp_path / precision
        extent("predict", slide, "--model", model / "model.safetensors", "--mpp", 4, "--out", out)
        summary = json.loads((out / "s0" / "summary.json").read_text())
        assert summary["provenance"]["versions"]["predictor"].endswith(f"cpu {precision}")


@pytest.mark.skipif(not cpu_computes_bf16(), reason="int8 needs a processor with bf16")
def test_int8_with_a_model_of_earlier_days(work: Path, random_model: Path, tmp_path: Path) -> None:
    command = ("predict", work / "s0.png", "--mpp", 4, "--model", random_model, "--out", tmp_path)
    _, said = extent(*command, "--precision", "int8", code=2)
    assert "--precision int8: random does not say" in said
