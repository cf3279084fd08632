"""Measures from histograms: by hand, and against scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, brier_score_loss

from model import histograms as h


def counts(others: dict[int, int], tumour: dict[int, int]) -> npt.NDArray[np.int64]:
    histogram = np.zeros((2, 256), np.int64)
    for row, pixels in enumerate((others, tumour)):
        for value, number in pixels.items():
            histogram[row, value] = number
    return histogram


BY_HAND = counts({51: 6}, {51: 4, 255: 10})  # 51 / 255 = 0.2


def test_ece_by_hand() -> None:
    """Of 10 pixels at 0.2 there are 4 tumour, 2 too many; of 10 at 1 all are."""
    assert h.expected_calibration_error(BY_HAND) == pytest.approx(2 / 20)


def test_brier_by_hand() -> None:
    assert h.brier(BY_HAND) == pytest.approx((6 * 0.2**2 + 4 * 0.8**2) / 20)


def test_reliability_by_hand() -> None:
    tumour, said = h.tumour_in_bins(BY_HAND), h.said_in_bins(BY_HAND)
    assert np.flatnonzero(np.isfinite(tumour)).tolist() == [2, 14]
    assert tumour[[2, 14]].tolist() == pytest.approx([0.4, 1.0])
    assert said[[2, 14]].tolist() == pytest.approx([0.2, 1.0])


def test_fifteen_bins_of_equal_width_hold_what_lies_on_their_upper_border() -> None:
    said = h.said_in_bins(np.ones((2, 256)))
    assert said.shape == (h.BINS,)
    assert said[0] == pytest.approx(8.5 / 255) and said[1] == pytest.approx(26 / 255)
    assert said[14] == pytest.approx(247 / 255)


def test_within_a_bin_too_high_and_too_low_make_up_for_each_other() -> None:
    histogram = counts({52: 3, 68: 1}, {52: 1})  # five pixels of one bin, one of them tumour
    said = (4 * 52 + 68) / 255
    assert h.expected_calibration_error(histogram) == pytest.approx(abs(said - 1) / 5)


def test_nothing_to_look_at_is_undefined() -> None:
    nothing = counts({}, {})
    assert np.isnan(h.expected_calibration_error(nothing)) and np.isnan(h.brier(nothing))
    assert np.isnan(h.average_precision(counts({9: 3}, {})))


def test_many_slides_are_measured_at_once() -> None:
    both = h.expected_calibration_error(np.stack([BY_HAND, counts({0: 5}, {})]))
    assert both.tolist() == pytest.approx([0.1, 0.0])


mixed = hnp.arrays(np.bool_, 60).filter(lambda t: bool(t.any() and not t.all()))


@given(hnp.arrays(np.int64, 60, elements=st.integers(0, 12)), mixed)
def test_average_precision_and_brier_are_sklearns_with_ties(
    values: npt.NDArray[np.int64], truth: npt.NDArray[np.bool_]
) -> None:
    scores = values / 20
    found = h.average_precision(h.histogram_of(scores, truth))
    assert found == pytest.approx(average_precision_score(truth, scores))
    histogram = np.zeros((2, 256), np.int64)
    np.add.at(histogram, (truth.astype(int), 20 * values), 1)
    assert h.brier(histogram) == pytest.approx(brier_score_loss(truth, 20 * values / 255))


def test_curves_by_hand() -> None:
    """From the highest score down: tumour, both, other, tumour."""
    histogram = counts({200: 1, 30: 1}, {255: 1, 200: 1, 10: 1}).astype(np.float64)[None]
    found = h.found_at(np.array([0, 0.25, 0.5, 1.0]))(histogram)[0]
    assert found == pytest.approx([1 / 3, 1 / 2, 2 / 3, 1.0])
    precision = h.precision_at(np.array([1 / 3, 2 / 3, 1.0]))(histogram)[0]
    assert precision == pytest.approx([1.0, 2 / 3, 3 / 5])


def test_a_perfect_map_has_perfect_curves() -> None:
    histogram = counts({0: 9}, {255: 4}).astype(np.float64)[None]
    at = np.array([0.1, 1.0])
    assert (h.found_at(at)(histogram) == 1).all() and (h.precision_at(at)(histogram) == 1).all()


def test_curves_take_tumour_and_other_tissue() -> None:
    one_sided = np.stack([counts({3: 2}, {}), counts({}, {3: 2})]).astype(np.float64)
    at = np.array([0.5])
    assert np.isnan(h.found_at(at)(one_sided)).all()
    assert np.isnan(h.precision_at(at)(one_sided)[:, 0]).tolist() == [True, False]


def test_a_measure_of_weighted_patients_is_that_of_their_sum() -> None:
    patients = np.stack([BY_HAND, counts({0: 5}, {200: 1})])
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    found = h.of_histograms(h.brier, patients)(weights)
    expected = [h.brier(patients.sum(axis=0)), h.brier(patients[0]), h.brier(patients[1])]
    assert found == pytest.approx(np.array(expected))
