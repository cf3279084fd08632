"""`extent calibrate`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from annotations.errors import CohortError

from .cli_options import ForceMpp, Model, Mpp, complain, resolution_of, say
from .cli_train import CohortFile

OutFile = Annotated[
    Path, typer.Option(metavar="FILE.safetensors", help="The calibrated model to write.")
]


def calibrate(
    cohort: CohortFile, model: Model, out: OutFile, mpp: Mpp = None, force_mpp: ForceMpp = False
) -> None:
    """Have a model state an interval for the tumour's area, from patients that it never saw.

    Writes a copy of the model whose results carry contours and an interval that hold for patients
    like these. Their maps stay beside it, in a folder named FILE-maps.
    """
    from model.calibrate import Calibration
    from model.checkpoint import load_checkpoint, save_checkpoint
    from model.cohort import read_cohort
    from model.conformal import too_few
    from model.measure import Question
    from model.selection import select_cases

    from .inputs import find_model
    from .measuring import MAPS, map_cases, measured, slides_of
    from .training_folder import writing_folder

    console, path = Console(), find_model(model)
    found = load_checkpoint(path)
    table = read_cohort(cohort).with_resolution(resolution_of(mpp, force_mpp))
    selection = select_cases(table, found.card)
    slides_of(selection.cases)
    if selection.left_out:
        complain(f"left out, for the model has seen them: {', '.join(selection.left_out)}")
    if reason := too_few({case.patient for case in selection.cases}):
        raise CohortError(f"{cohort.name}: {reason}")
    folder = out.with_name(f"{out.stem}-maps")
    maps = folder / MAPS
    with writing_folder(folder):
        mapped = map_cases(selection.cases, str(path), maps, console)
        _, measures = measured(mapped, maps, Question.of_card(found.card))
        calibration = Calibration.of_card(found.card).with_contours(measures, "guaranteed")
        if calibration.contours is None:
            raise CohortError(f"{cohort.name}: no interval: {calibration.no_contours}")
        save_checkpoint(out, calibration.on(found.card), found.network)
    contours = calibration.contours
    say(
        console,
        f"{out}: intervals of {contours.level:.0%} from {contours.patients} patients",
        f"outer contour from probability {contours.outer / 255:.2f}, "
        f"inner from {contours.inner / 255:.2f}",
    )
    raise typer.Exit(0 if len(measures) == len(selection.cases) else 1)
