"""Scaled probabilities: fitted on maps, built into a network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint import load_checkpoint
from model.metrics import Histogram
from model.network import Probabilities
from model.scaling import VALUES, Scaling, best_threshold


def honest(seed: int, pixels: int = 200_000) -> Histogram:
    """A slide whose stored values are as often tumour as they say."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.beta(0.5, 0.9, pixels) * 255).astype(int)
    tumour = rng.random(pixels) < values / 255
    return np.stack([np.bincount(values[tumour == side], minlength=256) for side in (False, True)])


def distorted(found: Histogram, by: Scaling) -> Histogram:
    """The same pixels with values that are scaled."""
    values = np.round(by.on(VALUES) * 255).astype(int)
    out = np.zeros_like(found)
    for side in (0, 1):
        np.add.at(out[side], values, found[side])
    return out


def test_honest_probabilities_are_left_alone() -> None:
    found = Scaling.fitted([honest(seed) for seed in range(3)], 2)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert found.offset == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("by", [Scaling(0.5, 0.0), Scaling(1.0, 1.0), Scaling(0.7, 0.8)])
def test_what_was_distorted_is_set_right(by: Scaling) -> None:
    found = Scaling.fitted([distorted(honest(seed), by) for seed in range(3)], 2)
    middle = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(found.on(by.on(middle)), middle, atol=0.03)


def test_slides_count_alike() -> None:
    by = Scaling(1.0, 1.0)
    large, small = honest(0, 400_000), distorted(honest(1, 4_000), by)
    both = Scaling.fitted([large, small], 2)
    assert -0.9 < both.offset < -0.2


def test_more_classes_have_an_offset_alone() -> None:
    found = Scaling.fitted([distorted(honest(0), Scaling(0.5, 1.0))], 3)
    assert found.temperature == 1 and found.offset < -0.3


@given(st.floats(0.3, 3), st.floats(-2, 2))
def test_the_order_of_probabilities_stays(temperature: float, offset: float) -> None:
    scaled = Scaling(temperature, offset).on(VALUES)
    assert (np.diff(scaled) >= 0).all() and scaled[0] > 0 and scaled[-1] < 1


def test_a_network_can_have_it_built_in(random_model: Path) -> None:
    found, by = load_checkpoint(random_model), Scaling(1.4, -0.6)
    patches = torch.randint(0, 256, (1, 128, 128, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = Probabilities(found.network)(patches)[0, 1].numpy()
        after = Probabilities(by.built_into(found.network, 1))(patches)[0, 1].numpy()
        again = Probabilities(found.network)(patches)[0, 1].numpy()
    np.testing.assert_array_equal(before, again)
    logits = np.log(before / (1 - before)) / by.temperature + by.offset
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_the_best_threshold_tells_classes_apart() -> None:
    found = np.zeros((2, 256), np.int64)
    found[0, :100], found[1, 100:] = 10, 10
    assert 99 / 255 < best_threshold([found, found]) < 100 / 255
    assert best_threshold([honest(0)]) < 0.5, "overlap wants what is doubtful"
