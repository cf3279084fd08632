"""Training crops: a slide, its outlines and where they count, cut out and varied on demand."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from annotations.errors import CohortError
from tiling.frame import Box
from tiling.slide import Slide
from tiling.tissue import TissueMask, find_tissue

from .augment import augment, source_side
from .cohort import Case
from .config import TrainConfig
from .labelled import IGNORED, ExpertLabels, Labels

CELL_MAP_PIXELS = 16  # places to sample from are kept as cells of this many map pixels a side


class Shelf:
    """Open slides, the last used: a cohort may have more than a process can hold open."""

    def __init__(self, places: int = 24) -> None:
        self._places = places
        self._open: OrderedDict[Case, Slide] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def lent(self, case: Case) -> Iterator[Slide]:
        """A case's slide, open within the context; one at a time.

        Raises:
            SlideError: it cannot be opened.
        """
        with self._lock:
            if case not in self._open:
                self._open[case] = Slide.open(case.slide, case.resolution)
            self._open.move_to_end(case)
            while len(self._open) > self._places:
                self._open.popitem(last=False)[1].close()
            yield self._open[case]

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


class LabelledSlide:
    """A slide with its labels, on the model's frame and on the map's (output stride)."""

    def __init__(self, case: Case, config: TrainConfig, shelf: "Shelf | None" = None) -> None:
        self.case, self._config = case, config
        self._shelf = shelf or Shelf()
        stride = config.network.output_stride
        with self._shelf.lent(case) as slide:
            self.model_frame = slide.frame(config.mpp)
            self.map_frame = self.model_frame.coarser(stride)
            self._expert = ExpertLabels(
                case, slide, self.map_frame, classes=config.classes, rules=config.labels
            )
            self.tissue: TissueMask = find_tissue(slide, self.model_frame, output_stride=stride)
        self.cells = self._cells_by_class()

    def labels(self, box: Box) -> Labels:
        """Class indices over a box of map pixels, IGNORED where nobody said; uint8 [h, w]."""
        return self._expert.labels(box)

    def with_band(self, labels: Labels) -> Labels:
        """Labels with the band along class borders set to IGNORED."""
        half = round(self._config.ignore_band_um / self.map_frame.mpp[0])
        if half < 1:
            return labels
        known = labels != IGNORED
        low = ndimage.minimum_filter(labels, 2 * half + 1)
        high = ndimage.maximum_filter(np.where(known, labels, 0), 2 * half + 1)
        return np.where(known & (low != high) & (low != IGNORED), IGNORED, labels).astype(np.uint8)

    def _cells_by_class(self) -> dict[int, npt.NDArray[np.int32]]:
        """Cells [n, 2] (x, y) that hold labelled tissue of a class, in map pixels / CELL."""
        side, found = CELL_MAP_PIXELS, {}
        columns = -(-self.map_frame.width // side)
        where: dict[int, list[tuple[int, int]]] = {}
        for row in range(-(-self.map_frame.height // side)):
            strip = Box(0, row * side, columns * side, side)
            labels = self.labels(strip)
            tissue = self.tissue.on(self.map_frame, strip)
            for value in range(len(self._config.classes)):
                hit = ((labels == value) & tissue).reshape(side, columns, side).any((0, 2))
                where.setdefault(value, []).extend((int(c), row) for c in np.flatnonzero(hit))
        for value, cells in where.items():
            if cells:
                found[value] = np.array(cells, np.int32)
        return found

    def crop(self, centre_map: tuple[int, int], side: int) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [side, side, 3] and labels uint8 [side/s, side/s] around a map pixel."""
        stride = self._config.network.output_stride
        half = side // stride // 2
        box = Box(centre_map[0] - half, centre_map[1] - half, side // stride, side // stride)
        inputs = Box(box.x * stride, box.y * stride, side, side)
        with self._shelf.lent(self.case) as slide:
            pixels = slide.read(self.model_frame, inputs)
        labels = self.with_band(self.labels(box))
        return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels)


@dataclass(frozen=True)
class Batch:
    """float32 [N, 3, crop, crop] in 0-255, channels last; int64 [N, crop/s, crop/s]."""

    patches: Tensor
    labels: Tensor


class CropSampler:
    """Crops drawn evenly over classes, then slides, then places; each from its own seed."""

    def __init__(self, slides: Sequence[LabelledSlide], config: TrainConfig, seed: int) -> None:
        self._slides, self._config, self._seed = slides, config, seed
        classes = range(len(config.classes))
        self._having = {c: [s for s in slides if c in s.cells] for c in classes}
        self._classes = [c for c in classes if self._having[c]]
        if not self._classes:
            raise CohortError("none of the slides has labelled tissue to cut crops from")

    @property
    def has_foreground(self) -> bool:
        """Whether any slide has an outline of a class."""
        return any(self._classes)

    def _draw(self, rng: np.random.Generator) -> tuple[LabelledSlide, tuple[int, int]]:
        value = self._classes[int(rng.integers(len(self._classes)))]
        slide = self._having[value][int(rng.integers(len(self._having[value])))]
        x, y = slide.cells[value][int(rng.integers(len(slide.cells[value])))]
        dx, dy = rng.integers(0, CELL_MAP_PIXELS, 2)
        return slide, (int(x) * CELL_MAP_PIXELS + int(dx), int(y) * CELL_MAP_PIXELS + int(dy))

    def varied(self, index: int) -> tuple[Tensor, Tensor]:
        """The training crop of a number: equal numbers give equal crops."""
        rng = np.random.default_rng((self._seed, index))
        config = self._config
        slide, centre = self._draw(rng)
        side = source_side(config.crop, config.network.output_stride)
        pixels, labels = slide.crop(centre, side)
        return augment(pixels, labels, config.crop, config.augmentation, rng)

    def plain(self, index: int) -> tuple[Tensor, Tensor]:
        """The same without variation, for validation."""
        rng = np.random.default_rng((self._seed, index))
        slide, centre = self._draw(rng)
        pixels, labels = slide.crop(centre, self._config.crop)
        return pixels.permute(2, 0, 1).float(), labels.long()

    def batches(self, first: int, count: int) -> Iterator[Batch]:
        """`count` batches from crop number `first` on, made ahead on a thread."""
        size = self._config.batch
        with ThreadPoolExecutor(
            1, thread_name_prefix="extent-crops", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            ahead: list[Future[Batch]] = []
            for number in range(count):
                start = first + number * size
                ahead.append(pool.submit(self._batch, range(start, start + size)))
                if len(ahead) > 2:
                    yield ahead.pop(0).result()
            for batch in ahead:
                yield batch.result()

    def _batch(self, numbers: range) -> Batch:
        return stack([self.varied(number) for number in numbers])


def stack(crops: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """Crops as one batch."""
    patches = torch.stack([patch for patch, _ in crops])
    return Batch(
        patches.contiguous(memory_format=torch.channels_last),
        torch.stack([labels for _, labels in crops]),
    )


def open_cases(
    cases: Sequence[Case], config: TrainConfig, shelf: Shelf | None = None
) -> list[LabelledSlide]:
    """Slides with their labels; a slide or outline file that fails stops with its name."""
    shelf = shelf or Shelf()
    return [LabelledSlide(case, config, shelf) for case in cases]
