"""Warps: each part moves pixels and labels as it says."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from model.labelled import IGNORED
from model.warp import Warp

SIDE, CROP, STRIDE = 160, 128, 4
ROOM = SIDE - CROP
KNOTS = 5
STILL: dict[str, Any] = {
    "angle": 0.0,
    "size": 1.0,
    "stretch": 1.0,
    "shift": np.zeros(2),
    "bend": np.zeros((2, KNOTS, KNOTS)),
}


def picture() -> npt.NDArray[np.uint8]:
    """Smooth and without symmetry; uint8 [3, SIDE, SIDE]."""
    noise = np.random.default_rng(5).normal(0, 1, (3, SIDE, SIDE))
    smooth = ndimage.gaussian_filter(noise, 4, axes=(1, 2))
    return np.clip(128 + smooth * 700, 0, 255).astype(np.uint8)


def warped(**parts: Any) -> npt.NDArray[np.float32]:
    found = Warp.of(SIDE, CROP, **(STILL | parts)).pixels(torch.from_numpy(picture()))
    assert found.shape == (3, CROP, CROP) and found.dtype == torch.float32
    return np.asarray(found)


def middle(dx: int = 0, dy: int = 0) -> npt.NDArray[np.uint8]:
    """The crop in the middle of the picture, moved."""
    x, y = ROOM // 2 + dx, ROOM // 2 + dy
    return picture()[:, y : y + CROP, x : x + CROP]


def test_without_parts_it_is_the_middle() -> None:
    assert np.allclose(warped(), middle(), atol=0.1)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns(quarters: int) -> None:
    found = warped(angle=quarters * np.pi / 2)
    assert np.allclose(found, np.rot90(middle(), quarters, (1, 2)), atol=0.1)


def test_a_shift_is_a_share_of_the_room_on_each_side() -> None:
    found = warped(shift=np.array([0.5, -0.25]))
    assert np.allclose(found, middle(ROOM // 4, -ROOM // 8), atol=0.1)


def test_a_bend_moves_by_its_pixels_and_is_smooth_between_knots() -> None:
    bend = np.zeros((2, KNOTS, KNOTS))
    bend[0], bend[1] = 6, -3
    assert np.allclose(warped(bend=bend), middle(6, -3), atol=0.1)
    bend[0] = np.linspace(-8, 8, KNOTS)
    found = warped(bend=bend).mean(0)
    assert float(np.abs(np.diff(found, axis=1)).max()) < 3 * float(
        np.abs(np.diff(middle().mean(0).astype(float), axis=1)).max()
    )


@pytest.mark.parametrize(("size", "stretch"), [(1.25, 1.0), (0.8, 1.0), (1.0, 1.15), (0.9, 0.9)])
def test_size_and_stretch_are_factors_on_what_the_crop_covers(size: float, stretch: float) -> None:
    found = warped(size=size, stretch=stretch)
    along = np.arange(CROP) + 0.5 - CROP / 2
    x = along * size * stretch + SIDE / 2 - 0.5
    y = along * size / stretch + SIDE / 2 - 0.5
    inside = (x >= 0) & (x < SIDE - 1), (y >= 0) & (y < SIDE - 1)
    for plane, original in zip(found, picture(), strict=True):
        want = ndimage.map_coordinates(
            original.astype(float), np.meshgrid(y, x, indexing="ij"), order=1
        )
        known = np.ix_(inside[1], inside[0])
        assert np.allclose(plane[known], want[known], atol=0.1)


def test_outside_is_white_and_not_judged() -> None:
    warp = Warp.of(SIDE, CROP, **(STILL | {"size": 2.0}))
    pixels = warp.pixels(torch.zeros((3, SIDE, SIDE), dtype=torch.uint8)).numpy()
    labels = warp.labels(np.ones((SIDE // STRIDE, SIDE // STRIDE), np.uint8), STRIDE)
    blocks = pixels[0].reshape(CROP // STRIDE, STRIDE, CROP // STRIDE, STRIDE).mean((1, 3))
    assert set(np.unique(labels)) == {1, IGNORED}
    assert (labels[blocks > 254] == IGNORED).all() and (labels[blocks < 1] == 1).all()


def test_labels_are_looked_up_at_the_middle_of_their_pixels() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, (SIDE // STRIDE, SIDE // STRIDE)).astype(np.uint8)
    inner = ROOM // 2 // STRIDE
    found = Warp.of(SIDE, CROP, **STILL).labels(labels, STRIDE)
    assert (found == labels[inner:-inner, inner:-inner]).all()
