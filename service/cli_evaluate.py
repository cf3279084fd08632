"""`extent evaluate`."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from .cli_options import ForceMpp, Model, Mpp, complain, resolution_of, say
from .cli_train import CellUm, CohortFile, Out

Split = Annotated[
    Literal["train", "validation", "test"], typer.Option(help="Of the model's own cohort.")
]
IncludeSeen = Annotated[
    bool,
    typer.Option("--include-seen", help="Measure patients the model was trained or tuned on too."),
]


def evaluate(
    cohort: CohortFile,
    model: Model,
    out: Out,
    split: Split = "test",
    cell_um: CellUm = 200.0,
    include_seen: IncludeSeen = False,
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
) -> None:
    """Measure a model on slides that experts outlined: OUT/metrics.json and OUT/report.html.

    On the cohort it was made from, the patients of --split; on any other, all of them. Patients
    that the model was trained or tuned on are left out and named.
    """
    from model.checkpoint import read_card
    from model.cohort import read_cohort
    from model.measure import Question
    from model.selection import select_cases

    from .inputs import find_model
    from .measuring import MAPS, map_cases, slides_of, write_measures
    from .training_folder import writing_folder

    console = Console()
    path, resolution = find_model(model), resolution_of(mpp, force_mpp)
    card, table = read_card(path), read_cohort(cohort).with_resolution(resolution)
    question = Question.of_card(card, cell_um)
    selection = select_cases(table, card, split, include_seen)
    slides_of(selection.cases)
    if selection.left_out:
        complain(f"left out, for the model has seen them: {', '.join(selection.left_out)}")
    say(console, f"measuring {len(selection.cases)} slides with {card.name}")
    with writing_folder(out):
        mapped = map_cases(selection.cases, str(path), out / MAPS, console)
        measured = write_measures(mapped, out, question, console, seed=0, selection=selection)
    raise typer.Exit(0 if measured == len(selection.cases) else 1)
