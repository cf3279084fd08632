"""What people read of an evaluation: one HTML file with its pictures inside."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.cohort import Case
from model.figures import write_areas, write_operating_curves
from model.measure import Question, SlideMeasures
from model.metrics import Counts, Curve
from tiling.images import write_png
from tiling.rawplanes import disk_errors
from tiling.slide_files import slide_name

from .evaluation_pictures import draw_comparison

REPORT_FILE, PICTURES = "report.html", "pictures"
SHOWN = 3  # best and as many worst slides
PIXEL_WORDS = {
    "dice": "Overlap of the model's area and the expert's (Dice): 1 is the same area",
    "precision": "Of what the model calls tumour, the share that is (precision, PPV)",
    "recall": "Of the tumour, the share that the model finds (recall, sensitivity)",
    "specificity": "Of tissue without tumour, the share left alone (specificity)",
    "accuracy": "Share of the tissue called rightly (accuracy)",
    "npv": "Of what the model calls free of tumour, the share that is (NPV)",
    "auc": "Area under the ROC curve: 0.5 is guessing",
}
CELL_WORDS = {
    "f1": "F1, the balance of precision and recall",
    "balanced_accuracy": "Balanced accuracy, the mean of recall and specificity",
    "auc": "Area under the ROC curve",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  color: #14202b; }
h1, h2 { line-height: 1.2; } table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d5dbe1; }
th:first-child, td:first-child { text-align: left; } td { font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } img { max-width: 100%; }
figure { margin: 1rem 0; } figcaption, small { color: #55626e; }
.warning { background: #fff3cd; border-left: 5px solid #b58100; padding: .6rem 1rem; }
"""


@dataclass(frozen=True)
class Evaluation:
    """What was measured: a case and its measures a slide, and what `summarise` made of them.

    `maps`: the folder with a result a slide.
    """

    cases: Sequence[Case]
    measures: Sequence[SlideMeasures]
    metrics: Mapping[str, Any]
    maps: Path
    question: Question


def write_report(out: Path, evaluation: Evaluation) -> None:
    """Write report.html and pictures/ into `out`; equal inputs give equal bytes.

    Raises:
        ResultError: not writable, disk full, or a result is gone. SlideError, OutlineError.
    """
    metrics = evaluation.metrics
    with disk_errors(out):
        (out / PICTURES).mkdir(parents=True, exist_ok=True)
        parts = [
            _heading(metrics),
            _figures("Tissue, pixel by pixel", metrics["pixels"], PIXEL_WORDS),
            _figures(f"Cells of {metrics['cell_um']:g} µm", metrics["cells"], CELL_WORDS),
            _plots(out / PICTURES, evaluation.measures),
            _slides(metrics["slides"]),
            _comparisons(out / PICTURES, evaluation),
        ]
        temporary = out / f".{REPORT_FILE}.part"
        temporary.write_text(_page(parts), encoding="utf-8")
        temporary.replace(out / REPORT_FILE)


def _page(parts: Sequence[str]) -> str:
    title = "How well the maps match the experts"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _heading(m: Mapping[str, Any]) -> str:
    where = f", the {m['split']} split of the model's own cohort" if m["split"] else ""
    left_out = m["left_out"]
    text = (
        f"<p>Measured on {m['n_slides']} slides of {m['n_patients']} patients{where}, "
        f"against the expert's outlines, wherever the expert has labelled. "
        f"A place counts as tumour when its probability is above {_threshold(m['threshold'])}. "
        "In brackets: the interval that holds 95 % of what other draws of such patients would "
        "give.</p>"
    )
    if left_out:
        names = html.escape(", ".join(left_out))
        text += f"<p>Left out, because the model was trained or tuned on them: {names}.</p>"
    if m["includes_seen"]:
        text += f'<p class="warning">{html.escape(str(m["warning"]))}</p>'
    return text


def _threshold(value: object) -> str:
    return " or ".join(f"{v:g}" for v in (value if isinstance(value, list) else [value]))


def _figures(title: str, rows: Mapping[str, Any], words: Mapping[str, str]) -> str:
    lines = "".join(
        f"<tr><td>{text}</td><td>{_interval(rows[name])}</td></tr>" for name, text in words.items()
    )
    return f"<h2>{title}</h2><table>{lines}</table>"


def _interval(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "not defined"
    seen = " *" if row.get("includes_seen") else ""
    if row["low"] is None:
        return f"{row['value']:.3f}{seen}"
    return f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}){seen}"


def _plots(folder: Path, measures: Sequence[SlideMeasures]) -> str:
    histogram = np.sum([m.histogram for m in measures], axis=0)
    scores = np.concatenate([m.cell_scores for m in measures])
    truth = np.concatenate([m.cell_truth for m in measures])
    write_operating_curves(
        folder / "curves.png",
        {"pixels": Curve.of_histogram(histogram), "cells": Curve.of_scores(scores, truth)},
        {
            "pixels": _point(np.sum([m.counts for m in measures], axis=0)),
            "cells": _point(np.sum([m.cell_counts for m in measures], axis=0)),
        },
    )
    write_areas(folder / "areas.png", [(m.expert_area_mm2, m.tumour_area_mm2) for m in measures])
    return (
        "<h2>All slides together</h2>"
        + _picture(folder / "curves.png", "What other thresholds would give; dots: the one in use")
        + _picture(
            folder / "areas.png",
            "Area on labelled tissue. Right: the mean ratio, and dashed where 95 % of slides lie",
        )
    )


def _point(counts: Counts) -> Curve:
    return Curve(counts[:1], counts[1:2])


COLUMNS = {
    "slide": "Slide",
    "patient": "Patient",
    "dice": "Dice",
    "tumour_area_mm2": "Model, mm²",
    "expert_area_mm2": "Expert, mm²",
    "false_positive_mm2": "False alarms, mm²",
    "hd95_um": "Outlines apart (95 %), µm",
    "surface_dice_100_um": "Outline within 100 µm",
}


def _slides(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in COLUMNS.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in COLUMNS) + "</tr>"
        for row in rows
    )
    return (
        f'<h2>Slide by slide</h2><div class="wide"><table><tr>{head}</tr>{body}</table></div>'
        "<p><small>A dash: not defined, as Dice on a slide without tumour.</small></p>"
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return html.escape(str(value))


def _comparisons(folder: Path, evaluation: Evaluation) -> str:
    ranked = sorted((m.dice, i) for i, m in enumerate(evaluation.measures) if m.dice is not None)
    worst = ranked[:SHOWN]
    best = [item for item in ranked[-SHOWN:] if item not in worst][::-1]
    text = ""
    for title, chosen in (("Where it goes worst", worst), ("Where it goes best", best)):
        if chosen:
            text += f"<h2>{title}</h2>"
        for dice, i in chosen:
            case = evaluation.cases[i]
            name = slide_name(case.slide)
            caption = f"solid: model, dashed: expert; Dice {dice:.3f}"
            pixels = draw_comparison(case, evaluation.maps / name, evaluation.question, caption)
            path = folder / f"slide-{i + 1}.png"
            write_png(path, pixels)
            text += _picture(path, f"{name}, patient {case.patient}: Dice {dice:.3f}")
    return text


def _picture(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    words = html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{words}">'
        f"<figcaption>{words}</figcaption></figure>"
    )
