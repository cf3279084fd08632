"""Which slides are called unlike those that are known: how many of their own kind, and why."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.errors import CheckpointError
from model.familiarity import Familiarity
from model.known_looks import NEVER_MEASURED, KnownLooks, known_looks_in
from tiling.appearance import Appearance

USUAL = Appearance(0.17, 0.08, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Slide:
    patient: str
    appearance: Appearance | None


def drawn(rng: np.random.Generator, spread: float = 0.15) -> Appearance:
    """A look like the usual one, each number a little more or less."""
    factors = np.exp(rng.normal(0, spread, 5))
    values = [v for v in USUAL.to_json().values() if v is not None]
    return Appearance(*map(float, values * factors))


def known(patients: int = 20, seed: int = 1) -> KnownLooks:
    rng = np.random.default_rng(seed)
    return KnownLooks(tuple((drawn(rng),) for _ in range(patients)))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(10, 45), st.sampled_from([0.1, 0.8]))
def test_of_those_alike_at_most_one_in_twenty_is_called_unlike_or_one(
    seed: int, count: int, spread: float
) -> None:
    """Whatever they look like: whoever came last is as likely as any to be the strangest."""
    rng = np.random.default_rng(seed)
    looks = [drawn(rng, spread) for _ in range(count)]
    found = []
    for number, look in enumerate(looks):
        others = tuple((other,) for other in looks[:number] + looks[number + 1 :])
        found.append(KnownLooks(others).judge(look))
    assert sorted(f.p_value for f in found) == pytest.approx(np.arange(1, count + 1) / count)
    assert sum(f.is_unlike for f in found) == max(1, int(0.05 * count))


def test_what_lies_in_the_middle_is_like_them() -> None:
    found = known().judge(USUAL)
    assert found.verdict == "like" and not found.is_unlike
    assert found.p_value > 0.5 and found.score < 1
    assert (found.patients, found.reason) == (20, "")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"optical_density": 1.9}, "its stain is far darker (median optical density 1.9; theirs"),
        ({"optical_density": 0.04}, "its stain is far paler (median optical density 0.04"),
        ({"red_to_green": 0.9}, "its stain is"),
        ({"blue_to_green": 0.1}, "more violet"),
        ({"sharpness": 0.15}, "it is far more blurred"),
        ({"density_spread": 0.5}, "its stain varies far more"),
    ],
)
def test_what_is_unlike_is_said_with_values(changed: dict[str, float], reason: str) -> None:
    found = known().judge(replace(USUAL, **changed))
    assert found.is_unlike and found.p_value == 1 / 21
    assert reason in found.reason
    assert found.reason.startswith("beside the slides of 20 known patients, it")


def test_the_worst_comes_first_and_no_more_than_two_are_told() -> None:
    found = known().judge(Appearance(1.9, 0.5, 0.9, 0.1, 0.4))
    assert found.reason.index("far darker") < found.reason.index(" and it")
    assert found.reason.count("theirs") == 2


def test_what_is_odd_only_in_sum_is_told_so() -> None:
    every = [replace(USUAL, optical_density=0.17 + 0.001 * i) for i in range(12)]
    looks = [(look,) for look in every]
    for i, name in enumerate(("density_spread", "red_to_green", "blue_to_green", "sharpness")):
        values = USUAL.to_json()
        looks[3 * i] = (Appearance(**{**every[3 * i].to_json(), name: 1.5 * (values[name] or 0)}),)
    odd = Appearance(0.17, 0.08 * 1.5, 0.4 * 1.5, 0.6 * 1.5, 0.8 * 1.5)
    found = KnownLooks(tuple(looks)).judge(odd)
    assert found.is_unlike
    assert "in several ways at once" in found.reason and "theirs" not in found.reason


def test_a_patient_counts_once_as_the_worst_slide() -> None:
    odd = replace(USUAL, optical_density=2.0)
    others = known().patients
    usual, worst = KnownLooks((*others, (USUAL,))), KnownLooks((*others, (USUAL, odd)))
    stranger = replace(USUAL, optical_density=0.6)
    assert usual.judge(stranger).is_unlike
    assert not worst.judge(stranger).is_unlike, "one known patient is stranger"
    assert worst.judge(stranger).p_value == 2 / 22


def test_what_one_of_them_lacks_is_not_compared() -> None:
    blurred = replace(USUAL, sharpness=0.05)
    assert known().judge(blurred).is_unlike
    first, *rest = known().patients
    coarse = (replace(first[0], sharpness=None),)
    assert not KnownLooks((coarse, *rest)).judge(blurred).is_unlike
    assert not known().judge(replace(USUAL, sharpness=None)).is_unlike


def test_slides_all_alike_let_nothing_but_rounding_pass() -> None:
    same = KnownLooks(((USUAL,),) * 12)
    assert not same.judge(USUAL).is_unlike
    assert same.judge(replace(USUAL, optical_density=0.3)).is_unlike


def test_known_looks_are_those_of_measured_patients_and_do_not_tell_who() -> None:
    rng = np.random.default_rng(5)
    slides = [Slide(f"p{n}", drawn(rng)) for n in range(10)]
    slides += [Slide("p3", drawn(rng)), Slide("without tissue", None)]
    found = KnownLooks.of(slides)
    assert isinstance(found, KnownLooks)
    assert sorted(map(len, found.patients)) == [1] * 9 + [2]
    assert {look for p in found.patients for look in p} == {s.appearance for s in slides[:-1]}
    other_names = [replace(s, patient=f"{9 - n}{s.patient}") for n, s in enumerate(slides[:10])]
    other_names.append(replace(slides[10], patient=other_names[3].patient))
    assert KnownLooks.of(other_names[::-1]) == found


def test_too_few_patients_know_nothing() -> None:
    rng = np.random.default_rng(5)
    reason = KnownLooks.of([Slide(f"p{n}", drawn(rng)) for n in range(8)])
    assert reason == "8 patients are too few to say what is usual, which takes 9"
    with pytest.raises(ValueError, match="too few"):
        known(8)


def test_a_card_keeps_them() -> None:
    found = known()
    assert known_looks_in({"familiarity": found.to_json(), "no_familiarity": ""}) == found
    assert known_looks_in({}) == NEVER_MEASURED
    assert known_looks_in({"familiarity": None, "no_familiarity": "a reason"}) == "a reason"


@pytest.mark.parametrize(
    "stated",
    [
        1,
        ["x"] * 9,
        [[]] * 9,
        [[{"optical_density": 1}]] * 9,
        [[USUAL.to_json() | {"red_to_green": 0}]] * 9,
        known().to_json()[:8],
    ],
)
def test_what_makes_no_sense_on_a_card_is_refused(stated: object) -> None:
    with pytest.raises(CheckpointError, match="known slides make no sense"):
        known_looks_in({"familiarity": stated})


def test_a_summary_keeps_the_verdict() -> None:
    found = known().judge(replace(USUAL, optical_density=1.9))
    assert Familiarity.from_summary({"familiarity": found.to_json()}) == found
    assert Familiarity.from_summary({"familiarity": None}) is None
    assert Familiarity.from_summary({}) is None
