"""One slide's stored map against what its expert drew: counts that figures are made of later."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from annotations.errors import CheckpointError, ResultError, UsageError
from annotations.labels import LabelRules
from tiling.appearance import Appearance
from tiling.frame import Box
from tiling.maps import StoredMap
from tiling.slide import Slide
from tiling.tissue import find_tissue
from tiling.trace import to_level0

from . import metrics
from .area_interval import AreaInterval
from .boundary import BoundaryDistance, boundary_distance
from .cells import CellLayout, CellSums
from .checkpoint import ModelCard
from .cohort import Case
from .froc import LESION_CELL_UM, LesionHits
from .labelled import IGNORED, ExpertLabels
from .metrics import Counts, Histogram
from .object_rules import ObjectRules
from .object_scores import ObjectSums
from .objects import find_objects
from .stored import StoredResult

STRIP_PIXELS = 1 << 22  # of the map that are looked at together
BOUNDARY_PIXELS = 1 << 24  # larger maps are thinned out before distances are taken
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Question:
    """What maps are compared with: outlines of `foreground`, read by `rules`; cells of `cell_um`.

    `classes` are the model's, the background first; `objects`: how the foreground falls into
    objects, None where it does not.
    """

    classes: tuple[str, ...]
    foreground: str
    rules: LabelRules
    cell_um: float = 200.0
    objects: ObjectRules | None = None

    def __post_init__(self) -> None:
        if not 0 < self.cell_um < float("inf"):
            raise UsageError(f"--cell-um {self.cell_um:g}: cells need a size above 0 µm")

    @classmethod
    def of_card(cls, card: ModelCard, cell_um: float = 200.0) -> Self:
        """What a model was trained to answer."""
        try:
            stated = card.training.get("config", {}).get("labels")
            rules = LabelRules() if stated is None else LabelRules(**{**stated, **_tuples(stated)})
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{card.name}: its card's label rules make no sense: {error}"
            ) from error
        return cls(card.classes, card.classes[card.foreground], rules, cell_um, card.objects)


def _tuples(stated: dict[str, object]) -> dict[str, object]:
    """JSON's lists as the tuples they were."""
    return {
        name: tuple(value) if isinstance(value, list) else {k: tuple(v) for k, v in value.items()}
        for name, value in stated.items()
        if isinstance(value, list | dict)
    }


@dataclass(frozen=True)
class SlideMeasures:
    """What is known of one slide; figures of any group of slides follow from it.

    `histogram`: labelled tissue pixels by stored value, row 1 the expert's tumour; int64 [2, 256].
    `cell_scores`, `cell_truth`: float64 [n] in 0-1 and bool [n], a value a cell.
    `map_area_mm2`: tumour on the whole map as its summary says, unlabelled places included;
    `area_interval`: what the summary says the expert's lies within; `appearance`: what it says the
    slide looks like. `objects`: None where the foreground does not fall into objects.
    """

    slide: str
    patient: str
    threshold: float
    pixel_mm2: float
    histogram: Histogram
    cell_scores: npt.NDArray[np.float64]
    cell_truth: Mask
    boundary: BoundaryDistance
    lesions: LesionHits
    map_area_mm2: float
    area_interval: AreaInterval | None
    appearance: Appearance | None = None
    objects: ObjectSums | None = None

    @property
    def counts(self) -> Counts:
        """Labelled tissue pixels: tp, fp, fn, tn; float64 [4]."""
        return metrics.counts_above(self.histogram, self.threshold)

    @property
    def cell_counts(self) -> Counts:
        return metrics.counts_of(self.cell_truth, self.cell_scores > self.threshold)

    @property
    def dice(self) -> float | None:
        """None on a slide without tumour: see `false_positive_mm2` there."""
        return float(metrics.dice(self.counts)) if self.histogram[1].any() else None

    @property
    def expert_area_mm2(self) -> float:
        return float(self.histogram[1].sum()) * self.pixel_mm2

    @property
    def tumour_area_mm2(self) -> float:
        """On labelled tissue, to lie beside the expert's."""
        tp, fp, _, _ = self.counts
        return float(tp + fp) * self.pixel_mm2

    @property
    def false_positive_mm2(self) -> float:
        return float(self.counts[1]) * self.pixel_mm2

    @property
    def labelled_mm2(self) -> float:
        return float(self.histogram.sum()) * self.pixel_mm2


