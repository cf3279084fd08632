"""Drawn slides with one difficulty each: what a model for tumour may fail at, for its page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.outline import Outline

from .frame import Box
from .synthetic import DrawnSlide
from .synthetic_files import PyramidPlan, write_pyramid
from .synthetic_layout import Blob, Kind, Layout, Stroke, draw_blob
from .synthetic_look import Look

_MPP = 4.0
_SIDE = 800  # pixels
_SEED = 11
_CELL = 50  # pixels of a block that is left out
_STAINED = Look(
    haematoxylin=(0.325, 0.35, 0.145),
    eosin=(0.09, 0.61, 0.31),
    ink=(0.9, 0.9, 0.9),
    white=(244.0, 244.0, 244.0),
    gamma=1.0,
    blur_um=1.0,
    noise=0.008,
    quality=85,
)


@dataclass(frozen=True)
class HardSlide:
    """A drawn slide; `words` say what is difficult about it. `left_out`: boxes painted white."""

    name: str
    title: str
    words: str
    drawn: DrawnSlide
    left_out: tuple[Box, ...] = ()

    def render(self, box: Box) -> NDArray[np.uint8]:
        """RGB uint8 [h, w, 3] of level-0 pixels."""
        rgb = self.drawn.render(box)
        for block in self.left_out:
            part = block.intersection(box)
            if part.area:
                rgb[part.y - box.y : part.bottom - box.y, part.x - box.x : part.right - box.x] = 255
        return rgb

    def outlines(self) -> list[Outline]:
        """The tumour, in level-0 pixels."""
        return self.drawn.outlines()

    def write(self, path: Path) -> None:
        """A generic tiled TIFF with its µm/px; equal slides give equal bytes."""
        drawn = self.drawn
        plan = PyramidPlan(drawn.width, drawn.height, drawn.mpp, (1, 2), drawn.quality)
        write_pyramid(path, plan, self.render)


def hard_slides() -> list[HardSlide]:
    """The first has no difficulty: what the others are to be compared with."""
    plain = _slide(_TISSUE, _TUMOUR, *_AROUND)
    return [
        HardSlide("plain", "Nothing difficult", "One tumour, evenly stained.", plain),
        HardSlide(
            "dark",
            "A very densely stained tumour",
            "The same tumour, its nuclei four times as dark.",
            _slide(_TISSUE, replace(_TUMOUR, darkness=4.0), *_AROUND),
        ),
        HardSlide(
            "benign",
            "No tumour",
            "Lobules, a crowd of small benign glands and lymphocytes.",
            _slide(_TISSUE, *_BENIGN, *_AROUND),
        ),
        HardSlide(
            "needle",
            "Needle biopsies",
            "Three cores 0.75 mm wide; the tumour takes part of the middle one.",
            _needles(),
        ),
        *_spoilt(plain),
    ]


def _spoilt(plain: DrawnSlide) -> list[HardSlide]:
    """The first slide as other hands and scanners would have made it."""
    return [
        HardSlide(
            "stain",
            "A strong stain",
            "The first slide, everything stained two and a half times as strongly.",
            replace(plain, look=replace(_STAINED, gamma=2.5)),
        ),
        HardSlide(
            "artefacts",
            "Pen and folds",
            "The first slide with a pen's line and two folds across the tumour.",
            replace(plain, layout=replace(plain.layout, pen=_PEN, folds=_FOLDS)),
        ),
        HardSlide(
            "blur",
            "Out of focus",
            "The first slide, blurred by 16 µm.",
            replace(plain, look=replace(_STAINED, blur_um=16.0)),
        ),
        HardSlide(
            "left-out",
            "White blocks",
            "The first slide with squares of 0.2 mm left out, as some publishers leave out glass.",
            plain,
            _blocks(),
        ),
    ]


def _blob(kind: Kind, x: float, y: float, radius: float, aspect: float = 1.0) -> Blob:
    """At parts of the usual slide's side; `radius` in µm. Its waves follow from where it lies."""
    side = _SIDE * _MPP
    rng = np.random.default_rng([int(1000 * x), int(1000 * y)])
    drawn = draw_blob(rng, kind, x * side, y * side, radius)
    return replace(drawn, aspect=aspect, darkness=1.0, angle=0.0)


_TISSUE = (_blob(Kind.SCAR, 0.5, 0.5, 1400),)
_TUMOUR = _blob(Kind.TUMOUR, 0.38, 0.42, 700)
_AROUND = (
    _blob(Kind.FAT, 0.75, 0.3, 350),
    _blob(Kind.DUCT, 0.62, 0.52, 120),
    _blob(Kind.DUCT, 0.7, 0.66, 100),
)
_BENIGN = (
    _blob(Kind.LOBULE, 0.35, 0.35, 380),
    _blob(Kind.ADENOSIS, 0.4, 0.7, 400),
    _blob(Kind.LYMPHOID, 0.68, 0.75, 200),
)
_PEN = (Stroke(500, 2300, 2300, 700, 160),)
_FOLDS = (Stroke(700, 700, 1900, 2100, 70), Stroke(1500, 500, 1300, 2400, 60))


def _slide(tissue: tuple[Blob, ...], *blobs: Blob) -> DrawnSlide:
    return DrawnSlide(_SEED, _SIDE, _SIDE, _MPP, Layout(tissue, blobs, (), ()), _STAINED)


def _needles() -> DrawnSlide:
    cores = tuple(_blob(Kind.SCAR, 0.5, y, 720, aspect=1.9) for y in (0.2, 0.5, 0.8))
    return _slide(cores, _blob(Kind.TUMOUR, 0.3, 0.5, 550))


def _blocks() -> tuple[Box, ...]:
    """A tenth of the slide's cells, in no order."""
    count = _SIDE // _CELL
    drawn: Sequence[Sequence[int]] = np.argwhere(
        np.random.default_rng(_SEED).random((count, count)) < 0.1
    ).tolist()
    return tuple(Box(x * _CELL, y * _CELL, _CELL, _CELL) for y, x in drawn)
