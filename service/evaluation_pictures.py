"""A slide with the expert's outline and the model's, to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from model.cohort import Case
from model.labelled import load_outlines
from model.measure import Question
from model.objects import find_objects
from model.stored import StoredResult
from tiling.draw import BRIGHT, DARK, Colour, Paths, Points, paint, rounded, strokes
from tiling.frame import Frame
from tiling.resample import RGB
from tiling.sheet import Card, ScaleBar
from tiling.slide import Slide
from tiling.trace import to_level0

LONGEST_SIDE = 900
MODEL: Colour = (86, 180, 233)
DASH, GAP = 9.0, 6.0  # picture pixels
HALO_WIDTH, LINE_WIDTH = 4.6, 2.2  # picture pixels


def draw_comparison(
    case: Case, result: Path, question: Question, caption: str, longest_side: int = LONGEST_SIDE
) -> RGB:
    """The slide with the model's outline (solid, blue) and the expert's (dashed, yellow).

    uint8 [h, w, 3], `longest_side` pixels wide or high at most.

    Raises:
        ResultError, SlideError, OutlineError: from what lies on disk.
    """
    stored = StoredResult.read(result)
    with Slide.open(case.slide, case.resolution) as slide:
        picture, downsample = slide.overview(longest_side)
        bounds = slide.bounds_level0
        outlines = load_outlines(case, slide, question.rules)
    frame = Frame(
        origin_level0=(float(bounds.x), float(bounds.y)),
        downsample=downsample,
        mpp=(stored.mpp_level0[0] * downsample[0], stored.mpp_level0[1] * downsample[1]),
        width=picture.shape[1],
        height=picture.shape[0],
    )
    picture = picture.copy()
    own = _model_rings(stored, question, frame)
    expert = [o.polygon for o in outlines if o.label == question.foreground]
    dashes = [dash for ring in _rings(expert, frame) for dash in dashed(ring, DASH, GAP)]
    for lines, colour in ((own, MODEL), (Paths.joined(dashes), BRIGHT)):
        halo, line = strokes([lines], (frame.width, frame.height), (HALO_WIDTH, LINE_WIDTH))
        paint(picture, halo, DARK, 0.7)
        paint(picture, line, colour)
    card = Card(picture)
    card.scale_bar(ScaleBar.fitting(frame.mpp[0], max(picture.shape[1] / 4, 160)))
    card.words(caption)
    return card.pixels


def _model_rings(stored: StoredResult, question: Question, frame: Frame) -> Paths:
    with stored.open_map() as values:
        regions = find_objects(values.read, stored.frame, stored.threshold, question.objects)
    cut = np.array(stored.frame.downsample) / frame.downsample / 2
    rings = _rings(to_level0([region.polygon for region in regions], stored.frame), frame)
    return rounded(Paths.joined(rings), cut)


def _rings(polygons_level0: Sequence[shapely.Polygon], frame: Frame) -> list[Points]:
    """Closed rings in the frame's pixels, holes too."""
    origin = np.array(frame.origin_level0)
    return [
        (shapely.get_coordinates(ring) - origin) / frame.downsample
        for ring in shapely.get_rings(polygons_level0)
    ]


def dashed(ring: Points, dash: float, gap: float) -> list[Points]:
    """A closed ring as dashes along it: points [n, 2] in pixels; corners within a dash stay."""
    steps = np.hypot(*np.diff(ring, axis=0).T)
    along = np.concatenate([[0.0], steps.cumsum()])
    pieces = []
    for start in np.arange(0.0, along[-1], dash + gap):
        end = min(start + dash, along[-1])
        inner = (along > start) & (along < end)
        places = np.concatenate([[start], along[inner], [end]])
        columns = [np.interp(places, along, ring[:, axis]) for axis in (0, 1)]
        pieces.append(np.stack(columns, axis=1))
    return pieces
