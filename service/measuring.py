"""Maps of a cohort's slides, and what they are worth: what `evaluate` and `crossvalidate` share."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from annotations.errors import ExtentError
from tiling.rawplanes import disk_errors
from tiling.resolution import Resolution
from tiling.slide_files import slide_name

from .cli_options import compiled_models, complain, say
from .inputs import SlideInput, check_names
from .predict import Request, predict
from .progress import display_for
from .tasks import MapSettings

if TYPE_CHECKING:
    from model.calibrate import Calibration
    from model.cohort import Case
    from model.measure import Question, SlideMeasures
    from model.selection import Selection

METRICS_FILE, MAPS = "metrics.json", "maps"


def slides_of(cases: Sequence["Case"]) -> list[SlideInput]:
    """The cases' slides, each under the name of its result.

    Raises:
        UsageError: two slides of one name, or a name that no result can have.
    """
    slides = [SlideInput(c.slide, slide_name(c.slide), c.mpp, c.force_mpp) for c in cases]
    check_names(slides)
    return slides


def map_cases(
    cases: Sequence["Case"],
    model: str,
    out: Path,
    console: Console,
    settings: MapSettings | None = None,
) -> list["Case"]:
    """Map the cases' slides into `out`/<name>/; returns those that succeeded, names the others.

    Raises:
        what predict raises.
    """
    slides = slides_of(cases)
    settings = settings or MapSettings()
    request = Request(slides, model, out, settings, Resolution(), compiled=compiled_models())
    result = predict(request, display_for(console, len(slides)))
    for outcome in result.failed:
        complain(f"{outcome.name} failed: {outcome.reason}")
    failed = {outcome.name for outcome in result.failed}
    return [case for case in cases if slide_name(case.slide) not in failed]


def measured(
    cases: Sequence["Case"], maps: Path, question: "Question"
) -> "tuple[list[Case], list[SlideMeasures]]":
    """Those cases whose maps could be measured, with what was found; the others are named."""
    from model.evaluate import measure_cases

    lost = []

    def name_it(case: "Case", error: ExtentError) -> None:
        complain(f"{slide_name(case.slide)} cannot be measured: {error}")
        lost.append(case)

    measures = measure_cases(cases, maps, question, failed=name_it)
    return [case for case in cases if case not in lost], measures


def write_measures(
    cases: Sequence["Case"],
    out: Path,
    question: "Question",
    console: Console,
    *,
    seed: int,
    command: str = "",
    selection: "Selection | None" = None,
    calibrated: "Callable[[Sequence[SlideMeasures]], Calibration] | None" = None,
) -> int:
    """Measure the maps under `out` against the experts; writes metrics.json and report.html.

    `calibrated`, which is given what was measured, makes the calibration that metrics.json keeps,
    beside the `command` that was typed.
    Returns how many cases were measured; those that could not be are named.

    Raises:
        CohortError: none of them could be measured.
    """
    from model.card import COMMAND
    from model.evaluate import summarise

    from .evaluation_report import REPORT_FILE, Evaluation, write_report

    cases, measures = measured(cases, out / MAPS, question)
    metrics = summarise(measures, cell_um=question.cell_um, seed=seed, selection=selection)
    if calibrated:
        metrics["calibration"] = calibrated(measures).to_json()
    if command:
        metrics[COMMAND] = command
    with disk_errors(out):
        temporary = out / f".{METRICS_FILE}.part"
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        temporary.replace(out / METRICS_FILE)
        write_report(out, Evaluation(cases, measures, metrics, out / MAPS, question))
    say(
        console,
        *(_line(metrics, group, name) for group, name in _HEADLINES if group in metrics),
        f"figures: {out / METRICS_FILE}",
        f"report:  {out / REPORT_FILE}",
    )
    if "warning" in metrics:
        complain(str(metrics["warning"]))
    return len(measures)


_HEADLINES = (
    ("pixels", "dice"),
    ("cells", "f1"),
    ("cells", "balanced_accuracy"),
    ("cells", "auc"),
    ("objects", "f1"),
    ("objects", "dice"),
)


def _line(metrics: dict[str, object], group: str, name: str) -> str:
    figures = metrics[group]
    row = figures.get(name) if isinstance(figures, dict) else None
    label = f"{group} {name.replace('_', ' ')}"
    if not isinstance(row, dict) or row.get("value") is None:
        return f"{label}: not defined on these slides"
    text = f"{label}: {row['value']:.3f}"
    if row.get("low") is not None:
        text += f" (95 % interval {row['low']:.3f} to {row['high']:.3f})"
    return text
