"""`extent demo`: the main job on drawn slides, each step a command that a user would type."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from annotations.errors import ExtentError

from .cli_options import say

SITES, SLIDES_PER_SITE, SEED = 4, 3, 1
Out = Annotated[Path, typer.Option(help="The folder for what comes out.")]


def demo(out: Out = Path("demo-output")) -> None:
    """Draw slides, train on their outlines, measure on slides of a site never seen, map one.

    Takes some minutes on two cores. Run again, it goes on where it was stopped.
    """
    from model.cohort import read_cohort
    from model.stored import MAP_FILE, SUMMARY_FILE

    from .evaluation_report import REPORT_FILE
    from .results import OUTLINE_FILE, OVERLAY_FILE

    console = Console()
    say(console, f"1. Drawing {SITES * SLIDES_PER_SITE} slides with outlines into {out / 'cohort'}")
    cohort = _drawn(out / "cohort", console)
    training, evaluation, prediction = (out / n for n in ("training", "evaluation", "prediction"))
    model = str(training / "model.safetensors")
    slide = next(case.slide for case in read_cohort(cohort).cases if case.split == "test")
    steps = (
        (
            "Training a network on the outlines",
            ("train", cohort, "--config", "demo", "--out", training, "--resume"),
        ),
        (
            "Measuring it on the slides of a site that it never saw",
            ("evaluate", cohort, "--model", model, "--out", evaluation),
        ),
        (
            "Mapping the tumour's extent on one of them",
            ("predict", slide, "--model", model, "--out", prediction),
        ),
    )
    for number, (what, command) in enumerate(steps, 2):
        arguments = [str(part) for part in command]
        say(console, "", f"{number}. {what}", f"   $ extent {shlex.join(arguments)}")
        _run(arguments)
    result = prediction / slide.stem
    say(
        console,
        "",
        "Look at:",
        f"  {result / OVERLAY_FILE}        the slide with the tumour's outline",
        f"  {result / OUTLINE_FILE}     the outline, for QuPath",
        f"  {result / SUMMARY_FILE}       its areas in mm²",
        f"  {result / MAP_FILE}   the map",
        f"  {evaluation / REPORT_FILE}    how good the network is",
        f"  {training / 'curves.png'}       how it learned",
    )


def _drawn(folder: Path, console: Console) -> Path:
    """The drawn cohort; what a finished earlier run drew is taken as it is."""
    from tiling.synthetic_cohort import CohortPlan, draw_cohort

    cohort = folder / "cohort.csv"  # written last
    if not cohort.exists():
        plan = CohortPlan(SITES, SLIDES_PER_SITE, SEED)
        bar = track(range(len(plan.recipes())), "drawing", console=console)
        ticks = iter(bar)
        next(ticks)

        def tick(done: int, total: int) -> None:
            next(ticks, None)

        draw_cohort(folder, sites=SITES, slides_per_site=SLIDES_PER_SITE, seed=SEED, progress=tick)
    return cohort


def _run(arguments: Sequence[str]) -> None:
    """Run one of Extent's own commands in this process.

    Raises:
        ExtentError: it failed, having said why.
    """
    from .cli import app

    code = app(arguments, standalone_mode=False, prog_name="extent")
    if code:
        raise ExtentError(f"the demo stopped: extent {arguments[0]} ended with exit code {code}")
