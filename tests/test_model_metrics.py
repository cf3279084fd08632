"""Measures: by hand, against scikit-learn, and what must hold for any counts."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from model import metrics
from model.boundary import boundary, boundary_distance
from model.metrics import Figure, PatientBootstrap, of_counts

COUNTS = np.array([6.0, 2.0, 4.0, 88.0])  # tp, fp, fn, tn
ALL_MEASURES = {**metrics.PIXEL_MEASURES, **metrics.CELL_MEASURES}
counts_strategy = hnp.arrays(np.float64, (5, 4), elements=st.integers(0, 1000).map(float))


def test_measures_by_hand() -> None:
    expected = {
        "dice": 12 / 18,
        "f1": 12 / 18,
        "precision": 6 / 8,
        "recall": 6 / 10,
        "specificity": 88 / 90,
        "accuracy": 94 / 100,
        "npv": 88 / 92,
        "balanced_accuracy": (0.6 + 88 / 90) / 2,
    }
    assert {k: float(f(COUNTS)) for k, f in ALL_MEASURES.items()} == pytest.approx(expected)


def test_nothing_to_find_and_nothing_found_is_undefined_not_perfect() -> None:
    silent = np.array([0.0, 0.0, 0.0, 10.0])
    undefined = {k for k, f in ALL_MEASURES.items() if np.isnan(f(silent))}
    assert undefined == {"dice", "f1", "precision", "recall", "balanced_accuracy"}


@given(counts_strategy)
def test_every_measure_lies_within_0_and_1(counts: npt.NDArray[np.float64]) -> None:
    for measure in ALL_MEASURES.values():
        values = measure(counts)
        assert values.shape == (5,)
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


@given(hnp.arrays(np.bool_, 40), hnp.arrays(np.bool_, 40))
def test_dice_is_symmetric(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> None:
    one, other = (metrics.dice(metrics.counts_of(*pair)) for pair in ((a, b), (b, a)))
    np.testing.assert_equal(one, other)


def test_a_stored_value_right_on_the_threshold_is_not_tumour() -> None:
    histogram = np.zeros((2, 256), np.int64)
    histogram[0, 102], histogram[1, 102], histogram[1, 103] = 5, 3, 2  # 102 / 255 = 0.4
    assert metrics.counts_above(histogram, 0.4).tolist() == [2, 0, 3, 5]
    assert metrics.counts_above(histogram, 0.39).tolist() == [5, 5, 0, 0]


mixed = hnp.arrays(np.bool_, 60).filter(lambda t: bool(t.any() and not t.all()))


@given(hnp.arrays(np.uint8, 60, elements=st.integers(0, 12)), mixed, st.integers(1, 6))
def test_auc_is_sklearns_with_ties_however_patients_share_the_scores(
    values: npt.NDArray[np.uint8], truth: npt.NDArray[np.bool_], patients: int
) -> None:
    owner = np.arange(60) % patients
    scores = [values[owner == p] / 255 for p in range(patients)]
    truths = [truth[owner == p] for p in range(patients)]
    histograms = np.zeros((patients, 2, 256), np.int64)
    np.add.at(histograms, (owner, truth.astype(int), values), 1)
    expected = roc_auc_score(truth, values)
    weights = np.ones((1, patients))
    assert metrics.auc(*metrics.wins_of_scores(scores, truths))(weights) == pytest.approx(expected)
    by_histogram = metrics.auc(*metrics.wins_of_histograms(histograms))
    assert by_histogram(weights) == pytest.approx(expected)


def test_auc_of_a_resample_is_that_of_the_patients_it_drew() -> None:
    rng = np.random.default_rng(1)
    scores = [rng.integers(0, 9, n) / 9 for n in (20, 30, 25)]
    truths = [rng.random(len(s)) < 0.4 for s in scores]
    weights = np.array([[2.0, 0.0, 1.0]])
    drawn = [0, 0, 2]
    expected = roc_auc_score(
        np.concatenate([truths[i] for i in drawn]), np.concatenate([scores[i] for i in drawn])
    )
    assert metrics.auc(*metrics.wins_of_scores(scores, truths))(weights) == pytest.approx(expected)


def test_auc_without_positives_is_undefined() -> None:
    wins = metrics.wins_of_scores([np.array([0.1, 0.9])], [np.array([False, False])])
    assert PatientBootstrap.of(1, 0).figure(metrics.auc(*wins)) == Figure(None)


@given(counts_strategy, st.integers(0, 1000))
def test_interval_contains_the_value_and_is_the_seeds(
    counts: npt.NDArray[np.float64], seed: int
) -> None:
    figure = PatientBootstrap.of(5, seed, 50).figure(of_counts(metrics.dice, counts))
    assert figure == PatientBootstrap.of(5, seed, 50).figure(of_counts(metrics.dice, counts))
    if counts[:, :3].any():
        assert figure.value is not None and figure.low is not None and figure.high is not None
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
        assert figure.value == metrics.dice(counts.sum(0))
    else:
        assert figure == Figure(None)


def test_resamples_draw_whole_patients() -> None:
    weights = PatientBootstrap.of(7, 0).weights
    assert weights.shape == (2000, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean() == 1 and weights.std() == pytest.approx((6 / 7) ** 0.5, abs=0.02)


def test_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 200)
    figure = PatientBootstrap.of(200, 3).figure(metrics.mean_of(values, np.ones(200)))
    half = 1.96 * values.std() / 200**0.5
    assert figure.low == pytest.approx(values.mean() - half, abs=0.002)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.002)


def test_figures_of_several_values_are_each_values_own() -> None:
    values = np.random.default_rng(0).integers(0, 99, (9, 2)).astype(np.float64)
    drawn = PatientBootstrap.of(9, 1, 60)
    several = drawn.figures(lambda w: w @ values)
    assert several == [
        drawn.figure(lambda w: w @ values[:, 0]), drawn.figure(lambda w: w @ values[:, 1])
    ]  # fmt: skip


def test_a_single_patient_has_no_interval() -> None:
    figure = PatientBootstrap.of(1, 0).figure(of_counts(metrics.dice, COUNTS[None]))
    assert figure == Figure(pytest.approx(2 / 3))
    assert str(figure) == "0.667"


def square(left: int, right: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((60, 60), np.bool_)
    mask[20:40, left:right] = True
    return mask


EVERYWHERE = np.ones((60, 60), np.bool_)


def test_the_same_outline_is_0_apart() -> None:
    found = boundary_distance(square(20, 40), square(20, 40), EVERYWHERE, (10, 10))
    assert found.hd95_um == 0
    assert found.surface_dice == {50: 1.0, 100: 1.0, 250: 1.0}


def test_distances_by_hand() -> None:
    """One side of 20 pixels moved by 8 px of 10 µm: all else of the outline stays."""
    found = boundary_distance(square(20, 40), square(20, 48), EVERYWHERE, (10, 25))
    assert found.hd95_um == pytest.approx(80)
    assert found.surface_dice[100] == 1
    # Over 50 µm away: of the moved outline its right side and two pixels beside each end of it;
    # of the other one, the part of its right side that is over two rows of 25 µm from its ends.
    moved = 20 + 2 * 2
    left_behind = sum(1 for row in range(20, 40) if min(row - 20, 39 - row) * 25 > 50)
    assert found.surface_dice[50] == pytest.approx(1 - (moved + left_behind) / (76 + 92))


def test_distances_are_symmetric_and_use_both_resolutions() -> None:
    a, b = square(10, 30), square(15, 44)
    one = boundary_distance(a, b, EVERYWHERE, (4, 9))
    other = boundary_distance(b, a, EVERYWHERE, (4, 9))
    turned = boundary_distance(a.T, b.T, EVERYWHERE, (9, 4))
    assert one == other == turned


def test_no_outline_no_distance() -> None:
    nothing = np.zeros_like(EVERYWHERE)
    missed = boundary_distance(square(20, 40), nothing, EVERYWHERE, (10, 10))
    assert missed.hd95_um is None and set(missed.surface_dice.values()) == {0.0}
    silent = boundary_distance(nothing, nothing, EVERYWHERE, (10, 10))
    assert silent.hd95_um is None and set(silent.surface_dice.values()) == {None}


def test_where_labels_end_there_is_no_outline() -> None:
    known = EVERYWHERE.copy()
    known[:, 30:] = False
    edge = boundary(square(20, 40), known)
    assert edge[20:40, 20].all() and not edge[21:39, 29].any() and not edge[:, 30:].any()
    whole = boundary(EVERYWHERE, EVERYWHERE)
    assert not whole.any()
