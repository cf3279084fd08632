"""A training on disk between epochs: everything needed to go on, without pickling."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from annotations.errors import CheckpointError, UsageError

from .trainer import Epoch, Trainer

STATE_KEY = "extent.training"


def save_state(trainer: Trainer, path: Path, cohort_digest: str) -> None:
    """Everything needed to go on, in one safetensors file, by way of a temporary one."""
    tensors = {f"network.{k}": v for k, v in trainer.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in trainer.best.items()}
    for index, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in values.items() if v is not None}
    about = {
        "inputs": _inputs(trainer, cohort_digest),
        "best_epoch": trainer.best_epoch,
        "epochs": [asdict(epoch) for epoch in trainer.epochs],
    }
    temporary = path.with_name(f".{path.name}.part")
    separate = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    temporary.write_bytes(save(separate, metadata={STATE_KEY: json.dumps(about)}))
    temporary.replace(path)


def load_state(trainer: Trainer, path: Path, cohort_digest: str) -> None:
    """Go on from where `save_state` left off.

    Raises:
        CheckpointError: not such a file. UsageError: another cohort, other settings or seed.
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
    if about["inputs"] != _inputs(trainer, cohort_digest):
        raise UsageError(
            f"{path.parent}: holds a training with another cohort, other settings or another seed; "
            "use the same ones, or another --out"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    trainer.network.load_state_dict(part("network."))
    trainer.average.load_state_dict(part("average."))
    trainer.best, trainer.best_epoch = part("best."), about["best_epoch"]
    trainer.epochs = [Epoch(**row) for row in about["epochs"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimiser.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _inputs(trainer: Trainer, cohort_digest: str) -> str:
    """All that decides what comes out, as text."""
    values = {"config": trainer.config.to_dict(), "seed": trainer.seed, "cohort": cohort_digest}
    return json.dumps(values, sort_keys=True)
