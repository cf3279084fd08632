"""How many of many may be bad when a random sample holds none: Clopper & Pearson, of finitely many.

Clopper and Pearson (1934) take as bound the largest share of which what was seen would not be too
great a surprise. Here squares of one slide are drawn without putting any back, so that the chance
is hypergeometric and the bound a little closer than the binomial one, 1 - (1 - level)^(1 / drawn).
"""

from collections.abc import Sequence

LEVEL = 0.95  # how sure a bound is, one-sided


def most_bad(population: int, drawn: int, level: float = LEVEL) -> int:
    """How many of `population` may be bad when none is among `drawn` taken at random.

    Whatever their number in truth: with a chance of at least `level`, either a bad one is drawn
    or there are no more of them than this.
    """
    _check(population, level)
    if not 0 <= drawn <= population:
        raise ValueError(f"{drawn} of {population} cannot be drawn")
    low, high = 0, population - drawn
    while low < high:
        middle = (low + high + 1) // 2
        if _chance_of_none(population, middle, drawn) > 1 - level:
            low = middle
        else:
            high = middle - 1
    return low


def fewest_to_draw(population: int, share: float, level: float = LEVEL) -> int:
    """How many to draw, so that if none of them is bad at most a `share` of all may be."""
    _check(population, level)
    if not 0 <= share < 1:
        raise ValueError(f"a share of {share} is not within 0 and 1")
    too_many = int(share * population) + 1
    chance, drawn = 1.0, 0
    while drawn < population and chance > 1 - level:
        chance *= max(0, population - too_many - drawn) / (population - drawn)
        drawn += 1
    return drawn


def largest_sum(sizes: Sequence[float], count: int) -> float:
    """The most that `count` of `sizes` can come to."""
    return float(sum(sorted(sizes, reverse=True)[:count]))


def _chance_of_none(population: int, bad: int, drawn: int) -> float:
    """Of drawing none of the bad ones."""
    chance = 1.0
    for taken in range(drawn):
        chance *= max(0, population - bad - taken) / (population - taken)
    return chance


def _check(population: int, level: float) -> None:
    if population < 0 or not 0 < level < 1:
        raise ValueError(f"no bound on {population} at a level of {level}")
