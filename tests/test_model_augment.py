"""Variation: the same by seed, labels where their tissue is, white stays white."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.augment import Augmentation, Variation, source_side
from model.labelled import IGNORED
from model.pieces import Piece
from tiling.frame import Box

CROP, STRIDE = 128, 4
SIDE = source_side(CROP, STRIDE)
STILL = Augmentation(
    warp=0, rotation_degrees=0, resize=0, stretch=0, deformation=0, stain=0, brightness=0,
    density=0, blur=0, white=0,
)  # fmt: skip
WARPED = replace(STILL, warp=1, rotation_degrees=180, resize=0.25, stretch=0.15, deformation=4)


def disc(radius: float = 30.0) -> Piece:
    """A dark disc off the middle of a pale field; labels 1 on it, by pixel centre."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.hypot(x - SIDE * 0.45, y - SIDE * 0.55) < radius
    image = np.where(inside[..., None], (90, 40, 120), (240, 225, 235)).astype(np.uint8)
    middle = STRIDE // 2
    return Piece(image, inside[middle::STRIDE, middle::STRIDE].astype(np.uint8))


def flat(grey: int, label: int, side: int = SIDE) -> Piece:
    """One colour and one label throughout."""
    return Piece(
        np.full((side, side, 3), grey, np.uint8),
        np.full((side // STRIDE, side // STRIDE), label, np.uint8),
    )


def applied(piece: Piece, settings: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
    """A varied crop around the middle of a piece: float32 [3, CROP, CROP] and its labels."""
    variation = Variation.drawn(settings, CROP, STRIDE, np.random.default_rng(seed))
    side = variation.side // STRIDE
    x, y = (piece.labels.shape[0] // 2 + shift - side // 2 for shift in variation.shift)
    varied = variation.applied(piece.part(Box(x, y, side, side)))
    return torch.from_numpy(varied.pixels).permute(2, 0, 1).float(), torch.from_numpy(varied.labels)


def varied(settings: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
    return applied(disc(), settings, seed)


def overlap(picture: Tensor, labels: Tensor) -> float:
    """Dice of the labels and of what is dark in the picture, where labels are known."""
    dark = torch.nn.functional.avg_pool2d(picture[None], STRIDE)[0].mean(0) < 160
    known = labels != IGNORED
    marked = (labels == 1) & known
    return float(2 * (dark & marked).sum() / ((dark & known).sum() + marked.sum()))


def test_what_comes_out() -> None:
    variation = Variation.drawn(replace(WARPED, white=1), CROP, STRIDE, np.random.default_rng(0))
    crop = variation.applied(disc())
    assert crop.pixels.shape == (CROP, CROP, 3) and crop.pixels.dtype == np.uint8
    assert crop.labels.shape == (CROP // STRIDE, CROP // STRIDE) and crop.labels.dtype == np.uint8
    assert set(np.unique(crop.labels)) == {0, 1, IGNORED}


def test_what_a_piece_holds_is_not_changed() -> None:
    for seed in range(10):
        piece, before = disc(), disc()
        applied(piece, replace(Augmentation(), white=1), seed)
        assert (piece.pixels == before.pixels).all() and (piece.labels == before.labels).all()


def test_no_more_is_read_than_the_crop_unless_it_warps() -> None:
    rng = np.random.default_rng(0)
    assert {Variation.drawn(STILL, CROP, STRIDE, rng).side for _ in range(9)} == {CROP}
    assert {Variation.drawn(WARPED, CROP, STRIDE, rng).side for _ in range(9)} == {SIDE}


def test_crops_lie_anywhere_in_what_could_be_read() -> None:
    rng = np.random.default_rng(0)
    shifts = np.array([Variation.drawn(STILL, CROP, STRIDE, rng).shift for _ in range(400)])
    room = (SIDE - CROP) // STRIDE
    for along in shifts.T:
        assert set(along) == set(range(-(room // 2), room - room // 2 + 1))


def test_a_seed_gives_one_crop_and_another_seed_another() -> None:
    crops = [varied(Augmentation(), seed) for seed in (7, 7, 8)]
    assert torch.equal(crops[0][0], crops[1][0]) and torch.equal(crops[0][1], crops[1][1])
    assert not torch.equal(crops[0][0], crops[2][0])


@pytest.mark.parametrize(
    "settings", [STILL, WARPED, Augmentation()], ids=["moved", "warped", "all"]
)
def test_labels_follow_the_image(settings: Augmentation) -> None:
    found = [overlap(*varied(settings, seed)) for seed in range(40)]
    assert min(found) > 0.9 and float(np.mean(found)) > 0.95


def test_the_overlap_test_can_fail() -> None:
    picture, labels = varied(STILL, 1)
    assert overlap(picture, labels.roll(4, 0)) < 0.9
    assert overlap(picture.flip(2), labels) < 0.9


def test_nothing_varies_when_all_is_switched_off_but_place_turn_and_mirror() -> None:
    colours = {tuple(c) for c in disc().pixels.reshape(-1, 3).tolist()}
    for seed in range(8):
        picture, _ = varied(STILL, seed)
        found = {tuple(c) for c in picture.round().int().reshape(3, -1).T.tolist()}
        assert found == colours


def test_every_turn_and_mirror_comes_up() -> None:
    """Eight of them, told by where a mark in the corner and its neighbour end up."""
    piece = flat(255, 0)
    corner = (SIDE - CROP) // 2 // STRIDE
    piece.labels[corner, corner], piece.labels[corner, corner + 1] = 1, 2
    seen = set()
    for seed in range(80):
        still = Variation.drawn(STILL, CROP, STRIDE, np.random.default_rng(seed))
        centred = piece.part(Box(corner, corner, CROP // STRIDE, CROP // STRIDE))
        turned = still.applied(centred).labels
        seen.add((*np.argwhere(turned == 1)[0], int(turned.argmax())))
    assert len(seen) == 8


@pytest.mark.parametrize("settings", [Augmentation(stain=0.5, brightness=0.5, density=0.5), WARPED])
def test_white_stays_white(settings: Augmentation) -> None:
    for seed in range(20):
        assert (applied(flat(255, 0), settings, seed)[0] == 255).all()


def test_stain_varies_colour_and_keeps_what_is_darker_darker() -> None:
    colours = set()
    for seed in range(10):
        picture, labels = varied(replace(STILL, stain=0.15, brightness=0.1), seed)
        small = torch.nn.functional.avg_pool2d(picture[None], STRIDE)[0].mean(0)
        assert float(small[labels == 1].mean()) < float(small[labels == 0].mean())
        colours.add(tuple(picture[:, labels.repeat_interleave(4, 0).repeat_interleave(4, 1) == 1]
                          .mean(1).round().int().tolist()))  # fmt: skip
    assert len(colours) == 10


def test_density_varies_for_all_colours_alike() -> None:
    colour, factors = np.array([90, 40, 120]), []
    piece = Piece(np.full((SIDE, SIDE, 3), colour, np.uint8), flat(90, 1).labels)
    for seed in range(50):
        picture = applied(piece, replace(STILL, density=0.2), seed)[0]
        factor = np.log((picture[:, 5, 5].numpy() + 1) / 256) / np.log((colour + 1) / 256)
        assert np.ptp(factor) < 0.03  # rounding
        factors.append(factor.mean())
    assert np.log(factors).std() == pytest.approx(0.2, rel=0.3)


def test_what_turns_in_from_outside_is_not_judged() -> None:
    """Beyond what was read a crop is white, which is no tissue of the slide's."""
    unknown = 0
    for seed in range(20):
        picture, targets = applied(flat(90, 1), replace(WARPED, resize=0.6), seed)
        white = torch.nn.functional.max_pool2d(-picture[:1], STRIDE)[0] < -250  # all of its pixels
        assert (targets[white] == IGNORED).all()
        assert set(targets.unique().tolist()) <= {1, IGNORED}
        unknown += int((targets == IGNORED).sum())
    assert unknown > 0


def test_blanked_squares_are_white_and_not_judged() -> None:
    for seed in range(10):
        picture, targets = varied(replace(STILL, white=1), seed)
        blank = (targets == IGNORED).repeat_interleave(4, 0).repeat_interleave(4, 1)
        assert blank.any() and (picture[:, blank] == 255).all()


def test_blur_keeps_the_mean_and_takes_the_edges() -> None:
    sharp, soft = (varied(replace(STILL, blur=share), 2)[0] for share in (0, 1))
    assert float(soft.mean()) == pytest.approx(float(sharp.mean()), rel=0.01)
    steps = [float(p.diff(dim=2).abs().max()) for p in (sharp, soft)]
    assert steps[1] < 0.7 * steps[0]


@pytest.mark.parametrize(("crop", "stride"), [(64, 2), (512, 4), (100, 4), (384, 16)])
def test_what_is_read_is_larger_and_whole_strides(crop: int, stride: int) -> None:
    side = source_side(crop, stride)
    assert side >= 1.2 * crop and side % (2 * stride) == 0
