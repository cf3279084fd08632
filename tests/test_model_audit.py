"""The bound on what a sample did not show: against known values, and by drawing."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from model.audit import fewest_to_draw, largest_sum, most_bad

POPULATIONS = st.integers(1, 400)


@pytest.mark.parametrize(("drawn", "level"), [(1, 0.95), (10, 0.95), (59, 0.95), (300, 0.99)])
def test_of_very_many_it_is_the_bound_of_clopper_and_pearson(drawn: int, level: float) -> None:
    population = 10**8
    bound = float(stats.beta.ppf(level, 1, drawn))  # of 0 among so many
    assert most_bad(population, drawn, level) / population == pytest.approx(bound, abs=1e-6)


def test_fifty_nine_of_very_many_without_a_bad_one_leave_five_in_a_hundred() -> None:
    """The figure of the tables: 1 - 0.05^(1/59) = 0.0495, and 58 leave 0.0503."""
    assert fewest_to_draw(10**8, 0.05) == 59


@given(POPULATIONS, st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_it_is_the_largest_number_that_is_no_great_surprise(
    population: int, data: st.DataObject, level: float
) -> None:
    drawn = data.draw(st.integers(0, population))
    bad = most_bad(population, drawn, level)
    none = stats.hypergeom(population, bad, drawn).pmf(0)
    assert none > (1 - level) * (1 - 1e-9)
    if bad < population:
        assert stats.hypergeom(population, bad + 1, drawn).pmf(0) <= (1 - level) * (1 + 1e-9)
    binomial = 1.0 if not drawn else 1 - (1 - level) ** (1 / drawn)
    assert bad <= binomial * population


@given(POPULATIONS, st.floats(0, 0.99))
def test_the_fewest_suffice_and_one_less_does_not(population: int, share: float) -> None:
    number = fewest_to_draw(population, share)
    assert most_bad(population, number) <= share * population
    if number:
        assert most_bad(population, number - 1) > share * population


def test_all_drawn_leave_nothing_and_none_drawn_leave_all() -> None:
    assert most_bad(20, 20) == 0
    assert most_bad(20, 0) == 20
    assert most_bad(0, 0) == 0
    assert fewest_to_draw(0, 0.05) == 0
    assert fewest_to_draw(20, 0.0) == 19  # one left over is bad with a chance of 1 in 20


@pytest.mark.parametrize(("population", "bad", "drawn"), [(300, 15, 50), (80, 5, 36), (40, 1, 38)])
def test_it_is_right_at_least_nineteen_times_in_twenty(
    population: int, bad: int, drawn: int
) -> None:
    """Wrong is: none was drawn, and there are more than the bound says."""
    draws = random.Random(0)
    rounds = 4000
    bound = most_bad(population, drawn)
    wrong = sum(
        min(draws.sample(range(population), drawn)) >= bad and bad > bound for _ in range(rounds)
    )
    assert wrong / rounds <= 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


@pytest.mark.parametrize("population", [30, 300])
def test_whatever_the_truth_it_is_right_often_enough(population: int) -> None:
    """The chance of being wrong, worked out for every number of bad ones."""
    drawn = fewest_to_draw(population, 0.05)
    bound = most_bad(population, drawn)
    for bad in range(bound + 1, population + 1):
        assert stats.hypergeom(population, bad, drawn).pmf(0) <= 0.05 + 1e-12


def test_the_largest_are_summed() -> None:
    assert largest_sum([1.0, 5.0, 2.0, 4.0], 2) == 9.0
    assert largest_sum([1.0], 3) == 1.0
    assert largest_sum([], 3) == 0.0


@pytest.mark.parametrize("wrong", [(10, 11, 0.95), (10, -1, 0.95), (10, 1, 1.0), (-1, 0, 0.95)])
def test_what_makes_no_sense_is_refused(wrong: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError):
        most_bad(*wrong)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_beyond_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError):
        fewest_to_draw(10, share)
