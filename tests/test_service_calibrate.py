"""Calibration as a user types it: crossvalidate finds, train keeps, calibrate guarantees."""

import json
from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint
from tests.drawn import draw_patients
from tests.test_service_train import CONFIG, extent


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients p0 to p11 to learn from, in `cohort.csv`; p12 to p20 in `others.csv`."""
    folder = tmp_path_factory.mktemp("work")
    draw_patients(folder, 21)
    head, *rows = (folder / "cohort.csv").read_text().splitlines()
    for name, own in (("cohort", rows[:12]), ("others", rows[12:]), ("few", rows[12:20])):
        (folder / f"{name}.csv").write_text("\n".join([head, *own]) + "\n")
    (folder / "small.toml").write_text("split = [1.0, 0.0, 0.0]\n" + CONFIG)
    return folder


@pytest.fixture(scope="module")
def metrics(work: Path) -> Path:
    command = ("crossvalidate", work / "cohort.csv", "--config", work / "small.toml")
    extent(*command, "--folds", 2, "--out", work / "cv")
    return work / "cv" / "metrics.json"


@pytest.fixture(scope="module")
def model(work: Path, metrics: Path) -> Path:
    command = ("train", work / "cohort.csv", "--config", work / "small.toml")
    extent(*command, "--measured", metrics, "--out", work / "trained")
    return work / "trained" / "model.safetensors"


def test_every_fold_is_calibrated_alike(work: Path, metrics: Path) -> None:
    folds = [work / "cv" / f"fold-{k}" for k in (0, 1)]
    stated = json.loads(metrics.read_text())
    for fold in folds:
        plain, card = (
            load_checkpoint(fold / f"{name}.safetensors").card for name in ("model", "calibrated")
        )
        assert not plain.calibration and plain.weights_digest != card.weights_digest
        assert card.calibration["scaling"] == stated["calibration"]["scaling"]
        assert card.calibration["scaling"] != {"temperature": 1.0, "offset": 0.0}
        assert card.calibration["contours"] is None, "they come from the maps of these"
        assert card.threshold == stated["calibration"]["threshold"] == stated["threshold"]
    assert stated["calibration"]["contours"]["patients"] == 12


def test_a_model_keeps_what_its_cross_validation_found(metrics: Path, model: Path) -> None:
    card = load_checkpoint(model).card
    assert card.calibration == json.loads(metrics.read_text())["calibration"]
    assert card.threshold == card.calibration["threshold"]
    assert card.calibration["contours"]["kind"] == "approximate"


def test_calibrate_guarantees_it_on_patients_never_seen(work: Path, model: Path) -> None:
    out = work / "calibrated.safetensors"
    said, _ = extent("calibrate", work / "others.csv", "--model", model, "--out", out)
    assert "80%" in said and "9 patients" in said
    before, after = load_checkpoint(model).card, load_checkpoint(out).card
    contours = after.calibration["contours"]
    assert contours["kind"] == "guaranteed" and contours["patients"] == 9
    assert after.threshold == before.threshold and after.weights_digest == before.weights_digest
    assert after.calibration["scaling"] == before.calibration["scaling"]
    assert (work / "calibrated-maps" / "maps" / "s12" / "probability.tiff").exists()


@pytest.mark.parametrize(
    ("cohort", "said"), [("few", "8 patients are too few"), ("cohort", "trained or tuned on")]
)
def test_who_cannot_calibrate(work: Path, model: Path, cohort: str, said: str) -> None:
    out = work / f"{cohort}.safetensors"
    command = ("calibrate", work / f"{cohort}.csv", "--model", model, "--out", out)
    _, complaint = extent(*command, code=1)
    assert said in complaint or "kept none" in complaint
    assert not out.exists()
