"""Training: patches and labels in, a checkpoint out; every epoch can be taken up again."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from annotations.errors import CohortError

from .board import tensorboard_writer
from .calibrate import Calibration
from .checkpoint import Checkpoint, ModelCard, save_checkpoint
from .cohort import Case
from .config import TrainConfig
from .dataset import Batch, CropSampler, LabelledSlide, open_cases, stack
from .figures import write_curves
from .int8 import value_ranges
from .shelf import Shelf
from .trainer import Epoch, Trainer, TrainReport
from .training_state import load_state, save_state

RANGE_CROPS = 64  # that show which values int8 must hold


@dataclass(frozen=True)
class TrainResult:
    """The checkpoint, every epoch, and the one it was taken from."""

    checkpoint: Checkpoint
    epochs: tuple[Epoch, ...]
    best_epoch: int


def validation_batches(
    slides: Sequence[LabelledSlide], config: TrainConfig, seed: int
) -> list[Batch]:
    """The same crops after every epoch."""
    if not slides:
        return []
    sampler = CropSampler(slides, config, seed)
    return list(_plain_batches(sampler, config.validation_crops, config.batch))


def _plain_batches(sampler: CropSampler, count: int, size: int) -> Iterator[Batch]:
    """Crops 0 to `count`, without variation."""
    for start in range(0, count, size):
        yield stack([sampler.plain(i) for i in range(start, min(count, start + size))])


def train(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    config: TrainConfig,
    card: ModelCard,
    *,
    out: Path,
    seed: int,
    threads: int = 0,
    resume: bool = False,
    report: TrainReport | None = None,
) -> TrainResult:
    """Train a network; writes `model.safetensors`, `state.safetensors` and the curves into `out`.

    The model is the running average of weights at the epoch of the lowest validation loss, or at
    the last epoch when there are no validation cases. Equal inputs and seeds give equal bytes on
    one machine, also when the training was interrupted in between and taken up with `resume`.
    `threads` of the processor compute; 0 leaves it to torch.

    Raises:
        SlideError, OutlineError, CohortError: from the cases. UsageError: resume with others.
    """
    report = report or TrainReport()
    if threads:
        torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.safetensors"
    trainer = Trainer(config, seed)
    if resume and state.exists():
        load_state(trainer, state, card.cohort_digest)
    board = tensorboard_writer(out, len(trainer.epochs))
    with closing(Shelf()) as shelf:
        sampler = CropSampler(open_cases(train_cases, config, shelf), config, seed)
        if not sampler.has_foreground:
            raise CohortError(
                f"no training slide has an outline of {' or '.join(config.classes[1:])}; are the "
                "labels in the files among the aliases (see `labels` in the config)?"
            )
        held_out = open_cases(validation_cases, config, shelf)
        validation = validation_batches(held_out, config, seed + 1)
        while not trainer.finished:
            row = trainer.finish_epoch(trainer.train_epoch(sampler, report), validation)
            save_state(trainer, state, card.cohort_digest)
            write_curves(out, trainer.epochs)
            board(row)
            report.epoch(row)
        scaling = Calibration.of_card(card).scaling
        network = scaling.built_into(trainer.best_network(), card.foreground)
        crops = _plain_batches(sampler, RANGE_CROPS, config.batch)
        ranges = value_ranges(network, (batch.patches for batch in crops))
    training = {
        **card.training,
        "seed": seed,
        "config": config.to_dict(),
        "epochs": len(trainer.epochs),
        "best_epoch": trainer.best_epoch,
        "torch": torch.__version__,
    }
    card = replace(card, training=training, int8=ranges)
    checkpoint = save_checkpoint(out / "model.safetensors", card, network)
    return TrainResult(checkpoint, tuple(trainer.epochs), trainer.best_epoch)
