"""An attempt at a training: outlined slides in, a model and its curves out.

`Attempt.request` has `name`, `config` (the name of shipped settings), `foreground_label`, `seed`,
`epochs` (or None: as the settings have it), and `cases`: a list of `slide` (an id), `slide_path`,
`outlines_path`, `patient`, `mpp` (fills a missing resolution, or None).
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotations.errors import ExtentError
from annotations.labels import LabelRules
from model.cohort import Case, Cohort, split_patients
from model.config import BACKGROUND, BOUNDARY, TrainConfig
from model.crossvalidate import card_for
from model.shipped import SHIPPED_CONFIGS
from model.train import TrainResult, train
from model.trainer import Epoch, TrainReport
from tiling.rawplanes import disk_errors

from .attempt import RESULT, Attempt
from .training_files import CURVES, MODEL, PICTURE, STATE, WORK

Say = Callable[[str, int, int], None]
"""(phase, done, total)"""

FEWEST_TO_VALIDATE = 3  # patients; with fewer all are trained on
SHARES, ALL_TRAIN = (0.8, 0.2, 0.0), (1.0, 0.0, 0.0)


def train_attempt(attempt: Attempt, say: Say) -> dict[str, Any]:
    """Train, going on from where the previous attempt was, and leave ATTEMPT/result/.

    Returns the outcome: `digest`, `epochs`, `best_epoch`, `best_dice` (None where all patients
    were trained on), and how many `patients` each part had.

    Raises:
        ExtentError: the cases cannot be trained on, or the disk is full; slides go by their ids.
    """
    say("reading", 0, 0)
    work = attempt.folder / WORK
    try:
        with disk_errors(work):
            _take_over(attempt.previous, work)
            cohort = cohort_of(attempt.request["cases"])
            config = config_of(attempt.request, len(cohort.patients))
            split = split_patients(cohort, config.split, attempt.request["seed"])
            result = train(
                cohort.of_patients(split["train"]),
                cohort.of_patients(split["validation"]),
                config,
                card_for(config, cohort, split, config.name),
                out=work,
                seed=attempt.request["seed"],
                threads=attempt.threads,
                resume=True,
                report=_report(work, config.epochs, say),
            )
            say("publishing", 0, 0)
            _publish(work, attempt.folder, result)
    except ExtentError as error:
        raise type(error)(_without_names(str(error), attempt)) from None
    best = result.epochs[result.best_epoch - 1]
    return {
        "digest": result.checkpoint.digest,
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "best_dice": best.validation_dice,
        "patients": {part: len(patients) for part, patients in split.items()},
    }


def cohort_of(cases: Sequence[dict[str, Any]]) -> Cohort:
    """The cases as a cohort; its digest covers ids, patients and outlines, not where they lie."""
    digest = hashlib.sha256()
    for case in cases:
        row = [case["slide"], case["patient"], case["mpp"]]
        digest.update(json.dumps(row).encode())
        digest.update(Path(case["outlines_path"]).read_bytes())
    return Cohort(
        path=Path("training"),
        cases=tuple(
            Case(
                Path(case["slide_path"]),
                Path(case["outlines_path"]),
                case["patient"],
                mpp=case["mpp"],
            )
            for case in cases
        ),
        digest=digest.hexdigest(),
    )


def config_of(request: dict[str, Any], patients: int) -> TrainConfig:
    """The shipped settings, made for two classes: what the label names, and all else.

    Settings for objects have a third, which lies between them.
    """
    shipped = TrainConfig.from_toml(SHIPPED_CONFIGS / f"{request['config']}.toml")
    label, rules = request["foreground_label"], shipped.labels
    if rules.known(label) is None:
        rules = LabelRules({**rules.classes, label: ()}, rules.exclusion, rules.ignore)
    classes = (BACKGROUND, label, *((BOUNDARY,) if shipped.objects else ()))
    return replace(
        shipped,
        name=request["name"],
        classes=classes,
        foreground=label,
        network=replace(shipped.network, classes=len(classes)),
        labels=rules,
        epochs=request["epochs"] or shipped.epochs,
        split=SHARES if patients >= FEWEST_TO_VALIDATE else ALL_TRAIN,
        data=f"Outlines of {len(request['cases'])} slides of {patients} patients, trained on by "
        f"way of a server, with the settings {request['config']}.",
        licence="",
        limits="",
    )


def _take_over(previous: Path | None, work: Path) -> None:
    """What the previous attempt had after its last whole epoch."""
    work.mkdir(parents=True, exist_ok=True)
    for name in (STATE, CURVES):
        if previous is not None and (previous / WORK / name).is_file():
            partial = work / f".{name}.part"
            shutil.copyfile(previous / WORK / name, partial)
            partial.replace(work / name)  # a kill must not leave half a state


def _report(work: Path, epochs: int, say: Say) -> TrainReport:
    """Progress in steps of all epochs, and the curves so far after each."""
    rows = _Rows(work / CURVES)
    return TrainReport(
        step=lambda epoch, step, steps: say("training", epoch * steps + step, epochs * steps),
        epoch=rows.add,
    )


@dataclass
class _Rows:
    """The learning curves in a file that is whole at any time."""

    path: Path

    def add(self, row: Epoch) -> None:
        known = json.loads(self.path.read_text()) if self.path.exists() else None
        earlier = [] if known is None else _epochs_in(known)
        _write_curves(self.path, [*(e for e in earlier if e.epoch < row.epoch), row])


def _epochs_in(curves: dict[str, Any]) -> list[Epoch]:
    series = curves["series"]
    return [
        Epoch(epoch=epoch, **{name: values[i] for name, values in series.items()})
        for i, epoch in enumerate(curves["epochs"])
    ]


def _write_curves(path: Path, epochs: Sequence[Epoch]) -> None:
    """{"epochs": [1, 2, …], "series": {name: a value an epoch}}"""
    rows = [asdict(epoch) for epoch in epochs]
    numbers = [row.pop("epoch") for row in rows]
    series = {name: [_finite(row[name]) for row in rows] for name in rows[0]}
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps({"epochs": numbers, "series": series}), encoding="utf-8")
    partial.replace(path)


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN: a held-out patient without a labelled pixel has no loss."""
    return value if value is not None and math.isfinite(value) else None


def _publish(work: Path, folder: Path, result: TrainResult) -> None:
    """ATTEMPT/result/, there whole or not at all."""
    _write_curves(work / CURVES, result.epochs)
    partial = folder / f".{RESULT}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in (MODEL, CURVES, PICTURE):
        shutil.copyfile(work / name, partial / name)
    partial.rename(folder / RESULT)


def _without_names(text: str, attempt: Attempt) -> str:
    """Slides by their ids, in place of paths and names."""
    for case in attempt.request["cases"]:
        for column, what in (("outlines_path", "the outlines of "), ("slide_path", "")):
            path = Path(case[column])
            for name in (str(path), path.name):
                text = text.replace(name, f"{what}slide {case['slide']}")
    return text.replace(str(attempt.folder), "the training's folder")
