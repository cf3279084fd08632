"""A cohort: slides, what experts drew on them, and whose they are."""

import csv
import hashlib
import io
import os
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from annotations.errors import CohortError
from tiling.resolution import MPP_RANGE, Resolution, plausible_mpp

SPLITS = ("train", "validation", "test")
REQUIRED = ("slide", "annotations", "patient")
MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Case:
    """A row of the cohort. `annotations` None: the expert saw no tumour on this slide.

    `mpp` fills a missing level-0 µm/px; with `force_mpp` it overrides the file's.
    """

    slide: Path
    annotations: Path | None
    patient: str
    split: str | None = None
    mpp: float | None = None
    labelled: Path | None = None
    force_mpp: bool = False

    @property
    def resolution(self) -> Resolution:
        """What is said of the slide's µm/px.

        Raises:
            ResolutionError: it cannot be one.
        """
        return Resolution(self.mpp, self.force_mpp)


@dataclass(frozen=True)
class Cohort:
    """All rows of a cohort file; `digest` covers it and its outline files."""

    path: Path
    cases: tuple[Case, ...]
    digest: str

    @property
    def patients(self) -> list[str]:
        """Every patient once, sorted."""
        return sorted({case.patient for case in self.cases})

    def with_resolution(self, resolution: Resolution) -> Self:
        """The same cohort; the given µm/px fills what rows leave out, or overrides everything."""
        if resolution.mpp is None:
            return self
        cases = (
            replace(case, mpp=resolution.mpp, force_mpp=resolution.force)
            if resolution.force or case.mpp is None
            else case
            for case in self.cases
        )
        return replace(self, cases=tuple(cases))

    def of_patients(self, patients: Iterable[str]) -> tuple[Case, ...]:
        wanted = set(patients)
        return tuple(case for case in self.cases if case.patient in wanted)


def read_cohort(path: Path) -> Cohort:
    """Read cohort.csv; every fault of the file is named at once.

    Raises:
        CohortError: unreadable, columns or files missing, a slide twice, a patient in two splits,
            splits for some rows only, no rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _rows(path, text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path}: cannot be read as a CSV file: {error}") from error
    faults: list[str] = []
    cases = tuple(_case(path.parent, line, row, faults) for line, row in enumerate(rows, 2))
    faults += _repeated(cases, path.parent)
    faults += _split_faults(cases)
    if faults:
        shown = "\n  ".join(faults[:20]) + (
            f"\n  and {len(faults) - 20} more" if faults[20:] else ""
        )
        raise CohortError(f"{path.name}: {len(faults)} faults\n  {shown}")
    return Cohort(path, cases, _digest(text, cases))


def _rows(path: Path, text: str) -> list[dict[str, str]]:
    """The file's rows by column name, blanks around names and values removed."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in REQUIRED if name not in reader.fieldnames]
    if missing:
        raise CohortError(
            f"{path.name}: has no column {', '.join(missing)} "
            f"(needed: {', '.join(REQUIRED)}, separated by commas)"
        )
    # What stands beyond the last column has no name
    rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
    if not rows:
        raise CohortError(f"{path.name}: has no rows")
    if len(rows) > MAX_ROWS:
        raise CohortError(f"{path.name}: over {MAX_ROWS} rows")
    return rows


def _case(folder: Path, line: int, values: Mapping[str, str], faults: list[str]) -> Case:
    def existing(column: str, *, folders: bool = False) -> Path | None:
        name = values.get(column, "")
        if not name:
            return None
        file = folder / name
        try:
            if not file.exists():
                faults.append(f"line {line}: {column} {name} does not exist")
            elif not (folders or file.is_file()):
                faults.append(f"line {line}: {column} {name} is not a file")
        except OSError as error:
            faults.append(f"line {line}: {column} {name[:80]}: {error.strerror}")
        return file

    slide = existing("slide", folders=True)  # DICOM
    annotations, labelled = existing("annotations"), existing("labelled")
    if slide is None:
        faults.append(f"line {line}: no slide")
    if not values["patient"]:
        faults.append(f"line {line}: no patient (slides are split by patient)")
    split = values.get("split") or None
    if split not in (*SPLITS, None):
        faults.append(f"line {line}: split {split!r} is none of {', '.join(SPLITS)}")
    mpp = _mpp(values.get("mpp", ""))
    if mpp is not None and not plausible_mpp(mpp):
        low, high = MPP_RANGE
        faults.append(
            f"line {line}: mpp {values['mpp']!r} is no µm/px (a number within {low:g} and {high:g})"
        )
    return Case(slide or folder, annotations, values["patient"], split, mpp, labelled)


