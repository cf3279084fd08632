"""`extent train` and `extent crossvalidate`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from annotations.errors import UsageError

from .cli_options import ForceMpp, Mpp, Precision, as_asked, resolution_of, say
from .training_folder import training_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.card import ModelCard
    from model.config import TrainConfig
    from model.trainer import TrainReport

    from .training_display import TrainingDisplay

CohortFile = Annotated[
    Path,
    typer.Argument(
        metavar="COHORT.csv", help="Columns slide, annotations, patient (docs/train.md)."
    ),
]
Out = Annotated[Path, typer.Option(help="The folder for what comes out.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings as a TOML file, or the name of a shipped model.")
]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal models.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")]
Measured = Annotated[
    Path | None,
    typer.Option(
        metavar="METRICS.json",
        help="The metrics.json of a cross-validation with the same settings, for the card.",
    ),
]
MeasuredInt8 = Annotated[
    Path | None,
    typer.Option(
        metavar="METRICS.json",
        help="The same with --precision int8: where it is as good, the model runs so by default.",
    ),
]
Folds = Annotated[int, typer.Option(min=2, help="How many parts the patients fall into.")]
CellUm = Annotated[float, typer.Option(help="Side in µm of the cells that figures are given for.")]


def train(
    context: typer.Context,
    cohort: CohortFile,
    out: Out,
    config: Config = None,
    seed: Seed = 0,
    measured: Measured = None,
    measured_int8: MeasuredInt8 = None,
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
    resume: Resume = False,
) -> None:
    """Train a network on a cohort of outlined slides; writes OUT/model.safetensors.

    Patients are split into train, validation and test (column `split`, else drawn from the seed);
    the test patients' slides are not opened before `extent evaluate`. OUT/curves.png shows how
    it went.
    """
    from model.card import COMMAND, CROSS_VALIDATION, CROSS_VALIDATION_INT8
    from model.cohort import read_cohort, split_patients
    from model.crossvalidate import card_for
    from model.train import train as train_model

    from .training_display import TrainingDisplay

    settings, console = load_config(config), Console()
    given = {
        CROSS_VALIDATION: ("--measured", measured),
        CROSS_VALIDATION_INT8: ("--measured-int8", measured_int8),
    }
    measures = {
        name: _read_measures(option, path)
        for name, (option, path) in given.items()
        if path is not None
    }
    table = read_cohort(cohort).with_resolution(resolution_of(mpp, force_mpp))
    split = split_patients(table, settings.split, seed)
    card = card_for(settings, table, split, settings.name)
    card = replace(card, measures=measures, training={COMMAND: as_asked(context)})
    card = _calibrated(card, measured)
    with training_folder(out, ("state.safetensors", "model.safetensors"), resume=resume):
        _say_split(console, split, given=any(case.split for case in table.cases))
        display = TrainingDisplay(console, settings.epochs)
        with display.shown():
            result = train_model(
                table.of_patients(split["train"]),
                table.of_patients(split["validation"]),
                settings,
                card,
                out=out,
                seed=seed,
                resume=resume,
                report=_report(display, settings.name),
            )
    say(
        console,
        f"{out / 'model.safetensors'}: from epoch {result.best_epoch} of {len(result.epochs)}",
        f"curves: {out / 'curves.png'}",
    )


def crossvalidate(
    context: typer.Context,
    cohort: CohortFile,
    out: Out,
    folds: Folds = 5,
    config: Config = None,
    seed: Seed = 0,
    cell_um: CellUm = 200.0,
    precision: Precision = "auto",
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
    resume: Resume = False,
) -> None:
    """Train a network a fold and judge every slide by the one that never saw its patient.

    Writes OUT/fold-<k>/model.safetensors, the out-of-fold maps OUT/maps/<slide>/, OUT/metrics.json
    and OUT/report.html.
    """
    from model.cohort import read_cohort
    from model.crossvalidate import fold_splits, train_folds
    from model.measure import Question

    from .calibrating import judge_folds
    from .measuring import slides_of
    from .tasks import MapSettings
    from .training_display import TrainingDisplay

    settings, console = load_config(config), Console()
    question = Question(
        settings.classes, settings.foreground, settings.labels, cell_um, settings.objects
    )
    table = read_cohort(cohort).with_resolution(resolution_of(mpp, force_mpp))
    slides_of(table.cases)
    maps = MapSettings(precision=precision)
    with training_folder(out, tuple(f"fold-{k}" for k in range(folds)), resume=resume):
        display = TrainingDisplay(console, settings.epochs)
        with display.shown():
            done = train_folds(
                table,
                settings,
                fold_splits(table, settings, folds, seed),
                out=out,
                seed=seed,
                resume=resume,
                report=lambda index: _report(display, f"fold {index + 1} of {folds}"),
            )
        measured = judge_folds(
            done, out, question, console, maps, seed=seed, command=as_asked(context)
        )
    raise typer.Exit(0 if measured == len(table.cases) else 1)


def load_config(config: Path | None) -> "TrainConfig":
    """Settings from a TOML file or from those of a shipped model; the defaults for None.

    Raises:
        UsageError: no such file and no such model, or settings that make no sense.
    """
    from model.config import SHIPPED_CONFIGS, TrainConfig

    if config is None:
        return TrainConfig()
    shipped = SHIPPED_CONFIGS / f"{config}.toml"
    return TrainConfig.from_toml(shipped if not config.exists() and shipped.is_file() else config)


def _calibrated(card: "ModelCard", measured: Path | None) -> "ModelCard":
    """The card with the calibration that a cross-validation's metrics.json holds, if any."""
    from model.calibrate import Calibration

    if measured is None:
        return card
    try:
        stated = json.loads(measured.read_text(encoding="utf-8")).get("calibration")
        return Calibration.from_json(stated).on(card) if stated else card
    except ValueError as error:
        raise UsageError(f"--measured {measured}: {error}") from error


def _read_measures(option: str, path: Path) -> dict[str, object]:
    from model.evaluate import headline

    try:
        return headline(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{option} {path}: not the metrics.json of Extent: {error}") from error


def _say_split(console: Console, split: "Mapping[str, Sequence[str]]", *, given: bool) -> None:
    parts = ", ".join(f"{len(patients)} {name}" for name, patients in split.items())
    say(console, f"patients: {parts} ({'as the cohort says' if given else 'drawn from the seed'})")


def _report(display: "TrainingDisplay", name: str) -> "TrainReport":
    from model.trainer import TrainReport

    return TrainReport(
        step=lambda epoch, step, steps: display.step(name, epoch, step, steps),
        epoch=lambda row: display.epoch(name, row),
    )
