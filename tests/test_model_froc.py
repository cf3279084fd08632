"""Lesions and false alarms: worked examples on squares of 50 µm, and the FROC curve by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from model.froc import RATES, Froc, LesionHits, candidates
from model.histograms import LEVELS

SHAPE = (20, 20)
JUDGED = np.ones(SHAPE, np.bool_)


def grid(*places: tuple[int, int, float]) -> npt.NDArray[np.float64]:
    """Scores that are 0 but at some row and column."""
    scores = np.zeros(SHAPE)
    for row, column, score in places:
        scores[row, column] = score
    return scores


def tumour(*columns: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tumour in rows 5 and 6, from one column up to another."""
    mask = np.zeros(SHAPE, np.bool_)
    for left, right in columns:
        mask[5:7, left:right] = True
    return mask


def hits(scores: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]) -> LesionHits:
    return LesionHits.of_cells(scores, JUDGED, mask, 50.0)


def levels(counts: npt.NDArray[np.int64]) -> list[int]:
    return np.repeat(np.arange(LEVELS), counts).tolist()


def test_parts_100_um_apart_are_one_lesion_and_parts_further_apart_are_two() -> None:
    assert hits(grid(), tumour((2, 4), (6, 8))).lesions == 1
    assert hits(grid(), tumour((2, 4), (7, 9))).lesions == 2


def test_parts_that_touch_by_a_corner_are_one_lesion() -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[3, 3] = mask[4, 4] = True
    assert hits(grid(), mask).lesions == 1


def test_a_lesion_counts_once_with_its_highest_candidate() -> None:
    found = hits(
        grid((5, 2, 0.9), (5, 7, 0.8), (15, 15, 0.7), (15, 18, 0.6)),  # the last lies 150 µm off
        tumour((2, 4), (6, 8), (13, 15)),
    )
    assert found.lesions == 2
    assert levels(found.found) == [900]
    assert levels(found.false_alarms) == [700]
    assert found.above(0.5) == (1, 1)
    assert found.above(0.7) == (1, 0)


def test_50_um_beside_an_outline_still_belong_to_the_lesion() -> None:
    beside, further = (hits(grid((5, column, 0.9)), tumour((4, 6))) for column in (6, 7))
    assert levels(beside.found) == [900] and not beside.false_alarms.any()
    assert levels(further.false_alarms) == [900] and not further.found.any()


def test_where_nobody_judged_there_is_no_candidate_and_no_lesion() -> None:
    scores, mask = grid((5, 5, 0.9)), tumour((5, 6))
    found = LesionHits.of_cells(scores, ~JUDGED, mask, 50.0)
    assert (found.lesions, found.above(0.0)) == (0, (0, 0))


def test_a_map_that_calls_everything_tumour_gains_nothing() -> None:
    found = hits(np.ones(SHAPE), tumour((5, 6)))
    assert found.lesions == 1 and found.false_alarms.sum() > 10


def test_an_empty_map_finds_nothing() -> None:
    found = hits(grid(), tumour((5, 6)))
    assert (found.lesions, found.above(0.0)) == (1, (0, 0))


def test_candidates_come_from_the_highest_down_and_keep_their_distance() -> None:
    values = np.array([[1, 0, 0, 9], [0, 3, 8, 0], [5, 0, 0, 2]])
    places = zip(*(axis.tolist() for axis in candidates(values, 1.5)), strict=True)
    assert list(places) == [(0, 3), (2, 0), (2, 3), (0, 0)]


def test_of_equal_places_the_first_row_by_row_is_the_candidate() -> None:
    rows, columns = candidates(np.full((4, 4), 7), 1.0)
    assert ((rows + columns) % 2 == 0).all() and len(rows) == 8


def by_level(*scores: int) -> npt.NDArray[np.float64]:
    return np.bincount(scores, minlength=LEVELS).astype(np.float64)


PATIENTS = Froc(
    slides=np.array([1.0, 1.0]),
    lesions=np.array([2.0, 1.0]),
    found=np.stack([by_level(900, 400), by_level()]),
    false_alarms=np.stack([by_level(600, 600), by_level(500, 500)]),
)


def test_froc_by_hand() -> None:
    """Of 3 lesions one is found before any false alarm, another after all 4 on 2 slides."""
    found = PATIENTS.sensitivity([0, 1, 1.5, 2, 8], np.ones((1, 2)))
    assert found[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_a_lesion_and_a_false_alarm_of_one_score_share_a_straight_line() -> None:
    tied = Froc(np.ones(1), np.ones(1), by_level(700)[None], by_level(700)[None])
    assert tied.sensitivity([0, 0.25, 1], np.ones((1, 1)))[0] == pytest.approx([0, 0.25, 1])


def test_patients_count_as_often_as_they_are_drawn() -> None:
    first, second = PATIENTS.sensitivity([2.0], np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert first == pytest.approx([1.0]) and second == pytest.approx([0.0])


def test_without_lesions_there_is_no_sensitivity() -> None:
    none = Froc(np.ones(1), np.zeros(1), by_level()[None], by_level(500)[None])
    assert np.isnan(none.sensitivity(RATES, np.ones((1, 1)))).all()
