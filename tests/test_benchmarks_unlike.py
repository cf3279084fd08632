"""On real slides: held-out patients are like the others, other stains are not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.unlike import SHIFTS, Looks, held_out, look_of, looks_of
from model.cohort import read_cohort
from model.known_looks import KnownLooks
from tiling.resolution import Resolution

SHIFTED = ("density x 0.4", "density x 2.5", "eosin x 2", "out of focus (6 µm)", "without colour")


@pytest.fixture(scope="module")
def known(data: Path) -> list[Looks]:
    """All breast slides as they are."""
    return looks_of(read_cohort(data / "idc" / "cohort.csv").cases, SHIFTS["as they are"])


def test_few_patients_are_unlike_all_others(known: list[Looks]) -> None:
    found = held_out(known, known)
    assert len(found) == 21
    assert sum(f.is_unlike for f in found) <= 2
    assert all(bool(f.reason) == f.is_unlike for f in found)


@pytest.mark.parametrize("name", SHIFTED)
def test_a_heavy_shift_of_stain_or_focus_is_seen(data: Path, known: list[Looks], name: str) -> None:
    cases = read_cohort(data / "idc" / "cohort.csv").cases
    cases = [case for case in cases if case.slide.stem in ("9037", "8980")]
    found = held_out(known, looks_of(cases, SHIFTS[name]))
    assert found and all(f.is_unlike for f in found)


def test_fluorescence_and_another_organ_are_seen(data: Path, known: list[Looks]) -> None:
    everyone = KnownLooks.of(known)
    assert isinstance(everyone, KnownLooks)
    plain = SHIFTS["as they are"]
    dark = look_of(data / "slides" / "fluorescence TRITC.ndpi", Resolution(), plain)
    assert dark is not None
    found = everyone.judge(dark)
    assert found.is_unlike and "far darker" in found.reason and found.score > 5
    colon = look_of(data / "glas" / "train_1.png", Resolution(0.62), plain)
    assert colon is not None and everyone.judge(colon).is_unlike


def test_shifts_are_what_they_are_called() -> None:
    pixels = np.array([[[200, 120, 160], [255, 255, 255]]], np.uint8)
    assert (SHIFTS["as they are"](pixels, 4.0) == pixels).all()
    density = -np.log10(pixels[0, 0] / 255)
    denser = SHIFTS["density x 2"](pixels, 4.0)
    assert -np.log10(denser[0, 0] / 255) == pytest.approx(2 * density, abs=0.01)
    for shift in SHIFTS.values():
        assert shift(pixels, 4.0).dtype == np.uint8
    for name in ("eosin x 2", "haematoxylin x 0.4", "density x 0.4"):
        assert (SHIFTS[name](pixels, 4.0)[0, 1] >= 250).all(), "glass stays clear"
