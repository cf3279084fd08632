"""Calibrating and judging the models of a cross-validation by patients that they never saw."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from .measuring import MAPS, map_cases, measured, write_measures
from .tasks import MapSettings

if TYPE_CHECKING:
    from model.calibrate import Calibration
    from model.cohort import Case
    from model.crossvalidate import Fold
    from model.measure import Question

UNCALIBRATED, CALIBRATED_MODEL = "uncalibrated", "calibrated.safetensors"


def map_folds(
    folds: "Sequence[Fold]", maps: Path, console: Console, settings: MapSettings
) -> "list[Case]":
    """Map every fold's slides with its own model; returns the cases that succeeded."""
    return [
        case
        for fold in folds
        for case in map_cases(fold.cases, str(fold.model), maps, console, settings)
    ]


def calibrated_folds(
    folds: "Sequence[Fold]",
    out: Path,
    question: "Question",
    console: Console,
    settings: MapSettings,
) -> "tuple[list[Fold], Calibration]":
    """The folds with calibrated models, and the calibration: one for all, by the maps of all.

    Two numbers and a threshold know little of any one patient. Were each fold's taken from the
    other folds, whoever has more tumour than they would be scaled down for that, and figures over
    all folds would mix as many scales. Uncalibrated maps stay in OUT/uncalibrated.
    """
    from model.calibrate import Calibration

    maps = out / UNCALIBRATED
    _, measures = measured(map_folds(folds, maps, console, settings), maps, question)
    calibration = Calibration.of_maps(measures, question)
    calibrated = []
    for fold in folds:
        model = fold.model.with_name(CALIBRATED_MODEL)
        calibration.applied(fold.model, model)
        calibrated.append(replace(fold, model=model))
    return calibrated, calibration


def judge_folds(
    folds: "Sequence[Fold]",
    out: Path,
    question: "Question",
    console: Console,
    settings: MapSettings,
    *,
    seed: int,
    command: str = "",
) -> int:
    """Calibrate the folds, map their slides and measure the maps; returns how many were measured.

    Writes OUT/maps, OUT/metrics.json, which keeps the calibration and the `command` that was
    typed, and OUT/report.html.

    Raises:
        CohortError: none could be measured.
    """
    calibrated, calibration = calibrated_folds(folds, out, question, console, settings)
    return write_measures(
        map_folds(calibrated, out / MAPS, console, settings),
        out,
        question,
        console,
        seed=seed,
        command=command,
        calibrated=lambda measures: calibration.with_contours(measures, "approximate"),
    )
