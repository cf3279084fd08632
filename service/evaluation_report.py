"""What people read of an evaluation: one HTML file with its pictures inside."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.cohort import Case
from model.measure import Question, SlideMeasures
from tiling.images import write_png
from tiling.rawplanes import disk_errors
from tiling.slide_files import slide_name

from . import evaluation_page as page
from . import evaluation_sections as sections
from . import evaluation_words as words
from .evaluation_pictures import draw_comparison

REPORT_FILE, PICTURES = "report.html", "pictures"
TITLE = "How well the maps match the experts"
SHOWN = 3  # best and as many worst slides


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

    Every figure is one of `evaluation.metrics`.

    Raises:
        ResultError: not writable, disk full, or a result is gone. SlideError, OutlineError.
    """
    folder = out / PICTURES
    with disk_errors(out):
        folder.mkdir(parents=True, exist_ok=True)
        chapters = _chapters(folder, evaluation)
    page.write_page(out / REPORT_FILE, page.page(TITLE, _lead(evaluation.metrics), chapters))


def _chapters(folder: Path, evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Id, heading and HTML of each; pictures go into `folder`."""
    metrics = evaluation.metrics
    chapters = [
        ("pictures", "Worst and best slides", _comparisons(folder, evaluation)),
        ("slides", "Slide by slide", _slides(metrics["slides"])),
        ("tissue", "Is it tumour, place by place?", sections.tissue(folder, metrics)),
        ("outlines", "How far apart do outlines run?", sections.outlines(metrics["per_slide"])),
        ("lesions", "Are lesions found?", sections.lesions(folder, metrics)),
        ("objects", "Are objects kept apart?", sections.objects(metrics)),
        ("area", "Is the area right?", sections.area(folder, metrics)),
        (
            "probabilities",
            "Do probabilities mean what they say?",
            sections.probabilities(folder, metrics),
        ),
        ("method", "How this was measured", sections.method(metrics)),
    ]
    return [chapter for chapter in chapters if chapter[2]]


def _lead(m: Mapping[str, Any]) -> str:
    where = f", the {m['split']} split of the model's own cohort" if m["split"] else ""
    text = (
        f"<p>Measured on {m['n_slides']} slides of {m['n_patients']} patients{where}, "
        f"against the expert's outlines, wherever the expert has labelled. "
        f"A place counts as tumour when its probability is above {_threshold(m['threshold'])}. "
        "In brackets: the interval that holds 95 % of what other draws of such patients would "
        "give.</p>"
    )
    if m["left_out"]:
        names = html.escape(", ".join(m["left_out"]))
        text += f"<p>Left out, because the model was trained or tuned on them: {names}.</p>"
    if m["includes_seen"]:
        text += f'<p class="warning">* {html.escape(str(m["warning"]))}</p>'
    return text + page.cards(
        [
            ("Overlap with the expert's area (Dice)", m["pixels"]["dice"]),
            (
                f"Balanced accuracy, cells of {m['cell_um']:g} µm",
                m["cells"]["balanced_accuracy"],
            ),
            ("Area under the ROC curve, cells", m["cells"]["auc"]),
            ("Area, model / expert", m["per_slide"]["area_ratio"]),
            ("Objects found (F1)", m["objects"]["f1"])
            if "objects" in m
            else ("Lesions found (FROC score)", m["lesions"]["froc"]),
            ("Calibration error (ECE), 0 is best", m["reliability"]["ece"]),
        ]
    )


def _threshold(value: object) -> str:
    return " or ".join(f"{v:.3g}" for v in (value if isinstance(value, list) else [value]))


def _comparisons(folder: Path, evaluation: Evaluation) -> str:
    ranked = sorted((m.dice, i) for i, m in enumerate(evaluation.measures) if m.dice is not None)
    if not ranked:
        return "<p>No slide has tumour to compare outlines of.</p>"
    worst = ranked[:SHOWN]
    best = [item for item in ranked[-SHOWN:] if item not in worst][::-1]
    columns = [
        _column(title, [_comparison(folder, evaluation, i) for _, i in chosen])
        for title, chosen in (("Where it goes worst", worst), ("Where it goes best", best))
        if chosen
    ]
    legend = "<p>Blue, solid: the model's outline. Yellow, dashed: the expert's.</p>"
    return legend + page.pictures(*columns)


def _column(title: str, shown: Sequence[str]) -> str:
    return f"<div><h3>{title}</h3>{''.join(shown)}</div>"


def _comparison(folder: Path, evaluation: Evaluation, i: int) -> str:
    case, measures = evaluation.cases[i], evaluation.measures[i]
    name = slide_name(case.slide)
    dice = f"Dice {measures.dice:.3f}"
    path = folder / f"slide-{i + 1}.png"
    maps = evaluation.maps / name
    legend = f"solid: model, dashed: expert; {dice}"
    write_png(path, draw_comparison(case, maps, evaluation.question, legend))
    areas = f"model {measures.tumour_area_mm2:.3g} mm², expert {measures.expert_area_mm2:.3g} mm²"
    return page.picture(path, f"{name}, patient {case.patient}: {dice}; {areas}")


def _slides(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        name: title
        for name, title in words.SLIDES.items()
        if name not in words.SOMETIMES or any(row.get(name) is not None for row in rows)
    }
    return page.table(rows, columns) + (
        "<p><small>Areas are those of labelled tissue. A dash: not defined, as Dice on a slide "
        "without tumour.</small></p>"
    )
