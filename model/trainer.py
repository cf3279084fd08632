"""What one epoch does: network, running average, optimiser, and what has happened so far."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from annotations.errors import UsageError

from .config import TrainConfig
from .dataset import Batch, Loading
from .labelled import IGNORED
from .losses import combined
from .network import Network
from .openvino_predictor import cpu_computes_bf16


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; a row of the learning curves. Validation values are None without it."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None = None
    validation_dice: float | None = None
    validation_balanced_accuracy: float | None = None


@dataclass(frozen=True)
class TrainReport:
    """Listens to training; both calls may draw progress. `step` is (epoch, step, steps)."""

    step: Callable[[int, int, int], None] = lambda epoch, step, steps: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


class BatchSource(Protocol):
    """Where an epoch's batches come from."""

    def batches(self, first: int, count: int, loading: Loading) -> Iterator[Batch]:
        """`count` batches from crop number `first` on, made in the way of `loading`."""


class Trainer:
    """Network, running average, optimiser and what has happened so far."""

    def __init__(self, config: TrainConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.seed = config, seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = Network(config.network).to(
            self.device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(config.average_decay),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self.optimiser = _optimiser(self.network, config)
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        wants_bf16 = config.precision == "bf16" or (
            config.precision == "auto" and (self.device.type == "cuda" or cpu_computes_bf16())
        )
        self._autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=wants_bf16)

    @property
    def steps_per_epoch(self) -> int:
        return self.config.epoch_crops // self.config.batch

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 0 at the last step."""
        total = self.config.epochs * self.steps_per_epoch
        warmup = max(1, round(self.config.warmup_epochs * self.steps_per_epoch))
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, total - warmup)
        return self.config.learning_rate * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))

    def train_epoch(self, source: BatchSource, report: TrainReport) -> float:
        """One epoch; returns its mean loss."""
        epoch = len(self.epochs)
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout: the same when taken up again
        self.network.train()
        first_step = epoch * self.steps_per_epoch
        losses = []
        batches = source.batches(
            first_step * self.config.batch, self.steps_per_epoch, Loading.beside(self.device)
        )
        for step, batch in enumerate(batches):
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate(first_step + step)
            losses.append(self._step(batch))
            report.step(epoch, step + 1, self.steps_per_epoch)
        mean = float(np.mean([float(loss) for loss in losses]))
        if not np.isfinite(mean):
            raise UsageError(
                f"training diverged in epoch {epoch + 1} (its loss is {mean}): "
                "lower learning_rate in the config and start anew"
            )
        return mean

    def _step(self, batch: Batch) -> Tensor:
        """One step; its loss, not waited for."""
        patches, labels = self._here(batch)
        with self._autocast:
            logits = self.network(patches)
        loss = combined(self.config.losses, logits.float(), labels)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        return loss.detach()

    def _here(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Patches float32 [N, 3, crop, crop], channels last, and labels, on the device."""
        patches = batch.patches.to(self.device).permute(0, 3, 1, 2).float()
        return patches, batch.labels.to(self.device)

    @torch.inference_mode()
    def validate(self, batches: Sequence[Batch]) -> tuple[float, float, float]:
        """Loss, Dice of everything but background, and balanced accuracy of the average."""
        self.average.eval()
        losses, confusion = [], np.zeros((2, 2))
        for batch in batches:
            patches, labels = self._here(batch)
            with self._autocast:
                logits = self.average(patches)
            losses.append(float(combined(self.config.losses, logits.float(), labels)))
            known = labels != IGNORED
            truth, said = labels[known] > 0, logits.argmax(1)[known] > 0
            for t in (0, 1):
                for s in (0, 1):
                    confusion[t, s] += int(((truth == t) & (said == s)).sum())
        (tn, fp), (fn, tp) = confusion
        dice = 2 * tp / max(1.0, 2 * tp + fp + fn)
        balanced = 0.5 * (tp / max(1.0, tp + fn) + tn / max(1.0, tn + fp))
        return float(np.mean(losses)), float(dice), float(balanced)

    def finish_epoch(self, train_loss: float, validation: Sequence[Batch]) -> Epoch:
        """Validate, keep the average if it is the best so far, and note the row."""
        rate = self.learning_rate((len(self.epochs) + 1) * self.steps_per_epoch - 1)
        row = Epoch(len(self.epochs) + 1, rate, train_loss)
        if validation:
            row = Epoch(row.epoch, rate, train_loss, *self.validate(validation))
        known = [e.validation_loss for e in self.epochs if e.validation_loss is not None]
        if row.validation_loss is None or not known or row.validation_loss < min(known):
            self.best = {
                k: v.detach().cpu().clone() for k, v in self.average.module.state_dict().items()
            }
            self.best_epoch = row.epoch
        self.epochs.append(row)
        return row

    @property
    def finished(self) -> bool:
        patience = self.config.patience
        early = bool(patience) and len(self.epochs) - self.best_epoch >= patience
        return early or len(self.epochs) >= self.config.epochs

    def best_network(self) -> Network:
        network = Network(self.config.network)
        network.load_state_dict(self.best)
        return network.eval()


def _optimiser(network: Network, config: TrainConfig) -> torch.optim.Optimizer:
    """Weight decay on convolution kernels, not on biases and scales."""
    kernels = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0
        )
    return torch.optim.AdamW(groups, lr=config.learning_rate)
