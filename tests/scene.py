"""A slide with a map on it, written as a result."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.adaptive import Account
from model.card import ModelCard
from model.conformal import Contours
from model.known_looks import KnownLooks
from model.network_config import NetworkConfig
from model.object_rules import ObjectRules
from model.segment import ExtentMap
from service.report import ReportOptions, RunFacts, write_result
from tiling.appearance import Appearance
from tiling.canvas import Canvas
from tiling.frame import Box, Frame
from tiling.images import write_png
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.tissue import TissueMask

Values = NDArray[np.uint8]
MPP = 4 / 15.83  # so that a map at 4 µm/px lies at a downsample of 15.83
CLASSES = ("background", "tumour")
CONTOURS = Contours(outer=60, inner=200, patients=20, kind="approximate")
CALIBRATION = {"contours": CONTOURS.to_json(), "no_contours": ""}


@dataclass(frozen=True)
class Scene:
    """A slide with a map on it, by a model of a card with `calibration` and `objects`.

    `bounds` None: the whole plane was scanned. `adaptive`, `region_level0`: as ExtentMap has them.
    """

    size: tuple[int, int] = (1900, 1100)
    bounds: Box | None = None
    mpp: float = MPP
    classes: tuple[str, ...] = CLASSES
    calibration: Mapping[str, Any] = field(default_factory=dict)
    objects: ObjectRules | None = None
    adaptive: Account | None = None
    region_level0: Box | None = None
    facts: RunFacts = field(
        default_factory=lambda: RunFacts("slide-digest", "model-digest", lambda: 1.5)
    )

    @property
    def card(self) -> ModelCard:
        network = replace(NetworkConfig(), classes=len(self.classes))
        return ModelCard(
            "drawn",
            network,
            self.classes,
            1,
            4.0,
            calibration=self.calibration,
            objects=self.objects,
        )

    @contextmanager
    def slide(self, folder: Path) -> Iterator[Slide]:
        path = folder / "drawn.png"
        if not path.exists():
            write_png(path, _pink(*self.size))
        with Slide.open(path, Resolution(self.mpp)) as slide:
            bounds = self.bounds or slide.bounds_level0
            yield replace(slide, bounds_level0=bounds, flat=False)

    def frame(self, slide: Slide) -> Frame:
        return slide.frame(4.0)

    def write(
        self, folder: Path, planes: Values, options: ReportOptions | None = None, out: str = "out"
    ) -> dict[str, object]:
        """Put `planes` [classes - 1, h, w] on the map and write the result into folder / out."""
        with self.slide(folder) as slide, self.map(folder, slide, planes) as extent_map:
            (folder / out).mkdir()
            return write_result(
                folder / out, slide, extent_map, card=self.card, facts=self.facts, options=options
            )

    @contextmanager
    def map(self, folder: Path, slide: Slide, planes: Values) -> Iterator[ExtentMap]:
        frame = self.frame(slide)
        count, (height, width) = len(self.classes), (frame.height, frame.width)
        assert planes.shape == (count - 1, height, width)
        bounds = slide.bounds_level0
        extent = (bounds.width / frame.downsample[0], bounds.height / frame.downsample[1])
        tissue = TissueMask(frame, 1, np.ones((height, width), np.bool_), extent)
        folder = folder / "canvas"
        with Canvas.open(folder, key="k", planes=count, width=width, height=height) as canvas:
            background = 255 - planes.max(axis=0, keepdims=True)
            canvas.write(frame.box, np.concatenate([background, planes]))
            yield ExtentMap(
                frame, self.classes, 1, tissue, canvas, self.adaptive, self.region_level0
            )

    def empty(self, folder: Path) -> Values:
        with self.slide(folder) as slide:
            frame = self.frame(slide)
        return np.zeros((len(self.classes) - 1, frame.height, frame.width), np.uint8)


def known_like(look: Appearance, density: float = 1.0) -> dict[str, Any]:
    """A card's calibration with contours and 20 patients whose slides look like this one.

    But for their `density`, in multiples of its own.
    """
    rng = np.random.default_rng(7)
    looks = []
    for _ in range(20):
        factors = np.exp(rng.normal(0, 0.1, 5)) * (density, 1, 1, 1, 1)
        values = [v or 1.0 for v in look.to_json().values()]
        looks.append((Appearance(*map(float, values * factors)),))
    return {**CALIBRATION, "familiarity": KnownLooks(tuple(looks)).to_json()}


def _pink(width: int, height: int) -> Values:
    """Something that looks like stained tissue."""
    y, x = np.mgrid[:height, :width]
    grain = (x * 7 + y * 13) % 23
    return np.stack([220 - grain, 150 - grain, 190 - grain], axis=-1).astype(np.uint8)
