"""Pictures of numbers: learning curves, ROC, areas. The one file that knows matplotlib."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .metrics import Curve

if TYPE_CHECKING:
    from .trainer import Epoch

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
    _save(figure, out / "curves.png")


def write_operating_curves(
    path: Path, curves: Mapping[str, Curve], marks: Mapping[str, Curve]
) -> None:
    """ROC and precision-recall, a line a name; `marks` hold the one point of the threshold in use.

    Curves without positives or without negatives are left out.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    roc, recall = figure.subplots(1, 2)
    for (name, curve), colour in zip(
        curves.items(), (TRAIN_COLOUR, VALIDATION_COLOUR), strict=False
    ):
        positives, negatives = curve.true[-1], curve.false[-1]
        if not (positives and negatives):
            continue
        for part, style in ((curve, "-"), (marks[name], "o")):
            called = part.true + part.false
            some = called > 0
            found = part.true / positives
            label = name if part is curve else None
            roc.plot(part.false / negatives, found, style, color=colour, label=label)
            recall.plot(
                found[some], part.true[some] / called[some], style, color=colour, label=label
            )
    roc.plot([0, 1], [0, 1], ":", color="0.6")
    roc.set(xlabel="false alarms (1 - specificity)", ylabel="tumour found (recall)", title="ROC")
    recall.set(xlabel="tumour found (recall)", ylabel="precision", title="Precision and recall")
    for axes in (roc, recall):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="lower center")
    _save(figure, path)


def write_areas(path: Path, areas_mm2: Sequence[tuple[float, float]]) -> None:
    """Expert's and model's area of each slide: side by side, and their ratio (Bland-Altman).

    Slides on which either sees no tumour have no ratio and stand in the left picture alone.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    scatter, ratio = figure.subplots(1, 2)
    expert, model = np.array(areas_mm2, np.float64).reshape(-1, 2).T
    top = max(1e-3, float(np.max([expert, model], initial=0.0))) * 1.05
    scatter.plot([0, top], [0, top], ":", color="0.6")
    scatter.plot(expert, model, "o", color=TRAIN_COLOUR, alpha=0.7)
    scatter.set(
        xlabel="expert, mm²", ylabel="model, mm²", title="Tumour area", xlim=(0, top), ylim=(0, top)
    )
    both = (expert > 0) & (model > 0)
    logs = np.log(model[both] / expert[both])
    means = np.sqrt(model[both] * expert[both])
    ratio.plot(means, np.exp(logs), "o", color=TRAIN_COLOUR, alpha=0.7)
    if len(logs) > 1:
        spread = 1.96 * logs.std(ddof=1)
        for offset, style in ((0.0, "-"), (-spread, "--"), (spread, "--")):
            ratio.axhline(float(np.exp(logs.mean() + offset)), color=VALIDATION_COLOUR, ls=style)
    ratio.axhline(1, color="0.6", ls=":")
    if len(logs):
        ratio.set(yscale="log")
        low, high = ratio.get_ylim()
        ratio.yaxis.set_major_formatter("{x:g}")
        ratio.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else "")
    ratio.set(xlabel="mean of both, mm²", ylabel="model / expert", title="Ratio of areas")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        _plain(axes)
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
