"""Folds by patient: every slide is judged by a network that never saw its patient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import CheckpointError

from .checkpoint import Checkpoint, ModelCard, load_checkpoint
from .cohort import Case, Cohort, fold_patients, hashed_patient, shuffled
from .config import TrainConfig
from .train import train
from .trainer import TrainReport

Split = Mapping[str, Sequence[str]]  # patients of each of cohort.SPLITS


@dataclass(frozen=True)
class Fold:
    """The patients that fold `index` leaves out, and the file of the model that never saw them."""

    index: int
    cases: tuple[Case, ...]
    model: Path


def card_for(config: TrainConfig, cohort: Cohort, split: Split, name: str) -> ModelCard:
    """The card of a model about to be trained on a split of a cohort."""
    salt = cohort.digest[:16]
    return ModelCard(
        name=name,
        network=config.network,
        classes=config.classes,
        foreground=config.classes.index(config.foreground),
        mpp=config.mpp,
        threshold=config.threshold,
        intended_use=config.intended_use,
        data=config.data,
        licence=config.licence,
        limits=config.limits,
        objects=config.objects,
        cohort_digest=cohort.digest,
        patient_salt=salt,
        patients={
            part: tuple(sorted(hashed_patient(patient, salt) for patient in patients))
            for part, patients in split.items()
        },
    )


def fold_splits(cohort: Cohort, config: TrainConfig, folds: int, seed: int) -> list[Split]:
    """Who is trained on, who stops it early and who is held out ("test"), a split a fold.

    Of the patients that are not held out, the config's share of validation is kept for early
    stopping; the rest stand in an order drawn from the seed.

    Raises:
        CohortError: too few patients.
    """
    share = config.split[1] / (config.split[0] + config.split[1])
    splits: list[Split] = []
    for held_out in fold_patients(cohort, folds, seed):
        rest = shuffled([p for p in cohort.patients if p not in held_out], seed)
        count = max(1, round(share * len(rest))) if share else 0
        splits.append({"train": rest[count:], "validation": rest[:count], "test": held_out})
    return splits


def train_folds(
    cohort: Cohort,
    config: TrainConfig,
    splits: Sequence[Split],
    *,
    out: Path,
    seed: int,
    resume: bool = False,
    report: Callable[[int], TrainReport] = lambda index: TrainReport(),
) -> list[Fold]:
    """Train one network a split into `out/fold-<index>/`; `report(index)` listens to each.

    With `resume`, finished folds are taken as they are and the unfinished one goes on.

    Raises:
        what `train` raises.
    """
    return [
        Fold(
            index,
            cohort.of_patients(split["test"]),
            _train_fold(cohort, config, split, out / f"fold-{index}", seed, resume, report(index)),
        )
        for index, split in enumerate(splits)
    ]


def _train_fold(
    cohort: Cohort,
    config: TrainConfig,
    split: Split,
    out: Path,
    seed: int,
    resume: bool,
    report: TrainReport,
) -> Path:
    card = card_for(config, cohort, split, f"{config.name}-{out.name}")
    model = out / "model.safetensors"
    if not (resume and _is_finished(model, card, config)):
        train(
            cohort.of_patients(split["train"]),
            cohort.of_patients(split["validation"]),
            config,
            card,
            out=out,
            seed=seed,
            resume=resume,
            report=report,
        )
    return model


def _is_finished(model: Path, card: ModelCard, config: TrainConfig) -> bool:
    """Whether a fold's model is there, trained just so on just these patients."""
    if not model.exists():
        return False
    try:
        found: Checkpoint = load_checkpoint(model)
    except CheckpointError:
        return False
    trained = TrainConfig.from_dict(dict(found.card.training.get("config", {})))
    return trained.trains_like(config) and found.card.patients == card.patients
