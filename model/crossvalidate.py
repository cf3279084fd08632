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


@dataclass(frozen=True)
class Fold:
    """The patients that fold `index` leaves out, and the file of the model that never saw them."""

    index: int
    cases: tuple[Case, ...]
    model: Path


def card_for(
    config: TrainConfig, cohort: Cohort, split: Mapping[str, Sequence[str]], name: str
) -> ModelCard:
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
        cohort_digest=cohort.digest,
        patient_salt=salt,
        patients={
            part: tuple(sorted(hashed_patient(patient, salt) for patient in patients))
            for part, patients in split.items()
        },
    )


def train_folds(
    cohort: Cohort,
    config: TrainConfig,
    *,
    out: Path,
    folds: int,
    seed: int,
    resume: bool = False,
    report: Callable[[int], TrainReport] = lambda index: TrainReport(),
) -> list[Fold]:
    """Train one network a fold into `out/fold-<index>/`; `report(index)` listens to each.

    Of the patients that a fold trains on, the config's share of validation is kept for early
    stopping. With `resume`, finished folds are taken as they are and the unfinished one goes on.

    Raises:
        CohortError: too few patients. And what `train` raises.
    """
    parts = fold_patients(cohort, folds, seed)
    return [
        Fold(
            index,
            cohort.of_patients(held_out),
            _train_fold(
                cohort, config, held_out, out / f"fold-{index}", seed, resume, report(index)
            ),
        )
        for index, held_out in enumerate(parts)
    ]


def _train_fold(
    cohort: Cohort,
    config: TrainConfig,
    held_out: Sequence[str],
    out: Path,
    seed: int,
    resume: bool,
    report: TrainReport,
) -> Path:
    rest = shuffled([p for p in cohort.patients if p not in held_out], seed)
    share = config.split[1] / (config.split[0] + config.split[1])
    count = max(1, round(share * len(rest))) if share else 0
    split = {"train": rest[count:], "validation": rest[:count], "test": held_out}
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
    same_settings = TrainConfig.from_dict(dict(found.card.training.get("config", {}))) == config
    return same_settings and found.card.patients == card.patients
