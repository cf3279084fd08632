"""Variation that must not change the answer: place, turn, size, shape, stain, focus.

Geometry is one resampling of a crop larger than needed, so that what turns in from outside is
real tissue; colour is varied in optical density, where stains add up (Ruifrok & Johnston 2001,
Tellez et al. 2018).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .labelled import IGNORED

# Optical density of haematoxylin, eosin and the remainder (Ruifrok & Johnston 2001)
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
MARGIN = 1.25  # side of what is read / side of the crop


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches one off.

    `warp`: share of crops that are rotated, resized and bent (all are mirrored and turned by
    quarters). `rotation_degrees`, `resize`, `stretch` (largest factor - 1), `deformation`
    (standard deviation of the displacement in input pixels, smooth over about 64 of them).
    `stain`, `brightness`: standard deviations of factors on optical density. `blur`, `white`:
    shares of crops that are defocused, or lose squares to white as background left out would
    (and are not judged there).
    """

    warp: float = 0.5
    rotation_degrees: float = 180.0
    resize: float = 0.25
    stretch: float = 0.15
    deformation: float = 4.0
    stain: float = 0.15
    brightness: float = 0.1
    blur: float = 0.15
    white: float = 0.3


def source_side(crop: int, stride: int) -> int:
    """Side in input pixels of what must be read for a crop: a multiple of the stride."""
    return -(-int(crop * MARGIN) // (2 * stride)) * 2 * stride


def augment(
    image: Tensor, labels: Tensor, crop: int, settings: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One varied crop from the middle of a larger piece.

    Args:
        image: uint8 [S, S, 3], S >= crop.
        labels: uint8 [S/s, S/s] at the output stride s.

    Returns:
        float32 [3, crop, crop] in 0-255 and int64 [crop/s, crop/s].
    """
    stride = image.shape[0] // labels.shape[0]
    picture = image.permute(2, 0, 1).float()[None]
    marks = labels.float()[None, None]
    if rng.random() < settings.warp:
        picture, marks = _warped(picture, marks, crop, stride, settings, rng)
    else:
        picture, marks = _moved(picture, marks, crop, stride, rng)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    picture, marks = (torch.rot90(t, turns, (2, 3)) for t in (picture, marks))
    if mirrored:
        picture, marks = picture.flip(3), marks.flip(3)
    picture = _stained(picture[0], settings, rng)
    if rng.random() < settings.blur:
        picture = _blurred(picture, rng.uniform(0.5, 1.5))
    targets = marks[0, 0].long()
    if rng.random() < settings.white:
        _whiten(picture, targets, stride, rng)
    return picture, targets


def _moved(
    picture: Tensor, marks: Tensor, crop: int, stride: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    room = (picture.shape[2] - crop) // stride
    y, x = (int(v) for v in rng.integers(0, room + 1, 2))
    side = crop // stride
    return (
        picture[:, :, y * stride : y * stride + crop, x * stride : x * stride + crop],
        marks[:, :, y : y + side, x : x + side],
    )


def _warped(
    picture: Tensor,
    marks: Tensor,
    crop: int,
    stride: int,
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Rotate, resize, stretch and bend by one lookup grid; what lies outside is not judged."""
    angle = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees))
    size = np.exp(rng.uniform(-1, 1) * np.log1p(settings.resize))
    stretch = np.exp(rng.uniform(-1, 1) * np.log1p(settings.stretch))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([size * stretch, size / stretch]) * (crop / picture.shape[2])
    shift = rng.uniform(-0.5, 0.5, 2) * (1 - crop / picture.shape[2])
    theta = torch.tensor(np.column_stack([matrix, shift]), dtype=torch.float32)[None]
    grid = F.affine_grid(theta, [1, 1, crop, crop], align_corners=False)
    knots = max(4, crop // 64)
    bend = rng.normal(0, settings.deformation * 2 / picture.shape[2], (1, 2, knots, knots))
    bent = F.interpolate(torch.tensor(bend, dtype=torch.float32), (crop, crop), mode="bicubic")
    grid = grid + bent.permute(0, 2, 3, 1)
    coarse = F.avg_pool2d(grid.permute(0, 3, 1, 2), stride).permute(0, 2, 3, 1)
    warped = 255 - F.grid_sample(255 - picture, grid, mode="bilinear", align_corners=False)
    known = IGNORED - F.grid_sample(IGNORED - marks, coarse, mode="nearest", align_corners=False)
    return warped, known.round()


def _stained(picture: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """Vary the amount of each stain and the light; float32 [3, h, w] in 0-255."""
    factors = np.exp(rng.normal(0, settings.stain, 3))
    mix = np.linalg.inv(STAINS) @ np.diag(factors) @ STAINS
    mix = (mix * np.exp(rng.normal(0, settings.brightness, 3))).T  # colour channels drift apart too
    density = -torch.log((picture + 1) / 256)
    varied = torch.tensor(mix, dtype=torch.float32) @ density.reshape(3, -1)
    return (256 * torch.exp(-varied) - 1).clamp_(0, 255).reshape(picture.shape)


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    padded = F.pad(picture[None], (3, 3, 3, 3), mode="reflect")
    rows = F.conv2d(padded, kernel, groups=3)
    return F.conv2d(rows, kernel.transpose(2, 3), groups=3)[0]


def _whiten(picture: Tensor, targets: Tensor, stride: int, rng: np.random.Generator) -> None:
    """Blank a few squares, in place: hard white edges say nothing about tumour."""
    side = targets.shape[0]
    for _ in range(int(rng.integers(1, 8))):
        h = w = int(rng.integers(side // 16 + 1, side // 4 + 2))
        y, x = (int(v) for v in rng.integers(0, side, 2))
        targets[y : y + h, x : x + w] = IGNORED
        picture[:, y * stride : (y + h) * stride, x * stride : (x + w) * stride] = 255
