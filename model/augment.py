"""Variation that must not change the answer: place, turn, size, shape, stain, focus.

What is done to a crop is drawn before a pixel is read, so that no more is read than it takes.
Geometry is one resampling of a piece larger than the crop where it warps, so that what turns in
from outside is real tissue, and none where it does not.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .labelled import IGNORED, Labels
from .optics import blur, restain, stain_mix
from .pieces import Piece
from .warp import Warp

MARGIN = 1.25  # side of the piece that crops are taken from / side of the crop
Pixels = npt.NDArray[np.uint8]  # [h, w, 3]
Square = tuple[int, int, int]  # x, y, side in map pixels


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches one off.

    `warp`: share of crops that are rotated, resized and bent (all are mirrored and turned by
    quarters). `rotation_degrees`, `resize`, `stretch` (largest factor - 1), `deformation`
    (standard deviation of the displacement in input pixels, smooth over about 64 of them).
    `stain`, `brightness`, `density`: standard deviations of the logarithms of factors on optical
    density: one for each stain, one for each colour, one for all (thicker sections, longer
    staining). `blur`, `white`: shares of crops that are defocused, or lose squares to white as
    background left out would (and are not judged there).
    """

    warp: float = 0.5
    rotation_degrees: float = 180.0
    resize: float = 0.25
    stretch: float = 0.15
    deformation: float = 4.0
    stain: float = 0.15
    brightness: float = 0.1
    density: float = 0.25
    blur: float = 0.15
    white: float = 0.3


@dataclass(frozen=True)
class Variation:
    """What is done to one crop.

    `side`: side in input pixels of the piece to read, whose centre lies `shift` map pixels (x, y)
    from the place that was drawn; larger than the crop where there is a `warp`. `turns` by
    quarters, then `mirrored`. `mix`: see `restain`. `blur_sigma` in input pixels, 0 leaves it
    sharp. `blanks`: squares to whiten.
    """

    crop: int
    stride: int
    side: int
    shift: tuple[int, int]
    warp: Warp | None
    turns: int
    mirrored: bool
    mix: Tensor
    blur_sigma: float
    blanks: tuple[Square, ...]

    @classmethod
    def drawn(
        cls, settings: Augmentation, crop: int, stride: int, rng: np.random.Generator
    ) -> Self:
        """A variation of crops of `crop` input pixels, with labels at `stride`, at random."""
        side, shift, warp = source_side(crop, stride), (0, 0), None
        if rng.random() < settings.warp:
            warp = _drawn_warp(settings, side, crop, rng)
        else:
            room = (side - crop) // stride
            y, x = (int(v) - room // 2 for v in rng.integers(0, room + 1, 2))
            side, shift = crop, (x, y)
        return cls(
            crop=crop,
            stride=stride,
            side=side,
            shift=shift,
            warp=warp,
            turns=int(rng.integers(4)),
            mirrored=bool(rng.integers(2)),
            mix=stain_mix(
                np.exp(rng.normal(0, settings.stain, 3)),
                np.exp(rng.normal(0, settings.brightness, 3) + rng.normal(0, settings.density)),
            ),
            blur_sigma=rng.uniform(0.5, 1.5) if rng.random() < settings.blur else 0.0,
            blanks=_drawn_blanks(crop // stride, rng) if rng.random() < settings.white else (),
        )

    def applied(self, piece: Piece) -> Piece:
        """The varied crop of a piece of `side` input pixels; new arrays."""
        planes, labels = torch.from_numpy(piece.pixels).permute(2, 0, 1), piece.labels
        if self.warp is None:
            varied = planes.to(torch.float32, memory_format=torch.contiguous_format)
        else:
            varied, labels = self.warp.pixels(planes), self.warp.labels(labels, self.stride)
        varied = restain(varied, self.mix)
        if self.blur_sigma:
            varied = blur(varied, self.blur_sigma)
        picture = np.empty((self.crop, self.crop, 3), np.uint8)
        turned = self._turned(varied.round_().numpy())
        for channel in range(3):
            picture[..., channel] = turned[channel]
        targets = np.array(self._turned(labels))
        self._whiten(picture, targets)
        return Piece(picture, targets)

    def _turned(self, planes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """[..., h, w] seen turned and mirrored; no copy."""
        turned = np.rot90(planes, self.turns, (-2, -1))
        return turned[..., ::-1] if self.mirrored else turned

    def _whiten(self, picture: Pixels, targets: Labels) -> None:
        """Blank squares, in place: hard white edges say nothing about tumour."""
        s = self.stride
        for x, y, side in self.blanks:
            targets[y : y + side, x : x + side] = IGNORED
            picture[y * s : (y + side) * s, x * s : (x + side) * s] = 255


def source_side(crop: int, stride: int) -> int:
    """Side in input pixels of the piece that a crop is taken from: a multiple of the stride."""
    return -(-int(crop * MARGIN) // (2 * stride)) * 2 * stride


def _drawn_warp(settings: Augmentation, side: int, crop: int, rng: np.random.Generator) -> Warp:
    knots = max(4, crop // 64)
    return Warp.of(
        side,
        crop,
        angle=np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees)),
        size=np.exp(rng.uniform(-1, 1) * np.log1p(settings.resize)),
        stretch=np.exp(rng.uniform(-1, 1) * np.log1p(settings.stretch)),
        shift=rng.uniform(-0.5, 0.5, 2),
        bend=rng.normal(0, settings.deformation, (2, knots, knots)),
    )


def _drawn_blanks(side: int, rng: np.random.Generator) -> tuple[Square, ...]:
    """A few squares over a map of `side` pixels; they may reach beyond its end."""
    blanks = []
    for _ in range(int(rng.integers(1, 8))):
        length = int(rng.integers(side // 16 + 1, side // 4 + 2))
        y, x = (int(v) for v in rng.integers(0, side, 2))
        blanks.append((x, y, length))
    return tuple(blanks)
