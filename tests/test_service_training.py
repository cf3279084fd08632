"""An attempt at a training: from drawn slides to a model, taken up again, refused without names."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.errors import CohortError, SlideError
from service.engine.attempt import Attempt
from service.engine.training import cohort_of, config_of, train_attempt
from service.engine.training_files import CURVES, STATE, WORK
from tests.drawn import draw_case

STEPS = 8  # an epoch of the settings "quick"


def request(folder: Path, count: int = 3, epochs: int = 2) -> dict[str, Any]:
    """Cases with drawn slides of 4 µm/px."""
    cases = []
    for number in range(count):
        slide, _ = draw_case(folder, number)
        cases.append(
            {
                "slide": f"{number:032x}",
                "slide_path": str(slide),
                "outlines_path": str(slide.with_suffix(".geojson")),
                "patient": f"p{number}",
                "mpp": 4.0,
            }
        )
    return {
        "name": "ours",
        "config": "quick",
        "foreground_label": "tumour",
        "seed": 0,
        "epochs": epochs,
        "hours": None,
        "cases": cases,
    }


def attempt(folder: Path, request: dict[str, Any], number: int = 1) -> Attempt:
    (folder / str(number)).mkdir()
    return Attempt("j" * 32, number, "training", folder / str(number), request, ())


def test_a_training_that_was_cut_off_goes_on_to_the_same_model(tmp_path: Path) -> None:
    from model.checkpoint import load_checkpoint

    asked = request(tmp_path)
    said: list[tuple[str, int, int]] = []
    whole = attempt(tmp_path, asked)
    outcome = train_attempt(whole, lambda *news: said.append(news))
    result = whole.folder / "result"
    loaded = load_checkpoint(result / "model.safetensors")
    assert loaded.digest == outcome["digest"] and loaded.card.name == "ours"
    assert loaded.card.classes == ("background", "tumour")
    assert outcome["epochs"] == 2 and 0 <= outcome["best_dice"] <= 1
    assert outcome["patients"] == {"train": 2, "validation": 1, "test": 0}
    curves = json.loads((result / CURVES).read_text())
    assert curves["epochs"] == [1, 2] and len(curves["series"]["train_loss"]) == 2
    assert (result / "curves.png").stat().st_size > 5_000
    assert said[0] == ("reading", 0, 0)
    assert ("training", 2 * STEPS, 2 * STEPS) in said

    # a copy that was killed in its second epoch, taken up by another attempt
    def until_second_epoch(phase: str, done: int, total: int) -> None:
        if done > STEPS + 2:
            raise KeyboardInterrupt

    cut = attempt(tmp_path, asked, 2)
    with pytest.raises(KeyboardInterrupt):
        train_attempt(cut, until_second_epoch)
    assert not (cut.folder / "result").exists()
    assert json.loads((cut.folder / WORK / CURVES).read_text())["epochs"] == [1]
    shutil.rmtree(whole.folder)
    later = replace(attempt(tmp_path, asked, 3), previous=cut.folder)
    again: list[tuple[str, int, int]] = []
    assert train_attempt(later, lambda *news: again.append(news)) == outcome
    assert min(done for phase, done, _ in again if phase == "training") > STEPS
    assert json.loads((later.folder / "result" / CURVES).read_text()) == curves
    assert (later.folder / WORK / STATE).exists()


def test_labels_mean_what_the_settings_say_or_themselves(tmp_path: Path) -> None:
    asked = request(tmp_path, count=1)
    config = config_of(asked, 1)
    assert config.classes == ("background", "tumour") and config.split == (1.0, 0.0, 0.0)
    other = config_of({**asked, "foreground_label": "necrosis"}, 5)
    assert other.classes == ("background", "necrosis") and other.split == (0.8, 0.2, 0.0)
    assert other.labels.known("Necrosis") == "necrosis"


def test_settings_for_objects_keep_the_class_between_them(tmp_path: Path) -> None:
    asked = {**request(tmp_path, count=1), "config": "gland-glas", "foreground_label": "duct"}
    config = config_of(asked, 5)
    assert config.classes == ("background", "duct", "boundary") and config.network.classes == 3
    assert config.foreground == "duct" and config.objects is not None


def test_the_cohort_is_known_again_wherever_it_lies(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (cohort_of(request(tmp_path / name)["cases"]) for name in "ab")
    assert first.digest == second.digest
    fewer = cohort_of(request(tmp_path / "a", count=2)["cases"])
    assert fewer.digest != first.digest


def test_what_cannot_be_trained_on_is_named_by_its_id(tmp_path: Path) -> None:
    asked = request(tmp_path, count=1)
    Path(asked["cases"][0]["slide_path"]).write_bytes(b"no slide")
    with pytest.raises(SlideError) as caught:
        train_attempt(attempt(tmp_path, asked), lambda *_: None)
    assert f"slide {0:032x}" in str(caught.value)
    assert "s0.png" not in str(caught.value) and str(tmp_path) not in str(caught.value)

    asked = request(tmp_path, count=1)
    with pytest.raises(CohortError, match="no training slide has an outline of necrosis"):
        train_attempt(
            attempt(tmp_path, {**asked, "foreground_label": "necrosis"}, 2), lambda *_: None
        )
