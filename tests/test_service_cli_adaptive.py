"""`extent predict --adaptive`: what the result says of it, and that it is another result."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.adaptive import Account
from model.checkpoint import load_checkpoint
from model.predictor import Execution, load_predictor
from model.segment import segment
from service.inputs import SlideInput
from service.report import RunFacts, write_result
from service.tasks import MapSettings, Model, SlideJob
from tests.conftest import draw_slide, extent
from tiling.images import read_rgb
from tiling.resolution import Resolution
from tiling.slide import Slide

SKIPPED = Account(
    *(2, "passed", 1000, 400),
    read_coarse=250,
    read_audit=50,
    skipped_mm2=34.5,
    audited_mm2=3.5,
    audited_cells=54,
    at_most_missed_mm2=1.75,
)


def summary(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "a" / "summary.json").read_text())
    return content


def test_adaptive_is_told_and_makes_another_result(tmp_path: Path, random_model: Path) -> None:
    slide, out = draw_slide(tmp_path / "a.png"), tmp_path / "out"
    arguments = ("predict", slide, "--model", random_model, "--out", out, "--mpp", 4)
    assert extent(*arguments).returncode == 0
    plain = summary(out)
    assert "adaptive" not in plain
    assert "adaptive" not in plain["provenance"]["parameters"]
    first = extent(*arguments, "--adaptive")
    assert first.returncode == 0, first.stderr
    assert "computed again: made with other parameters" in first.stdout
    found = summary(out)
    assert found["provenance"]["parameters"]["adaptive"] is True
    assert found["adaptive"]["audit"] == "not needed"  # so small a slide is not worth it
    assert found["adaptive"]["saving"] == found["adaptive"]["skipped_mm2"] == 0
    assert found["tumour_area_mm2"] == plain["tumour_area_mm2"]
    again = extent(*arguments, "--adaptive")
    assert "finished by an earlier run" in again.stdout


@pytest.mark.parametrize("account", [None, SKIPPED])
def test_what_was_skipped_stands_in_summary_and_picture(
    tmp_path: Path, random_model: Path, account: Account | None
) -> None:
    checkpoint = load_checkpoint(random_model)
    slide = Slide.open(draw_slide(tmp_path / "a.png"), Resolution(4.0))
    predictor = load_predictor(checkpoint, Execution(precision="fp32"))
    found = segment(slide, checkpoint, predictor, work=tmp_path / "work", key="k")
    facts = RunFacts("slide", "model", lambda: 0.0)
    pictures, told = [], {}
    with found.canvas:
        for name, extent_map in (("as it is", found), ("told", replace(found, adaptive=account))):
            (tmp_path / name).mkdir()
            told = write_result(
                tmp_path / name, slide, extent_map, card=checkpoint.card, facts=facts
            )
            pictures.append(read_rgb(tmp_path / name / "overlay.png"))
    assert np.array_equal(*pictures) == (account is None)
    if account is None:
        assert "adaptive" not in told
    else:
        assert told["adaptive"] == {
            "coarser": 2,
            "audit": "passed",
            "level": 0.95,
            "skipped_mm2": 34.5,
            "audited_mm2": 3.5,
            "audited_cells": 54,
            "at_most_missed_mm2": 1.75,
            "read_plain": 1000,
            "read_full": 400,
            "read_coarse": 250,
            "read_audit": 50,
            "saving": 0.3,
        }


def test_finished_results_stay_finished(tmp_path: Path) -> None:
    """What is not asked for is no parameter, as before there was such a thing."""

    def parameters(settings: MapSettings) -> dict[str, object]:
        model = Model(Path("m"), "m", "digest", settings)
        return SlideJob(SlideInput(Path("s"), "s"), tmp_path, model).parameters((1.0, 1.0))

    plain = parameters(MapSettings())
    assert "adaptive" not in plain
    assert parameters(MapSettings(adaptive=True)) == plain | {"adaptive": True}
