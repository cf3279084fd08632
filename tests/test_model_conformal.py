"""Contours and intervals: what split conformal prediction promises."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from annotations.errors import CheckpointError
from model.conformal import (
    NOTHING,
    Contours,
    contours_in,
    contours_of,
    fewest_patients,
    inner_value,
    outer_value,
)
from model.metrics import Histogram

FOUND = Contours(outer=60, inner=200, patients=20, kind="guaranteed")


@dataclass(frozen=True)
class Slide:
    patient: str
    histogram: Histogram


def histogram(beside: dict[int, int], tumour: dict[int, int]) -> Histogram:
    """Pixels of each stored value: without tumour, and of tumour."""
    out = np.zeros((2, 256), np.int64)
    for row, counts in enumerate((beside, tumour)):
        for value, count in counts.items():
            out[row, value] = count
    return out


def drawn(rng: np.random.Generator) -> Histogram:
    """A patient: how well tumour and the rest are told apart differs from one to the other."""
    level, spread = rng.normal(0, 25), rng.uniform(20, 60)
    values = [rng.normal(centre + level, spread, 400) for centre in (60, 190)]
    return np.stack([np.bincount(v.clip(0, 255).astype(int), minlength=256) for v in values])


def slides(histograms: Sequence[Histogram]) -> list[Slide]:
    return [Slide(f"p{number}", found) for number, found in enumerate(histograms)]


def test_the_outer_value_holds_as_much_tumour_as_asked_for() -> None:
    found = histogram({200: 50}, {10: 10, 100: 10, 200: 80})
    assert outer_value(found, 0.2) == 200  # 80 of 100
    assert outer_value(found, 0.19) == 100
    assert outer_value(found, 0.05) == 10
    assert outer_value(histogram({}, {0: 30, 200: 70}), 0.2) == 0
    assert outer_value(histogram({5: 10}, {}), 0.2) == 256, "there is nothing to be held"


def test_the_inner_value_is_passed_by_little_that_is_no_tumour() -> None:
    found = histogram({100: 10, 200: 5}, {100: 30, 200: 45})
    assert inner_value(found, 0.2) == 0  # 15 of 90 lie beside
    assert inner_value(found, 0.1) == 101  # 5 of 50
    assert inner_value(found, 0.09) == 201
    assert inner_value(histogram({255: 1}, {}), 0.2) == NOTHING


def test_the_inner_value_holds_for_all_further_shrinking() -> None:
    found = histogram({250: 5}, {100: 100, 240: 100, 255: 1})
    assert inner_value(found, 0.1) == 251, "from 241 to 250 most is no tumour"


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 0.5]))
def test_what_values_promise(seed: int, slack: float) -> None:
    found = drawn(np.random.default_rng(seed))
    outer, inner = outer_value(found, slack), inner_value(found, slack)
    assert found[1, outer:].sum() >= (1 - slack) * found[1].sum()
    assert found[1, outer + 1 :].sum() < (1 - slack) * found[1].sum()
    for value in range(inner, 256):
        assert found[0, value:].sum() <= slack * found[:, value:].sum() + 1e-6


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_contours_enclose_what_is_predicted(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    found = contours_of(slides([drawn(rng) for _ in range(12)]), threshold, "approximate")
    assert isinstance(found, Contours)
    predicted = np.arange(256) / 255 > threshold
    assert not (np.arange(256) >= found.inner)[~predicted].any()
    assert (np.arange(256) >= found.outer)[predicted].all()
    for other in (0.0, 0.3, 0.999):
        outer, inner = found.around(other)
        above = np.flatnonzero(np.arange(256) / 255 > other)
        assert outer <= above.min() and inner >= above.min()
        assert outer <= found.outer and inner >= found.inner


def test_a_patient_counts_once_as_the_worst_slide() -> None:
    good, bad = histogram({10: 90}, {200: 10}), histogram({250: 90}, {3: 10})
    patients = slides([good] * 9)
    assert contours_of(patients, 0.5, "guaranteed") == Contours(128, 128, 9, "guaranteed")
    found = contours_of([*patients, Slide("p0", bad)], 0.5, "guaranteed")
    assert found == Contours(3, 251, 9, "guaranteed"), "of nine patients the worst decides"
    many = contours_of([*slides([good] * 19), Slide("p0", bad)], 0.5, "guaranteed")
    assert many == Contours(128, 128, 19, "guaranteed"), "one of nineteen may fail"


def test_too_few_patients_make_no_interval() -> None:
    assert fewest_patients(0.1) == 9 and fewest_patients(0.05) == 19
    found = contours_of(slides([drawn(np.random.default_rng(0))] * 8), 0.5, "guaranteed")
    assert found == "8 patients are too few for an interval, which takes 9"


def test_tumour_that_no_threshold_finds_makes_no_interval() -> None:
    missed = histogram({10: 90}, {0: 10})
    found = contours_of(slides([missed] * 9), 0.5, "guaranteed")
    assert isinstance(found, str) and "too little of the tumour" in found


def test_coverage_follows_its_beta_law() -> None:
    """Calibrate on 19 patients, look at 200 others, 300 times over (Vovk 2012)."""
    rng = np.random.default_rng(7)
    kept: list[list[bool]] = []
    shares: list[float] = []
    for _ in range(300):
        found = contours_of(slides([drawn(rng) for _ in range(19)]), 0.5, "guaranteed")
        assert isinstance(found, Contours)
        others = [drawn(rng) for _ in range(200)]
        held = [h[1, found.outer :].sum() >= (1 - found.slack) * h[1].sum() for h in others]
        shares.append(float(np.mean(held)))
        kept.append([covers(found, h) for h in others])
    law = stats.beta(18, 2)  # rank 18 of 19
    assert abs(np.mean(shares) - law.mean()) < 4 * law.std() / 300**0.5 + 0.01
    assert np.mean(kept) >= found.level - 0.01


def covers(found: Contours, h: Histogram) -> bool:
    """Whether the interval holds the expert's area, in pixels."""
    pixels = h.sum(axis=0)
    low, high = found.interval_mm2(pixels[found.outer :].sum(), pixels[found.inner :].sum())
    return bool(low <= h[1].sum() <= high)


def test_the_card_keeps_contours() -> None:
    assert contours_in({"contours": FOUND.to_json()}) == FOUND
    assert contours_in({"contours": None, "no_contours": "for a reason"}) == "for a reason"
    assert "never measured" in str(contours_in({}))


@pytest.mark.parametrize(
    "wrong", [3, {}, {"outer": 3}, {"outer": 0}, {"inner": 20}, {"kind": "sure"}, {"missed": 0.7}]
)
def test_a_card_of_nonsense_is_refused(wrong: object) -> None:
    stated = {**FOUND.to_json(), **wrong} if isinstance(wrong, dict) and wrong else wrong
    if wrong == {"outer": 3}:
        stated = {"outer": 3}
    with pytest.raises(CheckpointError, match="contours"):
        contours_in({"contours": stated})


def test_levels_are_those_of_both_sides() -> None:
    assert FOUND.level == 0.8 and replace(FOUND, missed=0.05).level == 0.9
    assert FOUND.interval_mm2(10.0, 5.0) == (4.0, 12.5)
