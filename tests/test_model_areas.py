"""Areas beside the expert's: limits of agreement and stated intervals, by hand."""

from dataclasses import dataclass

import numpy as np
import pytest

from model.area_interval import AreaInterval
from model.areas import interval_rows, limit_of_agreement, log_ratio


@dataclass(frozen=True)
class Measured:
    patient: str
    expert_area_mm2: float
    area_interval: AreaInterval | None = None
    tumour_area_mm2: float = 1.0


def stated(low: float, high: float, kind: str = "approximate", level: float = 0.8) -> AreaInterval:
    return AreaInterval(low, high, level, kind, 9, 0.2)


def test_a_ratio_takes_tumour_on_both_sides() -> None:
    assert log_ratio(Measured("p", 0.5)) == pytest.approx(np.log(2))
    assert log_ratio(Measured("p", 0.0)) is None
    assert log_ratio(Measured("p", 0.5, tumour_area_mm2=0.0)) is None


def test_limits_of_agreement_by_hand() -> None:
    """Twice, half and equal: a mean of 0 and a standard deviation of log 2."""
    logs = np.log([2.0, 0.5, 1.0])
    powers, slides = np.stack([logs, logs**2], axis=1), np.ones(3)
    for side in (-1, 1):
        found = limit_of_agreement(powers, slides, side)(np.ones((1, 3)))
        assert found == pytest.approx(2.0 ** (side * 1.96))


def test_limits_take_two_slides() -> None:
    one = limit_of_agreement(np.array([[0.7, 0.49]]), np.ones(1), 1)
    assert np.isnan(one(np.ones((1, 1)))[0]) and np.isnan(one(np.zeros((1, 1)))[0])


def test_a_patient_is_held_when_all_slides_are() -> None:
    slides = [
        Measured("p", 10.0, stated(5.0, 15.0)),
        Measured("p", 20.0, stated(5.0, 15.0)),
        Measured("q", 5.0, stated(5.0, 20.0)),
        Measured("r", 1.0),
    ]
    (row,) = interval_rows(slides)
    assert row == {
        "kind": "approximate",
        "level": 0.8,
        "slides": 3,
        "slides_within": 2,
        "patients": 2,
        "patients_within": 1,
        "relative_width": 1.0,  # of 1, 0.5 and 3
    }


def test_promises_of_different_kinds_are_not_mixed() -> None:
    rows = interval_rows(
        [
            Measured("p", 0.0, stated(0.0, 1.0, "guaranteed")),
            Measured("q", 4.0, stated(0.0, 2.0)),
        ]
    )
    assert [(row["kind"], row["slides_within"]) for row in rows] == [
        ("approximate", 0),
        ("guaranteed", 1),
    ]
    assert [row["relative_width"] for row in rows] == [0.5, None]
    assert interval_rows([Measured("p", 1.0)]) == []


def test_an_interval_as_a_summary_states_it() -> None:
    values = {"low": 1, "high": 2.5, "level": 0.8, "kind": "guaranteed", "patients": 20}
    found = AreaInterval.from_json({**values, "slack": 0.2})
    assert found == AreaInterval(1.0, 2.5, 0.8, "guaranteed", 20, 0.2)
    with pytest.raises(KeyError):
        AreaInterval.from_json(values)
    with pytest.raises(KeyError):
        AreaInterval.from_json({"low": 1})
