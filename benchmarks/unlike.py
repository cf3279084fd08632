"""How often slides are called unlike those that are known: their own kind, and shifted ones.

    python -m benchmarks.unlike COHORT.csv [--others SLIDE ...] [--mpp 0.25]
        [--markdown docs/results.md]

Each patient's slides are compared with those of all other patients: as they are, and with stain or
sharpness changed. OTHERS are compared with those of all patients; `--mpp` is for those of them that
do not say theirs. No network runs: what a slide looks like does not depend on one.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy import ndimage

from benchmarks.tables import Table, put_section
from model.cohort import Case, read_cohort
from model.familiarity import Familiarity
from model.known_looks import KnownLooks
from model.optics import stain_mix
from tiling.appearance import Appearance
from tiling.frame import Box, Pair
from tiling.quality import assess_quality
from tiling.resample import RGB, Level
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.tissue import find_tissue

MPP = 4.0  # of the grid that tissue is found on
Shift = Callable[[RGB, float], RGB]  # pixels and their µm


def denser(times: float) -> Shift:
    return lambda pixels, _: _seen(_density(pixels) * np.float32(times))


def stained(haematoxylin: float, eosin: float) -> Shift:
    """More or less of each stain."""
    mix = stain_mix(np.array((haematoxylin, eosin, 1.0)), np.ones(3)).numpy()
    return lambda pixels, _: _seen(_density(pixels) @ mix.T)


def blurred(sigma_um: float) -> Shift:
    return lambda pixels, um: ndimage.gaussian_filter(pixels, (sigma_um / um, sigma_um / um, 0))


def grey(pixels: RGB, _: float) -> RGB:
    return pixels.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)


SHIFTS: Mapping[str, Shift] = {
    "as they are": lambda pixels, _: pixels,
    "density x 0.4": denser(0.4),
    "density x 0.5": denser(0.5),
    "density x 0.7": denser(0.7),
    "density x 1.3": denser(1.3),
    "density x 1.6": denser(1.6),
    "density x 2": denser(2.0),
    "density x 2.5": denser(2.5),
    "haematoxylin x 0.4": stained(0.4, 1.0),
    "haematoxylin x 2": stained(2.0, 1.0),
    "eosin x 0.4": stained(1.0, 0.4),
    "eosin x 2": stained(1.0, 2.0),
    "without colour": grey,
    "red and blue exchanged": lambda pixels, _: pixels[..., ::-1],
    "out of focus (6 µm)": blurred(6.0),
}


@dataclass(frozen=True)
class ShiftedLevel:
    """A level whose pixels look otherwise."""

    level: Level
    um: float
    shift: Shift

    @property
    def size(self) -> tuple[int, int]:
        return self.level.size

    @property
    def downsample(self) -> Pair:
        return self.level.downsample

    def read(self, box: Box) -> RGB:
        return self.shift(self.level.read(box), self.um)


def look_of(path: Path, resolution: Resolution, shift: Shift) -> Appearance | None:
    """What a slide looks like that is shifted; None without tissue."""
    with Slide.open(path, resolution) as slide:
        mpp = slide.known_mpp[0]
        levels: list[Level] = [
            ShiftedLevel(level, mpp * level.downsample[0], shift) for level in slide.levels
        ]
        shifted = replace(slide, levels=levels)
        tissue = find_tissue(shifted, shifted.frame(MPP), output_stride=4)
        return assess_quality(shifted, tissue).appearance


@dataclass(frozen=True)
class Looks:
    """A slide of a patient, shifted in one way."""

    patient: str
    appearance: Appearance | None


def looks_of(cases: Sequence[Case], shift: Shift) -> list[Looks]:
    return [
        Looks(case.patient, look_of(case.slide, Resolution(case.mpp, case.force_mpp), shift))
        for case in cases
    ]


def held_out(known: Sequence[Looks], looks: Sequence[Looks]) -> list[Familiarity]:
    """Each look against those of all other patients."""
    found = []
    for each in looks:
        others = KnownLooks.of([k for k in known if k.patient != each.patient])
        if isinstance(others, str):
            raise SystemExit(others)
        if each.appearance:
            found.append(others.judge(each.appearance))
    return found


def table_of(found: Mapping[str, Sequence[Familiarity]]) -> Table:
    rows = []
    for name, each in found.items():
        unlike = sum(f.is_unlike for f in each)
        scores = np.array([f.score for f in each])
        rows.append([name, f"{unlike} of {len(each)}", f"{np.median(scores):.1f}"])
    note = "Score: how far a slide is from what is usual, in spreads; the median of the slides."
    return Table("Slides called unlike", ("", "unlike", "score"), rows, [note])


def others_of(known: KnownLooks, paths: Sequence[Path], mpp: float | None) -> Table:
    rows = []
    for path in paths:
        look = look_of(path, Resolution(mpp), SHIFTS["as they are"])
        found = known.judge(look) if look else None
        said = (found.verdict, f"{found.p_value:.2f}", found.reason) if found else ("no tissue",)
        rows.append([path.name, *said])
    return Table("Other slides", ("", "verdict", "p", "why"), rows)


def _density(pixels: RGB) -> NDArray[np.float32]:
    return -np.log10(np.maximum(pixels, 1).astype(np.float32) / 255)


def _seen(density: NDArray[np.float32]) -> RGB:
    light = 255 * np.power(10, -np.maximum(density, 0))
    return light.round().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    cases = read_cohort(asked.cohort).cases
    looks = {name: looks_of(cases, shift) for name, shift in SHIFTS.items()}
    known = looks["as they are"]
    tables = [table_of({name: held_out(known, each) for name, each in looks.items()})]
    everyone = KnownLooks.of(known)
    if asked.others and isinstance(everyone, KnownLooks):
        tables.append(others_of(everyone, asked.others, asked.mpp))
    for table in tables:
        table.show(Console())
    if asked.markdown:
        put_section(asked.markdown, "unlike", "\n\n".join(t.markdown() for t in tables))


if __name__ == "__main__":
    main()
