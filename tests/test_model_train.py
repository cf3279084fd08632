"""Training: it learns, gives equal bytes, can be taken up again, leaves the test set alone."""

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch

from annotations import Outline, write_outlines
from annotations.errors import CohortError, SlideError, UsageError
from model.augment import Augmentation
from model.checkpoint import ModelCard, load_checkpoint
from model.cohort import Case, Cohort, read_cohort, split_patients
from model.config import SHIPPED_CONFIGS, TrainConfig
from model.crossvalidate import card_for, fold_splits, train_folds
from model.dataset import CropSampler, LabelledSlide, Loading, open_cases
from model.labelled import IGNORED
from model.network import NetworkConfig
from model.pieces import KeptPieces
from model.predictor import Execution, load_predictor
from model.shelf import Shelf
from model.train import TrainResult, train
from model.trainer import Epoch, TrainReport
from tests.drawn import HEIGHT, WIDTH, draw_case, draw_patients
from tiling.frame import Box
from tiling.resolution import Resolution
from tiling.slide import Slide

SMALL = TrainConfig(
    network=NetworkConfig(stem_stride=2, widths=(8, 16, 16), convolutions=(1, 1, 1), dropout=0.1),
    epochs=3,
    epoch_crops=16,
    batch=4,
    crop=128,
    validation_crops=8,
    average_decay=0.8,
    learning_rate=5e-3,
    ignore_band_um=0,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six patients, six slides."""
    return read_cohort(draw_patients(tmp_path_factory.mktemp("cohort"), 6))


def run(
    cohort: Cohort,
    out: Path,
    config: TrainConfig = SMALL,
    report: TrainReport | None = None,
    **how: bool,
) -> TrainResult:
    split = split_patients(cohort, config.split, 0)
    return train(
        cohort.of_patients(split["train"]),
        cohort.of_patients(split["validation"]),
        config,
        card_for(config, cohort, split, config.name),
        out=out,
        seed=0,
        report=report,
        **how,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    run(cohort, out)
    return out


def test_it_learns_what_is_plain_to_see(cohort: Cohort, tmp_path: Path) -> None:
    result = run(cohort, tmp_path, replace(SMALL, epochs=10, epoch_crops=32))
    path, ellipse = draw_case(tmp_path, 99)  # a slide of nobody in the cohort
    with Slide.open(path, Resolution(4.0)) as slide:
        frame = slide.frame(4.0)
        side = 448
        patch = slide.read(frame, Box(0, 0, side, side))
    execution = Execution(runtime="torch", precision="fp32")
    found = load_predictor(result.checkpoint, execution)(patch[None])[0, 1] > 0.5
    y, x = np.nonzero(found[: HEIGHT // 4, : WIDTH // 4])
    hits = shapely.contains_xy(ellipse, x * 4 + 2, y * 4 + 2)
    dice = 2 * hits.sum() / (len(x) + ellipse.area / 16)
    assert dice > 0.9


def test_equal_seeds_give_equal_bytes(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    run(cohort, tmp_path)
    assert digest(tmp_path / "model.safetensors") == digest(trained / "model.safetensors")


class StopTraining(Exception):  # noqa: N818
    """Stands for whatever ends a training."""


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_interrupted_and_resumed_is_the_same_to_the_byte(
    cohort: Cohort, tmp_path: Path, optimiser: str
) -> None:
    config = TrainConfig.from_dict({**SMALL.to_dict(), "optimiser": optimiser})

    def stop(row: Epoch) -> None:
        if row.epoch == 2:
            raise StopTraining

    run(cohort, tmp_path / "whole", config)
    with pytest.raises(StopTraining):
        run(cohort, tmp_path / "parts", config, TrainReport(epoch=stop))
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    seen: list[int] = []
    run(
        cohort,
        tmp_path / "parts",
        config,
        TrainReport(epoch=lambda r: seen.append(r.epoch)),
        resume=True,
    )
    assert seen == [3], "the first two epochs are not trained again"
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert digest(whole) == digest(parts)


def test_resuming_with_other_settings_is_refused(cohort: Cohort, trained: Path) -> None:
    with pytest.raises(UsageError, match="other settings"):
        run(cohort, trained, replace(SMALL, learning_rate=1e-3), resume=True)


def test_curves_have_a_row_an_epoch_and_a_picture(trained: Path) -> None:
    rows = list(csv.DictReader((trained / "curves.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)
    assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_test_patients_are_not_even_opened(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    """With their slides replaced by rubbish the very same model comes out."""
    split = split_patients(cohort, SMALL.split, 0)
    tests = {case.slide for case in cohort.of_patients(split["test"])}
    assert tests
    kept = {path: path.read_bytes() for path in tests}
    try:
        for path in tests:
            path.write_bytes(b"not a slide")
        run(cohort, tmp_path)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert digest(tmp_path / "model.safetensors") == digest(trained / "model.safetensors")


def test_the_card_tells_seen_patients_without_naming_them(trained: Path) -> None:
    card: ModelCard = load_checkpoint(trained / "model.safetensors").card
    assert {part: len(patients) for part, patients in card.patients.items()} == {
        "train": 4,
        "validation": 1,
        "test": 1,
    }
    assert not any(f'"p{n}"' in card.to_json() for n in range(6))
    assert card.training["seed"] == 0
    assert TrainConfig.from_dict(dict(card.training["config"])) == SMALL


def test_early_stopping_keeps_the_best_epoch(cohort: Cohort, tmp_path: Path) -> None:
    wild = replace(SMALL, epochs=12, patience=2, learning_rate=0.3, average_decay=0.1)
    result = run(cohort, tmp_path, wild)
    losses = [row.validation_loss or 0.0 for row in result.epochs]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == min(12, result.best_epoch + 2)


def test_without_validation_the_last_epoch_is_the_model(cohort: Cohort, tmp_path: Path) -> None:
    result = run(cohort, tmp_path, replace(SMALL, split=(0.8, 0.0, 0.2), epochs=2))
    assert result.best_epoch == 2
    assert all(row.validation_loss is None for row in result.epochs)


def test_folds_leave_their_patients_out(cohort: Cohort, tmp_path: Path) -> None:
    config = replace(SMALL, epochs=1, split=(1.0, 0.0, 0.0))
    splits = fold_splits(cohort, config, 3, 1)
    folds = train_folds(cohort, config, splits, out=tmp_path, seed=1)
    judged = [case.patient for fold in folds for case in fold.cases]
    assert sorted(judged) == cohort.patients
    stamps = [fold.model.stat().st_mtime_ns for fold in folds]
    again = train_folds(cohort, config, splits, out=tmp_path, seed=1, resume=True)
    assert [fold.model.stat().st_mtime_ns for fold in again] == stamps, "finished folds are kept"


def test_a_cohort_without_tumour_says_so(cohort: Cohort, tmp_path: Path) -> None:
    blank = [replace(case, annotations=None) for case in cohort.cases[:3]]
    with pytest.raises(CohortError, match="no training slide has an outline of tumour"):
        train(blank, [], SMALL, card_for(SMALL, cohort, {}, "x"), out=tmp_path, seed=0)


def test_a_slide_without_resolution_is_named(cohort: Cohort, tmp_path: Path) -> None:
    cases = [replace(cohort.cases[0], mpp=None)]
    with pytest.raises(SlideError, match=r"s0\.png.*--mpp"):
        train(cases, [], SMALL, card_for(SMALL, cohort, {}, "x"), out=tmp_path, seed=0)


def test_classes_are_drawn_evenly_and_labels_lie_on_the_pixels(cohort: Cohort) -> None:
    config = replace(
        SMALL, augmentation=Augmentation(stain=0, brightness=0, density=0, white=0, blur=0)
    )
    sampler = CropSampler(open_cases(cohort.cases[:2], config), config, seed=3)
    agree, tumour_centres = [], 0
    for index in range(24):
        crop, again = sampler.varied(index), sampler.varied(index)
        assert (crop.pixels == again.pixels).all() and (crop.labels == again.labels).all()
        red = crop.pixels[..., 0].reshape(32, 4, 32, 4).mean((1, 3))
        known = crop.labels != IGNORED
        agree.append(float(((red < 172) == (crop.labels == 1))[known].mean()))
        tumour_centres += int(sampler.plain(index).labels[16, 16] == 1)
    assert min(agree) > 0.9 and np.mean(agree) > 0.97
    assert 6 <= tumour_centres <= 18


def test_ignore_band_and_ignore_outlines_are_not_judged(cohort: Cohort, tmp_path: Path) -> None:
    path, ellipse = draw_case(tmp_path, 7)
    both = [Outline("tumour", ellipse), Outline("ignore", ellipse.buffer(-40))]
    write_outlines(tmp_path / "both.geojson", both, format="qupath")
    config = replace(SMALL, ignore_band_um=24.0)
    slide = LabelledSlide(Case(path, tmp_path / "both.geojson", "x", mpp=4.0), config)
    labels = slide.labels(slide.map_frame.box)
    banded = slide.with_band(labels)
    centre = slide.map_frame.from_level0(ellipse.centroid.x, ellipse.centroid.y)
    assert labels[int(centre[1]), int(centre[0])] == IGNORED
    edge = slide.map_frame.from_level0(*ellipse.exterior.coords[0])
    assert banded[int(edge[1]), int(edge[0])] == IGNORED
    assert (labels != IGNORED).sum() > (banded != IGNORED).sum()
    assert set(np.unique(banded)) == {0, 1, IGNORED}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mpp": 0.0}, "mpp"),
        ({"losses": {"hinge": 1.0}}, "losses"),
        ({"crop": 100}, "stride"),
        ({"epochs": 0}, "positive"),
        ({"colour": 1}, "unknown names colour"),
        ({"foreground": "stroma"}, "stroma"),
        ({"network": {"depth": 3}}, "depth"),
        ({"network": {"widths": [99999]}}, "not a network"),
        ({"split": [0.5, 0.5, 0.5]}, "split"),
        ({"threshold": 1.5}, "threshold"),
        ({"epochs": "many"}, "training settings"),
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainConfig.from_dict(wrong)


def test_shipped_settings_can_be_read() -> None:
    names = {path.stem: TrainConfig.from_toml(path) for path in SHIPPED_CONFIGS.glob("*.toml")}
    assert names["breast-idc"].mpp == 4.0
    assert "demo" in names


def test_three_classes_train_and_are_told_apart(tmp_path: Path) -> None:
    path, ellipse = draw_case(tmp_path, 11)
    ring = ellipse.buffer(40).difference(ellipse)
    outlines = [Outline("tumour", ellipse), Outline("necrosis", ring)]
    write_outlines(tmp_path / "three.geojson", outlines, format="qupath")
    config = TrainConfig.from_dict(
        {
            **SMALL.to_dict(),
            "classes": ["background", "tumour", "necrosis"],
            "network": {**SMALL.network.to_dict(), "classes": 3},
            "labels": {"classes": {"tumour": ["tumor"], "necrosis": ["necrotic"]}},
            "losses": {"mean-squared-error": 1.0},
            "epochs": 1,
        }
    )
    case = Case(path, tmp_path / "three.geojson", "x", mpp=4.0)
    labels = LabelledSlide(case, config).labels(LabelledSlide(case, config).map_frame.box)
    assert set(np.unique(labels)) - {IGNORED} == {0, 1, 2}, "pixels may stick out of a cut-out"
    card = ModelCard("three", config.network, config.classes, 1, 4.0)
    result = train([case], [], config, card, out=tmp_path, seed=0)
    maps = load_predictor(result.checkpoint, Execution(runtime="torch"))(
        np.zeros((1, 64, 64, 3), np.uint8)
    )
    assert maps.shape == (1, 3, 16, 16)


def test_a_training_that_diverges_says_so(cohort: Cohort, tmp_path: Path) -> None:
    wild = replace(SMALL, learning_rate=99.0, warmup_epochs=0.0, optimiser="sgd", momentum=0.99)
    with pytest.raises(UsageError, match=r"diverged.*learning_rate"):
        run(cohort, tmp_path, replace(wild, epochs=30, losses={"cross-entropy": 1e30}))


def test_training_lets_go_of_its_files(cohort: Cohort, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    run(cohort, tmp_path, replace(SMALL, epochs=1))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_batches_are_the_same_whatever_makes_them(cohort: Cohort) -> None:
    """On any number of threads, ahead or not, with pieces kept or read each time."""
    made = []
    for loading, kept in ((Loading(1, 0), 0), (Loading(3, 0), 1 << 28), (Loading(2, 3), 1 << 20)):
        shelf = Shelf(places=1, pieces=KeptPieces(kept))
        sampler = CropSampler(open_cases(cohort.cases[:3], SMALL, shelf), SMALL, seed=4)
        made.append(list(sampler.batches(8, 5, loading)))
        shelf.close()
    for batches in zip(*made, strict=True):
        for batch in batches:
            assert torch.equal(batch.patches, batches[0].patches)
            assert torch.equal(batch.labels, batches[0].labels)
    first = CropSampler(open_cases(cohort.cases[:3], SMALL), SMALL, seed=4).varied(8)
    assert (made[0][0].patches[0].numpy() == first.pixels).all()


def test_crops_are_made_ahead_where_another_device_computes() -> None:
    assert Loading.beside(torch.device("cpu")) == Loading(torch.get_num_threads(), ahead=0)
    assert Loading.beside(torch.device("cuda")) == Loading(torch.get_num_threads(), ahead=3)


def test_a_crop_sees_the_band_of_outlines_beyond_its_edge(cohort: Cohort) -> None:
    slide = LabelledSlide(cohort.cases[0], replace(SMALL, ignore_band_um=64.0))
    whole = slide.with_band(slide.labels(slide.map_frame.box))
    for x in range(20, 80, 3):
        crop = slide.crop((x, 40), 64).labels
        assert (crop == whole[32:48, x - 8 : x + 8]).all()


def test_what_is_lent_stays_open(cohort: Cohort) -> None:
    shelf = Shelf(places=1)
    with shelf.lent(cohort.cases[0]) as first:
        for case in cohort.cases[1:]:
            with shelf.lent(case):
                pass
        with shelf.lent(cohort.cases[0]) as again:
            assert again is first
    shelf.close()


def test_a_shelf_holds_few_slides_open(cohort: Cohort) -> None:
    shelf = Shelf(places=2)
    opened = []
    for case in (*cohort.cases, cohort.cases[-1]):
        with shelf.lent(case) as slide:
            opened.append(slide)
    assert opened[-1] is opened[-2], "what was used last is still open"
    with shelf.lent(cohort.cases[0]) as slide:
        assert slide is not opened[0], "what was used long ago is opened again"
    shelf.close()


def test_validation_patients_may_have_no_tumour(cohort: Cohort, tmp_path: Path) -> None:
    blank = [replace(cohort.cases[5], annotations=None)]
    config = replace(SMALL, epochs=1)
    card = card_for(config, cohort, {}, "x")
    result = train(cohort.cases[:3], blank, config, card, out=tmp_path, seed=0)
    assert result.epochs[0].validation_loss is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": "0.001"},
        {"learning_rate": -1.0},
        {"batch": 8.0},
        {"epoch_crops": 100.5},
        {"losses": {"dice": "1"}},
        {"precision": "fp64"},
        {"average_decay": 1.0},
    ],
)
def test_settings_of_the_wrong_kind_are_refused_before_training(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TrainConfig.from_dict(wrong)
