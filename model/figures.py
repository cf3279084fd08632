"""Pictures of numbers: learning curves. The one file that knows matplotlib."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .train import Epoch

TRAIN_COLOUR, VALIDATION_COLOUR = "#0072b2", "#d55e00"  # told apart by colour-blind people too


def write_curves(out: Path, epochs: Sequence["Epoch"]) -> None:
    """Write `curves.csv` and `curves.png` of the epochs so far."""
    if not epochs:
        return
    with (out / "curves.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(epochs[0])])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    numbers = [epoch.epoch for epoch in epochs]
    loss.plot(numbers, [e.train_loss for e in epochs], color=TRAIN_COLOUR, label="training")
    if epochs[0].validation_loss is not None:
        loss.plot(
            numbers,
            [e.validation_loss for e in epochs],
            color=VALIDATION_COLOUR,
            label="validation",
        )
        accuracy.plot(
            numbers, [e.validation_dice for e in epochs], color=VALIDATION_COLOUR, label="Dice"
        )
        accuracy.plot(
            numbers,
            [e.validation_balanced_accuracy for e in epochs],
            color=VALIDATION_COLOUR,
            linestyle="--",
            label="balanced accuracy",
        )
        accuracy.legend(frameon=False)
    loss.set(xlabel="epoch", ylabel="loss", title="Loss")
    accuracy.set(xlabel="epoch", ylim=(0, 1), title="Validation patients, pixels of the crops")
    loss.legend(frameon=False)
    for axes in (loss, accuracy):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(str(out / "curves.png"), metadata={"Software": None})
