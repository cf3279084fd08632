"""Learning curves for TensorBoard, where it is installed."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Epoch


def tensorboard_writer(out: Path, epochs_done: int) -> "Callable[[Epoch], None]":
    """What writes an epoch's values into `out`/tensorboard; nothing where it is not installed.

    `epochs_done`: from where an interrupted training goes on; later events of it are dropped.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return lambda epoch: None
    folder = str(out / "tensorboard")

    def write(epoch: "Epoch") -> None:
        with SummaryWriter(folder, purge_step=epochs_done + 1) as writer:
            for name, value in asdict(epoch).items():
                if name != "epoch" and value is not None:
                    writer.add_scalar(name, value, epoch.epoch)

    return write
