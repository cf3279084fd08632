"""The learning curve: fewer patients to train on, the same ones held out, one table and picture."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.learning_curve import CrossValidation, draw, metrics_in, table_of
from model.cohort import read_cohort
from model.config import TrainConfig
from model.network_config import NetworkConfig
from tests.drawn import draw_patients

TINY = TrainConfig(
    network=NetworkConfig(widths=(8, 16, 16), convolutions=(1, 1, 1)),
    crop=128,
    batch=2,
    epochs=1,
    epoch_crops=4,
    split=(1.0, 0.0, 0.0),
)


def test_few_are_among_more_and_everybody_is_held_out_once(tmp_path: Path) -> None:
    cohort = read_cohort(draw_patients(tmp_path, 7))
    plan = CrossValidation(cohort, TINY, folds=3, seed=0)
    for few, more, everybody in zip(plan.splits(2), plan.splits(3), plan.splits(), strict=True):
        assert few["test"] == more["test"] == everybody["test"]
        assert set(few["train"]) < set(more["train"]) < set(everybody["train"])
        assert len(few["train"]) == 2
        assert {*everybody["train"], *everybody["test"]} == set(cohort.patients)
    assert sorted(p for split in plan.splits(2) for p in split["test"]) == cohort.patients


def test_a_point_is_measured_once(tmp_path: Path) -> None:
    cohort = read_cohort(draw_patients(tmp_path, 4))
    out, quiet = tmp_path / "point", Console(quiet=True)
    CrossValidation(cohort, TINY, folds=2, seed=0).trained_on(1, out, quiet)
    models = [out / f"fold-{k}" / "model.safetensors" for k in (0, 1)]
    stamps = [path.stat().st_mtime_ns for path in models]
    reworded = replace(TINY, data="Told otherwise.")
    CrossValidation(cohort, reworded, folds=2, seed=0).trained_on(1, out, quiet)
    assert [path.stat().st_mtime_ns for path in models] == stamps, "words train nothing"

    metrics = metrics_in(out)
    assert metrics["n_patients"] == 4
    table = table_of({"1 patient": metrics, "2 patients": metrics})
    assert [row[0] for row in table.rows] == ["1 patient", "2 patients"]
    draw(tmp_path / "curve.png", {1.0: metrics, 2.0: metrics})
    assert (tmp_path / "curve.png").stat().st_size > 5_000
