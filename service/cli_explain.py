"""`extent explain`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from annotations.errors import UsageError

from .cli_options import ForceMpp, Model, Mpp, resolution_of, say
from .interrupts import resumable

if TYPE_CHECKING:
    from tiling.frame import Box

SlideFile = Annotated[
    Path, typer.Argument(metavar="SLIDE", help="A slide file, DICOM folder, PNG or JPEG.")
]
Region = Annotated[
    str,
    typer.Option(metavar="X,Y,W,H", help="Left, top, width, height in level-0 pixels."),
]
Out = Annotated[Path, typer.Option(help="The folder for the explanations.")]


def explain(
    slide: SlideFile,
    model: Model,
    region: Region,
    out: Out,
    mpp: Mpp = None,
    force_mpp: ForceMpp = False,
) -> None:
    """Show why a model calls a region tumour, or does not.

    What in and around the region speaks for tumour and what against it: by putting stroma in its
    place, and by gradients, of haematoxylin and eosin apart. Written to OUT/<slide name>-X-Y-W-H/.
    """
    with resumable("Nothing was written; run the same command again"):
        from .explaining import PICTURE_FILE, Request, publish
        from .inputs import find_model

        console = Console()
        request = Request(
            slide, find_model(model), _box(region), out, resolution_of(mpp, force_mpp)
        )
        with _shown(console, slide.name) as progress:
            done = publish(request, progress)
        say(console, *done.sentences, f"picture: {done.folder / PICTURE_FILE}")


def _box(text: str) -> "Box":
    """The region that a user typed.

    Raises:
        UsageError: it is not four whole numbers.
    """
    from tiling.frame import Box

    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--region {text}: give X,Y,W,H, four whole numbers of level-0 pixels, "
            "as in --region 12000,8400,400,400"
        ) from None
    return Box(x, y, width, height)


@contextmanager
def _shown(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, lines elsewhere."""
    from .progress import Lines
    from .tasks import Update

    if console.is_terminal:
        with Progress(console=console) as bars:
            bar = bars.add_task(f"explaining {name}", total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)
    else:
        lines = Lines(console, 1)
        yield lambda done, total: lines.update(Update(name, "explaining", done, total))