def _mpp(text: str) -> float | None:
    """None where nothing stands; NaN for what is no number."""
    try:
        return float(text) if text else None
    except ValueError:
        return float("nan")


def _repeated(cases: Sequence[Case], folder: Path) -> list[str]:
    lines: dict[Path, list[int]] = defaultdict(list)
    for line, case in enumerate(cases, 2):
        lines[Path(os.path.realpath(case.slide))].append(line)
    return [
        f"lines {', '.join(map(str, found))}: slide {slide.name} stands there more than once"
        for slide, found in lines.items()
        if len(found) > 1 and slide != Path(os.path.realpath(folder))  # where no slide is named
    ]


def _split_faults(cases: Sequence[Case]) -> list[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        splits[case.patient].add(case.split or "none")
    faults = [
        f"patient {patient} stands in {' and '.join(sorted(found))}: a patient belongs to one split"
        for patient, found in sorted(splits.items())
        if len(found) > 1
    ]
    without = [line for line, case in enumerate(cases, 2) if not case.split]
    if not faults and 0 < len(without) < len(cases):
        shown = ", ".join(map(str, without[:10])) + (", …" if without[10:] else "")
        faults.append(f"lines {shown}: no split, though other lines have one; fill all or none")
    return faults


def _digest(text: str, cases: Sequence[Case]) -> str:
    digest = hashlib.sha256(text.encode())
    for case in cases:
        for file in (case.annotations, case.labelled):
            try:
                digest.update(file.read_bytes() if file else b"-")
            except OSError as error:
                raise CohortError(f"{file}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def split_patients(
    cohort: Cohort, shares: tuple[float, float, float], seed: int
) -> dict[str, tuple[str, ...]]:
    """Patients by split: as the file says, else drawn from the seed by the given shares.

    Raises:
        CohortError: too few patients for every share that is not 0.
    """
    if any(case.split for case in cohort.cases):
        return {
            split: tuple(sorted({c.patient for c in cohort.cases if c.split == split}))
            for split in SPLITS
        }
    patients = shuffled(cohort.patients, seed)
    needed = sum(share > 0 for share in shares)
    if len(patients) < needed:
        raise CohortError(
            f"{cohort.path.name}: {len(patients)} patients cannot be split {needed} ways; "
            "add patients, or set the shares with `split` in the config"
        )
    counts = [max(1, round(share * len(patients))) if share else 0 for share in shares[1:]]
    while sum(counts) + (shares[0] > 0) > len(patients):  # rounded up too often
        counts[counts.index(max(counts))] -= 1
    validation, test = counts
    train = len(patients) - validation - test
    return {
        "train": tuple(sorted(patients[:train])),
        "validation": tuple(sorted(patients[train : train + validation])),
        "test": tuple(sorted(patients[train + validation :])),
    }


def fold_patients(cohort: Cohort, folds: int, seed: int) -> list[tuple[str, ...]]:
    """Patients of each fold, drawn from the seed; sizes differ by at most one.

    Raises:
        CohortError: fewer patients than folds, or fewer than 3 folds' worth for three sets.
    """
    patients = shuffled(cohort.patients, seed)
    if folds < 2 or len(patients) < max(folds, 3):
        raise CohortError(
            f"{cohort.path.name}: {len(patients)} patients do not make {folds} folds "
            "(at least 2 folds, a patient in each, 3 patients in all)"
        )
    return [tuple(sorted(patients[i::folds])) for i in range(folds)]


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """The names in an order drawn from the seed."""
    order = sorted(names)
    random.Random(seed).shuffle(order)
    return order


@lru_cache(maxsize=65_536)
def hashed_patient(patient: str, salt: str) -> str:
    """A salted, slow hash (scrypt, 16 hex digits) by which a seen patient is known again.

    It names nobody, but who holds the card can try out guesses, each at some ten milliseconds:
    give patients pseudonyms where record numbers are short.
    """
    return hashlib.scrypt(patient.encode(), salt=salt.encode(), n=2**12, r=8, p=1, dklen=8).hex()
