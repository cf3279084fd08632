"""Training crops: a slide, its outlines and where they count, cut out and varied on demand."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from annotations.errors import CohortError
from tiling.frame import Box
from tiling.tissue import TissueMask, find_tissue

from .augment import Variation
from .cohort import Case
from .config import TrainConfig
from .labelled import IGNORED, ExpertLabels, Labels
from .pieces import Piece, PieceReader
from .shelf import Shelf

CELL_MAP_PIXELS = 16  # places to sample from are kept as cells of this many map pixels a side


class LabelledSlide:
    """A slide with its labels, on the model's frame and on the map's (output stride)."""

    def __init__(self, case: Case, config: TrainConfig, shelf: Shelf | None = None) -> None:
        self.case, self._config = case, config
        self._shelf = shelf or Shelf()
        stride = config.network.output_stride
        with self._shelf.lent(case) as slide:
            self.model_frame = slide.frame(config.mpp)
            self.map_frame = self.model_frame.coarser(stride)
            self._expert = ExpertLabels(
                case,
                slide,
                self.map_frame,
                classes=config.classes,
                rules=config.labels,
                objects=config.objects,
            )
            self.tissue: TissueMask = find_tissue(slide, self.model_frame, output_stride=stride)
        self.cells = self._cells_by_class()
        self._pieces = PieceReader(self._read, stride, self._shelf.pieces)

    def labels(self, box: Box) -> Labels:
        """Class indices over a box of map pixels, IGNORED where nobody said; uint8 [h, w]."""
        return self._expert.labels(box)

    @property
    def _band_half(self) -> int:
        """Half-width of the ignored band in map pixels."""
        return round(self._config.ignore_band_um / self.map_frame.mpp[0])

    def with_band(self, labels: Labels) -> Labels:
        """Labels with the band along class borders set to IGNORED."""
        half = self._band_half
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

    def crop(self, centre_map: tuple[int, int], side: int) -> Piece:
        """A square of `side` model pixels around a map pixel; the band is ignored."""
        side_map = side // self._config.network.output_stride
        x, y = (centre - side_map // 2 for centre in centre_map)
        return self._pieces.piece(Box(x, y, side_map, side_map))

    def _read(self, box: Box) -> Piece:
        stride, band = self._config.network.output_stride, self._band_half
        inputs = Box(*(v * stride for v in (box.x, box.y, box.width, box.height)))
        with self._shelf.lent(self.case) as slide:
            pixels = slide.read(self.model_frame, inputs)
        labels = self.with_band(self.labels(box.padded(band)))
        return Piece(pixels, labels[band : band + box.height, band : band + box.width])


@dataclass(frozen=True)
class Batch:
    """uint8 [N, crop, crop, 3] and int64 [N, crop/s, crop/s]."""

    patches: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Loading:
    """How crops are made: on so many threads, so many batches ahead of the one asked for."""

    threads: int
    ahead: int

    @classmethod
    def beside(cls, device: torch.device) -> Self:
        """What suits training on a device; on as many threads as torch uses.

        The processor's own steps use all of its cores, whose threads wait for each other: whatever
        runs beside them on one core holds up all. So it makes a batch on all of them, then steps.
        """
        return cls(torch.get_num_threads(), ahead=0 if device.type == "cpu" else 3)


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

    def varied(self, index: int) -> Piece:
        """The training crop of a number: equal numbers give equal crops."""
        rng = np.random.default_rng((self._seed, index))
        config = self._config
        slide, (x, y) = self._draw(rng)
        variation = Variation.drawn(
            config.augmentation, config.crop, config.network.output_stride, rng
        )
        dx, dy = variation.shift
        return variation.applied(slide.crop((x + dx, y + dy), variation.side))

    def plain(self, index: int) -> Piece:
        """The same without variation, for validation."""
        slide, centre = self._draw(np.random.default_rng((self._seed, index)))
        return slide.crop(centre, self._config.crop)

    def batches(self, first: int, count: int, loading: Loading) -> Iterator[Batch]:
        """`count` batches from crop number `first` on."""
        size = self._config.batch
        with ThreadPoolExecutor(
            loading.threads,
            thread_name_prefix="extent-crops",
            initializer=torch.set_num_threads,
            initargs=(1,),
        ) as pool:
            begun: deque[list[Future[Piece]]] = deque()
            for start in range(first, first + count * size, size):
                begun.append([pool.submit(self.varied, n) for n in range(start, start + size)])
                if len(begun) > loading.ahead:
                    yield stack([crop.result() for crop in begun.popleft()])
            for crops in begun:
                yield stack([crop.result() for crop in crops])


def stack(crops: Sequence[Piece]) -> Batch:
    """Crops as one batch."""
    return Batch(
        torch.from_numpy(np.stack([crop.pixels for crop in crops])),
        torch.from_numpy(np.stack([crop.labels for crop in crops])).long(),
    )


def open_cases(
    cases: Sequence[Case], config: TrainConfig, shelf: Shelf | None = None
) -> list[LabelledSlide]:
    """Slides with their labels; a slide or outline file that fails stops with its name."""
    shelf = shelf or Shelf()
    return [LabelledSlide(case, config, shelf) for case in cases]
