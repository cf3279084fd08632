"""The chapters of an evaluation's report that follow from its metrics alone.

Each takes what metrics.json holds, draws its pictures into a folder and gives HTML.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model import figures
from model.figures import Line
from model.froc import APART_UM, LESION_CELL_UM
from model.histograms import BINS

from . import evaluation_page as page
from . import evaluation_words as words

BAND = "The band: what 95 % of other draws of such patients would give."


def tissue(folder: Path, m: Mapping[str, Any]) -> str:
    """Pixels and cells: figures, ROC, precision and recall."""
    text = (
        f"<h3>Tissue, pixel by pixel</h3>{page.figures(m['pixels'], words.PIXELS)}"
        f"<h3>Cells of {m['cell_um']:g} µm</h3>{page.figures(m['cells'], words.CELLS)}"
    )
    curves = m["curves"]
    groups = [name for name in ("pixels", "cells") if curves[f"{name}_roc"]["at"]]
    if not groups:
        return text + "<p>Curves take tissue with tumour and tissue without.</p>"
    roc, recall = folder / "roc.png", folder / "precision-recall.png"
    called = {g: _mark(m[g], "specificity", "recall") for g in groups}
    found = {g: _mark(m[g], "recall", "precision") for g in groups}
    figures.write_roc(roc, {g: Line(curves[f"{g}_roc"], called[g]) for g in groups})
    figures.write_precision_recall(
        recall, {g: Line(curves[f"{g}_precision_recall"], found[g]) for g in groups}
    )
    return text + page.pictures(
        page.picture(
            roc,
            "What other thresholds would give: the nearer a line comes to the upper left corner, "
            f"the better; guessing is the dotted line. Dots: the threshold in use. {BAND}",
        ),
        page.picture(
            recall,
            "The same thresholds: how much of what is called tumour is, against how much of it is "
            f"found. The upper right corner is best. Dots: the threshold in use. {BAND}",
        ),
    )


def _mark(rows: Mapping[str, Any], x: str, y: str) -> tuple[float, float] | None:
    """The point of the threshold in use, where it is defined; specificity as false alarms."""
    across, along = rows[x]["value"], rows[y]["value"]
    if across is None or along is None:
        return None
    return (1 - across if x == "specificity" else across), along


def outlines(per_slide: Mapping[str, Any]) -> str:
    """Distances between outlines."""
    return (
        page.figures(per_slide, words.OUTLINES)
        + page.figures(per_slide, words.DISTANCE, digits=0)
        + "<p>Means over slides. HD95 is ruled by the outline farthest off: one false alarm far "
        "from the tumour makes it large. The shares say how much of the outlines agree.</p>"
    )


def lesions(folder: Path, m: Mapping[str, Any]) -> str:
    """What is found and what is a false alarm: FROC."""
    if not m["n_lesions"]:
        return page.figures(m["lesions"], dict(list(words.LESIONS.items())[1:2]), digits=2)
    path = folder / "froc.png"
    mark = _mark(m["lesions"], "false_alarms_per_slide", "sensitivity")
    figures.write_froc(path, Line(m["curves"]["froc"], mark))
    return (
        f"<p>The experts drew {m['n_lesions']} lesions.</p>"
        + page.figures(m["lesions"], words.LESIONS)
        + page.pictures(
            page.picture(
                path,
                "How many lesions are found when so many places a slide may be false alarms: "
                f"higher is better. Dot: the threshold in use. {BAND}",
            )
        )
    )


def objects(m: Mapping[str, Any]) -> str:
    """Whether objects are found one by one; nothing where the foreground has none."""
    if "objects" not in m:
        return ""
    counts = [(row["n_objects"], row["n_objects_found"]) for row in m["slides"]]
    experts, models = (sum(numbers) for numbers in zip(*counts, strict=True))
    return (
        f"<p>The experts drew {experts} objects, the model {models}.</p>"
        + page.figures(m["objects"], words.OBJECTS)
        + page.figures(m["objects"], words.OBJECT_DISTANCE, digits=1)
    )


def area(folder: Path, m: Mapping[str, Any]) -> str:
    """Areas, their ratio and the intervals that results state."""
    per_slide = m["per_slide"]
    text = page.figures(per_slide, words.AREAS)
    if per_slide["false_positive_mm2_without_tumour"]["value"] is not None:
        text += page.figures(per_slide, words.ALARM_AREA)
    areas = [(row["expert_area_mm2"], row["tumour_area_mm2"]) for row in m["slides"]]
    levels = [per_slide[name]["value"] for name in words.AREAS]
    figures.write_areas(folder / "areas.png", areas)
    shown = [
        page.picture(
            folder / "areas.png",
            "A dot a slide; on the dotted line both areas are the same, above it the model's is "
            "larger. On labelled tissue.",
        )
    ]
    if levels[0] is not None:
        path = folder / "area-ratios.png"
        figures.write_area_ratios(path, areas, [level for level in levels if level is not None])
        shown.append(
            page.picture(
                path,
                "Bland-Altman: the same slides, how many times the expert's area the model's is. "
                "Line: the mean; dashed: where 95 % of slides lie; dotted: both the same.",
            )
        )
    return text + page.pictures(*shown) + _intervals(m["area_intervals"])


def _intervals(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>These results state no interval for the tumour's area.</p>"
    shown = [
        {
            **row,
            "promised": f"{row['level']:.0%} of patients",
            "held": f"{row['patients_within']} of {row['patients']} patients",
            "slides_held": f"{row['slides_within']} of {row['slides']}",
        }
        for row in rows
    ]
    return (
        "<h3>Does the stated interval hold the expert's area?</h3>"
        + page.table(shown, words.INTERVALS)
        + "<p><small>The expert's area is known on labelled tissue only, while intervals speak of "
        "the whole slide. A patient counts when all slides of theirs are within.</small></p>"
    )


def probabilities(folder: Path, m: Mapping[str, Any]) -> str:
    """Calibration: figures and the reliability diagram."""
    reliability, shares = folder / "reliability.png", folder / "probabilities.png"
    figures.write_reliability(reliability, Line(m["curves"]["reliability"]))
    figures.write_probabilities(shares, m["curves"]["probabilities"])
    return page.figures(m["reliability"], words.PROBABILITIES) + page.pictures(
        page.picture(
            reliability,
            "Of the places to which the map gives such a probability, the share that is tumour: "
            "on the dotted line it is honest, below it the model is too sure of tumour, above it "
            f"not sure enough. All labelled tissue. {BAND}",
        ),
        page.picture(
            shares,
            "How much of the labelled tissue has such a probability: tall bars far from the "
            "middle are places the model is sure of, one colour at either end is best.",
        ),
    )


def method(m: Mapping[str, Any]) -> str:
    """What was counted, and after whom."""
    interval = html.escape(m["interval"].partition("of ")[2])
    return words.METHOD.format(
        interval=interval,
        lesion_cell=f"{LESION_CELL_UM:g}",
        apart=f"{APART_UM:g}",
        bins=BINS,
        objects=words.OBJECT_METHOD if "objects" in m else "",
    )
