"""What a model does on drawn slides with one difficulty each: pictures for its page."""

import tempfile
from pathlib import Path

from rich.console import Console

from annotations import write_outlines
from annotations.outline import TUMOUR
from model.card import ModelCard
from model.cohort import Case
from model.measure import Question, SlideMeasures
from tiling.images import jpeg
from tiling.slide_files import slide_name
from tiling.synthetic_hard import HardSlide, hard_slides

from .evaluation_pictures import draw_comparison
from .measuring import MAPS, map_cases, measured
from .model_page import Tried

SIDE = 560  # pixels of a picture


def try_drawn_slides(card: ModelCard, path: Path, console: Console) -> list[Tried]:
    """Draw the slides, map them with the model in the file `path` and look what comes out.

    None for a model that does not map tumour: there is nothing else to find on them.

    Raises:
        what predict raises.
    """
    question = Question.of_card(card)
    if question.foreground != TUMOUR:
        return []
    with tempfile.TemporaryDirectory(prefix="extent-drawn-") as scratch:
        folder = Path(scratch)
        hard = {each.name: each for each in hard_slides()}
        drawn = [_drawn(folder, each) for each in hard.values()]
        mapped = map_cases(drawn, str(path), folder / MAPS, console)
        cases, measures = measured(mapped, folder / MAPS, question)
        return [
            _tried(hard[slide_name(case.slide)], case, found, folder / MAPS, question)
            for case, found in zip(cases, measures, strict=True)
        ]


def _drawn(folder: Path, hard: HardSlide) -> Case:
    slide, outlines = folder / f"{hard.name}.tiff", folder / f"{hard.name}.geojson"
    hard.write(slide)
    write_outlines(outlines, hard.outlines(), format="qupath", mpp=hard.drawn.mpp)
    return Case(slide, outlines, patient=hard.name)


def _tried(
    hard: HardSlide, case: Case, found: SlideMeasures, maps: Path, question: Question
) -> Tried:
    picture = draw_comparison(case, maps / hard.name, question, "solid: model, dashed: drawn", SIDE)
    return Tried(
        hard.title,
        hard.words,
        jpeg(picture),
        drawn_mm2=found.expert_area_mm2,
        found_mm2=found.tumour_area_mm2,
        dice=found.dice,
    )
