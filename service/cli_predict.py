"""`extent predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from .cli_options import (
    ForceMpp,
    Model,
    Mpp,
    Precision,
    compiled_models,
    complain,
    resolution_of,
)
from .interrupts import resumable

if TYPE_CHECKING:
    from .predict import Request
    from .tasks import SlideOutcome

Slides = Annotated[
    list[Path],
    typer.Argument(
        metavar="SLIDE|FOLDER|LIST...",
        help="Slides, folders of slides, DICOM folders, lists (.txt, a path a line) or cohorts "
        "(.csv with a column `slide`).",
    ),
]
Out = Annotated[Path, typer.Option(help="The folder for the results.")]
Window = Annotated[
    int | None,
    typer.Option(
        min=1, help="Longest side of what is written at a time, in the model's pixels [3584]."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Runtime = Annotated[Literal["auto", "torch", "openvino"], typer.Option(help="What computes.")]
Threshold = Annotated[
    float | None,
    typer.Option(help="Probability above which a place is tumour; by default the model's own."),
]
MinRegion = Annotated[
    float, typer.Option("--min-region-mm2", help="Leave out regions smaller than this.")
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Look coarsely first and skip tissue without a sign of tumour. What that may miss "
        "is checked and stated.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A Dask scheduler to work on; beyond this machine only tls://."
    ),
]
Tls = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The certificates for --cluster; see `extent certificates`."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Slides worked on at once [one for every four cores]."),
]


def predict(
    slides: Slides,
    model: Model,
    out: Out,
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
    window: Window = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    threshold: Threshold = None,
    min_region_mm2: MinRegion = 0.0,
    adaptive: Adaptive = False,
    cluster: Cluster = None,
    tls: Tls = None,
    workers: Workers = None,
) -> None:
    """Map the tumour's extent on slides.

    Each slide's result is written to OUT/<name>/, as a whole or not at all, and a row to
    OUT/slides.csv. The same command run again goes on where it was stopped and leaves finished
    slides alone. Exit code: 0 all done, 1 some slides failed, 2 wrong usage.
    """
    left = (
        f"Finished slides are in {out}; run the same command again and it goes on where it stopped"
    )
    with resumable(left):
        from .inputs import find_slides
        from .predict import Request
        from .tasks import MapSettings

        settings = MapSettings(
            device=device,
            runtime=runtime,
            precision=precision,
            window=window,
            threshold=threshold,
            min_region_mm2=min_region_mm2,
            adaptive=adaptive,
        )
        resolution = resolution_of(mpp, force_mpp)
        found = find_slides(slides)
        request = Request(
            found, model, out, settings, resolution, cluster, workers, tls, compiled_models()
        )
        raise typer.Exit(_run(request))


def _run(request: "Request") -> int:
    """Do the batch on this terminal; returns the exit code."""
    from .predict import predict as predict_batch
    from .progress import display_for

    console = Console()
    result = predict_batch(request, display_for(console, len(request.slides)))
    _print_table(console, request.out, result.outcomes)
    _warn_of_unlike(result.outcomes)
    for outcome in result.failed:
        complain(f"{outcome.name} failed: {outcome.reason}")
    if result.table_error:
        complain(f"slides.csv is not up to date: {result.table_error}")
    return 1 if result.failed or result.table_error else 0


def _warn_of_unlike(outcomes: Sequence["SlideOutcome"]) -> None:
    """Name the slides whose figures may be far off, and why."""
    found = [(o.name, o.familiarity) for o in outcomes]
    unlike = [(name, of.reason) for name, of in found if of and of.is_unlike]
    if not unlike:
        return
    count = "1 slide is" if len(unlike) == 1 else f"{len(unlike)} slides are"
    complain(
        f"{count} unlike those that the model was measured on; what it says there may be wrong"
    )
    for name, reason in unlike:
        complain(f"{name}: {reason}")


def _print_table(console: Console, out: Path, outcomes: Sequence["SlideOutcome"]) -> None:
    """Where the pictures are, and the areas."""
    from .results import OVERLAY_FILE

    rows = [
        (
            outcome.name,
            f"{outcome.tumour_area_mm2:.4g}{outcome.within}",
            str(out / outcome.name / OVERLAY_FILE),
        )
        for outcome in outcomes
        if outcome.tumour_area_mm2 is not None
    ]
    if not rows:
        return
    rows.insert(0, ("slide", "tumour mm²", "picture"))
    name, area = (max(len(row[column]) for row in rows) for column in (0, 1))
    for row in rows:
        line = f"{row[0]:<{name}}  {row[1]:>{area}}  {row[2]}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
