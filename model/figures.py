"""Pictures of numbers: learning curves, ROC, reliability, areas. Uses matplotlib."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

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


@dataclass(frozen=True)
class Line:
    """A curve of metrics.json: `at` along x; `value`, within `low` and `high`, along y.

    `mark`: x and y of the one point that is in use, where there is one.
    """

    curve: Mapping[str, Sequence[float | None]]
    mark: tuple[float, float] | None = None


def write_roc(path: Path, lines: Mapping[str, Line]) -> None:
    """ROC curves, a line a name."""
    figure, axes = _panel("ROC", "false alarms (1 - specificity)", "tumour found (recall)")
    axes.plot([0, 1], [0, 1], ":", color="0.6")
    _lines(axes, lines)
    _unit_square(axes)
    _save(figure, path)


def write_precision_recall(path: Path, lines: Mapping[str, Line]) -> None:
    """Precision over recall, a line a name."""
    figure, axes = _panel("Precision and recall", "tumour found (recall)", "precision")
    _lines(axes, lines)
    _unit_square(axes)
    _save(figure, path)


def write_reliability(path: Path, line: Line) -> None:
    """Share of tumour over stated probability; honest ones lie on the diagonal."""
    figure, axes = _panel("Reliability", "probability on the map", "share that is tumour")
    axes.plot([0, 1], [0, 1], ":", color="0.6")
    _lines(axes, {"all labelled tissue": line}, style="o-")
    _unit_square(axes)
    _save(figure, path)


def write_probabilities(path: Path, shares: Sequence[Sequence[float]]) -> None:
    """How much of the tissue has which probability; `shares`: without tumour and with, by bin."""
    figure, axes = _panel("How sure the map is", "probability on the map", "share of the tissue")
    others, tumour = np.array(shares)
    width = 1 / len(tumour)
    at = (np.arange(len(tumour)) + 0.5) * width
    axes.bar(at, tumour, 0.9 * width, color=VALIDATION_COLOUR, label="expert: tumour")
    axes.bar(at, others, 0.9 * width, tumour, color=TRAIN_COLOUR, label="expert: none")
    axes.set(xlim=(0, 1))
    axes.legend(frameon=False)
    _save(figure, path)


def write_froc(path: Path, line: Line) -> None:
    """Lesions found over false alarms a slide."""
    figure, axes = _panel("FROC", "false alarms a slide", "lesions found (sensitivity)")
    _lines(axes, {"lesions": line})
    ticks = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
    axes.set(xscale="log", ylim=(-0.01, 1.01))
    axes.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    _save(figure, path)


def write_learning_curve(path: Path, lines: Mapping[str, Line]) -> None:
    """Figures over the number of patients trained on, a panel a name."""
    figure = Figure(figsize=(2.6 * len(lines), 3.2), dpi=160, layout="constrained")
    panels = figure.subplots(1, len(lines), sharey=True, squeeze=False)[0]
    for axes, (name, line) in zip(panels, lines.items(), strict=True):
        axes.set(title=name, xlim=(0, None), xlabel="patients trained on")
        _lines(axes, {name: line}, style="o-")
    _save(figure, path)


def write_areas(path: Path, areas_mm2: Sequence[tuple[float, float]]) -> None:
    """Expert's and model's area of each slide, side by side."""
    figure, axes = _panel("Tumour area", "expert, mm²", "model, mm²")
    expert, model = np.array(areas_mm2, np.float64).reshape(-1, 2).T
    top = max(1e-3, float(np.max([expert, model], initial=0.0))) * 1.05
    axes.plot([0, top], [0, top], ":", color="0.6")
    axes.plot(expert, model, "o", color=TRAIN_COLOUR, alpha=0.7)
    axes.set(xlim=(0, top), ylim=(0, top))
    _save(figure, path)


def write_area_ratios(
    path: Path, areas_mm2: Sequence[tuple[float, float]], levels: Sequence[float]
) -> None:
    """Ratio of model's to expert's area over their geometric mean (Bland-Altman of log area).

    `levels`: the mean ratio and, where known, the limits of agreement. Slides on which either sees
    no tumour have no ratio.
    """
    figure, axes = _panel("Ratio of areas", "mean of both, mm²", "model / expert")
    expert, model = np.array([pair for pair in areas_mm2 if all(pair)]).reshape(-1, 2).T
    axes.axhline(1, color="0.6", ls=":")
    axes.plot(np.sqrt(model * expert), model / expert, "o", color=TRAIN_COLOUR, alpha=0.7)
    for number, level in enumerate(levels):
        axes.axhline(level, color=VALIDATION_COLOUR, ls="--" if number else "-")
    low, high = axes.get_ylim()
    axes.set(xscale="log", yscale="log", ylim=(min(low, 0.5), max(high, 2.0)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    _save(figure, path)


def _panel(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """One picture of one panel, so that two fit side by side and one fits a phone."""
    figure = Figure(figsize=(4.8, 4.2), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _lines(axes: Axes, lines: Mapping[str, Line], style: str = "-") -> None:
    for (name, line), colour in zip(lines.items(), (TRAIN_COLOUR, VALIDATION_COLOUR), strict=False):
        at, value, low, high = (
            np.array(line.curve[part], np.float64) for part in ("at", "value", "low", "high")
        )
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(at, value, style, color=colour, label=name)
        if line.mark:
            axes.plot(*line.mark, "o", color=colour)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="lower center")


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        _plain(axes)
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
