"""Training: patches and labels in, a checkpoint out; every epoch can be taken up again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from annotations.errors import CheckpointError, UsageError

from .checkpoint import Checkpoint, ModelCard, save_checkpoint
from .cohort import Case
from .config import TrainConfig
from .dataset import Batch, CropSampler, LabelledSlide, open_cases, stack
from .labelled import IGNORED
from .losses import combined
from .network import Network
from .predictor import cpu_computes_bf16

STATE_KEY = "extent.training"


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


@dataclass(frozen=True)
class TrainResult:
    """The checkpoint, every epoch, and the one it was taken from."""

    checkpoint: Checkpoint
    epochs: tuple[Epoch, ...]
    best_epoch: int


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

    def train_epoch(self, sampler: CropSampler, report: TrainReport) -> float:
        """One epoch; returns its mean loss."""
        epoch = len(self.epochs)
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout: the same when taken up again
        self.network.train()
        first_step = epoch * self.steps_per_epoch
        losses = []
        batches = sampler.batches(first_step * self.config.batch, self.steps_per_epoch)
        for step, batch in enumerate(batches):
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate(first_step + step)
            losses.append(self._step(batch))
            report.step(epoch, step + 1, self.steps_per_epoch)
        return float(np.mean(losses))

    def _step(self, batch: Batch) -> float:
        patches, labels = batch.patches.to(self.device), batch.labels.to(self.device)
        with self._autocast:
            logits = self.network(patches)
        loss = combined(self.config.losses, logits.float(), labels)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    @torch.inference_mode()
    def validate(self, batches: Sequence[Batch]) -> tuple[float, float, float]:
        """Loss, Dice of everything but background, and balanced accuracy of the average."""
        self.average.eval()
        losses, confusion = [], np.zeros((2, 2))
        for batch in batches:
            with self._autocast:
                logits = self.average(batch.patches.to(self.device))
            labels = batch.labels.to(self.device)
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

    def save_state(self, path: Path) -> None:
        """Everything needed to go on, in one safetensors file, by way of a temporary one."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in values.items() if v is not None}
        about = {
            "config": json.dumps(self.config.to_dict(), sort_keys=True),
            "seed": self.seed,
            "best_epoch": self.best_epoch,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        temporary = path.with_name(f".{path.name}.part")
        separate = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(separate, temporary, metadata={STATE_KEY: json.dumps(about)})
        temporary.replace(path)

    def load_state(self, path: Path) -> None:
        """Go on from where `save_state` left off.

        Raises:
            CheckpointError: not such a file. UsageError: other settings or another seed.
        """
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                about = json.loads((file.metadata() or {})[STATE_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path.name}: not a state of training to go on from ({error}); "
                "start anew without --resume"
            ) from error
        if (
            about["config"] != json.dumps(self.config.to_dict(), sort_keys=True)
            or about["seed"] != self.seed
        ):
            raise UsageError(
                f"{path.parent}: holds a training with other settings or another seed; "
                "use the same ones, or another --out"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self.average.load_state_dict(part("average."))
        self.best, self.best_epoch = part("best."), about["best_epoch"]
        self.epochs = [Epoch(**row) for row in about["epochs"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimiser.").items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})


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


def validation_batches(
    slides: Sequence[LabelledSlide], config: TrainConfig, seed: int
) -> list[Batch]:
    """The same crops after every epoch."""
    if not slides:
        return []
    sampler = CropSampler(slides, config, seed)
    crops = [sampler.plain(i) for i in range(config.validation_crops)]
    return [stack(crops[i : i + config.batch]) for i in range(0, len(crops), config.batch)]


def train(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    config: TrainConfig,
    card: ModelCard,
    *,
    out: Path,
    seed: int,
    resume: bool = False,
    report: TrainReport | None = None,
) -> TrainResult:
    """Train a network; writes `model.safetensors`, `state.safetensors` and the curves into `out`.

    The model is the running average of weights at the epoch of the lowest validation loss, or at
    the last epoch when there are no validation cases. Equal inputs and seeds give equal bytes on
    one machine, also when the training was interrupted in between and taken up with `resume`.

    Raises:
        SlideError, OutlineError, CohortError: from the cases. UsageError: resume with others.
    """
    from .figures import write_curves

    report = report or TrainReport()
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.safetensors"
    trainer = Trainer(config, seed)
    if resume and state.exists():
        trainer.load_state(state)
    sampler = CropSampler(open_cases(train_cases, config), config, seed)
    validation = validation_batches(open_cases(validation_cases, config), config, seed + 1)
    while not trainer.finished:
        row = trainer.finish_epoch(trainer.train_epoch(sampler, report), validation)
        trainer.save_state(state)
        write_curves(out, trainer.epochs)
        report.epoch(row)
    training = {
        "seed": seed,
        "config": config.to_dict(),
        "epochs": len(trainer.epochs),
        "best_epoch": trainer.best_epoch,
        "torch": torch.__version__,
    }
    card = replace(card, training=training)
    checkpoint = save_checkpoint(out / "model.safetensors", card, trainer.best_network())
    return TrainResult(checkpoint, tuple(trainer.epochs), trainer.best_epoch)