def measure_slide(case: Case, result: Path, question: Question) -> SlideMeasures:
    """Compare a slide's result with its outlines; the network is not run.

    Looks at labelled tissue: where the expert judged, on tissue or within the expert's tumour.
    Cells, lesions and distances look wherever the expert judged. The map is read in strips.

    Raises:
        ResultError: no result there, broken, or of another slide. SlideError, OutlineError: the
        slide or its outlines cannot be read. UsageError: cells smaller than a map pixel.
    """
    stored = StoredResult.read(result)
    with Slide.open(case.slide) as opened, stored.open_map() as values:
        slide = replace(opened, mpp=stored.mpp_level0)
        if stored.slide != slide.name:
            raise ResultError(f"{result}: is the result of {stored.slide}, not of {slide.name}")
        return _SlidePass(case, slide, stored, question).over(values)


class _SlidePass:
    """One walk over a map."""

    def __init__(self, case: Case, slide: Slide, stored: StoredResult, question: Question) -> None:
        frame = stored.frame
        self._case, self._stored, self._frame = case, stored, frame
        self._foreground = question.classes.index(question.foreground)
        self._rules = question.objects
        self._expert = ExpertLabels(
            case, slide, frame, classes=question.classes, rules=question.rules
        )
        self._tissue = find_tissue(slide, frame, output_stride=1)
        self._cells = CellSums(
            CellLayout.over(frame, stored.mpp_level0, question.cell_um, self._expert.region.grid)
        )
        self._lesion_cell_um = max(LESION_CELL_UM, *frame.mpp)
        self._lesion_cells = CellSums(
            CellLayout.over(frame, stored.mpp_level0, self._lesion_cell_um, None)
        )
        self._histogram = np.zeros(512, np.int64)
        self._every = max(1, int(np.ceil((frame.box.area / BOUNDARY_PIXELS) ** 0.5)))
        self._thinned: list[tuple[Mask, Mask, Mask]] = []

    def over(self, values: StoredMap) -> SlideMeasures:
        frame, stored = self._frame, self._stored
        rows = max(1, STRIP_PIXELS // frame.width)
        for y in range(0, frame.height, rows):
            strip = Box(0, y, frame.width, min(rows, frame.height - y))
            self._add(strip, values.read(strip))
        scores, truth = self._cells.judged()
        tumour, said, known = (np.concatenate(parts) for parts in zip(*self._thinned, strict=True))
        spacing = (frame.mpp[0] * self._every, frame.mpp[1] * self._every)
        return SlideMeasures(
            slide=stored.slide,
            patient=self._case.patient,
            threshold=stored.threshold,
            pixel_mm2=frame.pixel_area_mm2,
            histogram=self._histogram.reshape(2, 256),
            cell_scores=scores,
            cell_truth=truth,
            boundary=boundary_distance(tumour, said, known, spacing),
            lesions=LesionHits.of_cells(*self._lesion_cells.grid(), self._lesion_cell_um),
            map_area_mm2=stored.tumour_area_mm2,
            area_interval=stored.area_interval,
            appearance=stored.appearance,
            objects=self._objects(values, self._rules) if self._rules else None,
        )

    def _objects(self, values: StoredMap, rules: ObjectRules) -> ObjectSums:
        found = find_objects(values.read, self._frame, self._stored.threshold, rules)
        said = to_level0([region.polygon for region in found], self._frame)
        expert = self._expert.polygons_of(self._foreground)
        return ObjectSums.of(
            [polygon for polygon in expert if self._expert.judged(polygon)],
            [polygon for polygon in said if self._expert.judged(polygon)],
            self._frame,
        )

    def _add(self, strip: Box, values: npt.NDArray[np.uint8]) -> None:
        labels = self._expert.labels(strip)
        tumour, known = labels == self._foreground, labels != IGNORED
        tissue = self._tissue.on(self._frame, strip)
        looked = known & (tissue | tumour)
        pairs = values[looked] + 256 * tumour[looked].astype(np.int64)
        self._histogram += np.bincount(pairs, minlength=512)
        for cells in (self._cells, self._lesion_cells):
            cells.add(strip, values, known, tumour)
        said = values / 255 > self._stored.threshold
        rows = slice((self._every // 2 - strip.y) % self._every, None, self._every)
        columns = slice(self._every // 2, None, self._every)
        self._thinned.append((tumour[rows, columns], said[rows, columns], known[rows, columns]))
