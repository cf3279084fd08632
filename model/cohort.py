"""A cohort: slides, what experts drew on them, and whose they are."""

import csv
import hashlib
import hmac
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import CohortError

SPLITS = ("train", "validation", "test")
REQUIRED = ("slide", "annotations", "patient")
MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Case:
    """A row of the cohort. `annotations` None: the expert saw no tumour on this slide."""

    slide: Path
    annotations: Path | None
    patient: str
    split: str | None = None
    mpp: float | None = None
    labelled: Path | None = None


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

    def of_patients(self, patients: Iterable[str]) -> tuple[Case, ...]:
        wanted = set(patients)
        return tuple(case for case in self.cases if case.patient in wanted)


def read_cohort(path: Path) -> Cohort:
    """Read cohort.csv; every fault of the file is named at once.

    Raises:
        CohortError: unreadable, columns or files missing, a patient in two splits, no rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(f"{path}: cannot be read: {error}") from error
    rows = list(csv.DictReader(text.splitlines()))
    missing = [name for name in REQUIRED if not rows or name not in rows[0]]
    if missing:
        what = f"has no column {', '.join(missing)}" if rows else "has no rows"
        raise CohortError(f"{path.name}: {what} (needed: {', '.join(REQUIRED)})")
    if len(rows) > MAX_ROWS:
        raise CohortError(f"{path.name}: over {MAX_ROWS} rows")
    faults: list[str] = []
    cases = tuple(_case(path.parent, line, row, faults) for line, row in enumerate(rows, 2))
    faults += _split_faults(cases)
    if faults:
        shown = "\n  ".join(faults[:20]) + (
            f"\n  and {len(faults) - 20} more" if faults[20:] else ""
        )
        raise CohortError(f"{path.name}: {len(faults)} faults\n  {shown}")
    return Cohort(path, cases, _digest(text, cases))


def _case(folder: Path, line: int, row: Mapping[str, str | None], faults: list[str]) -> Case:
    values = {k: (v or "").strip() for k, v in row.items() if k}

    def existing(column: str) -> Path | None:
        name = values.get(column, "")
        if name and not (folder / name).exists():
            faults.append(f"line {line}: {column} {name} does not exist")
        return folder / name if name else None

    slide, annotations, labelled = map(existing, ("slide", "annotations", "labelled"))
    if slide is None:
        faults.append(f"line {line}: no slide")
    if not values["patient"]:
        faults.append(f"line {line}: no patient (slides are split by patient)")
    split = values.get("split") or None
    if split not in (*SPLITS, None):
        faults.append(f"line {line}: split {split!r} is none of {', '.join(SPLITS)}")
    mpp: float | None = None
    if values.get("mpp"):
        try:
            mpp = float(values["mpp"])
        except ValueError:
            faults.append(f"line {line}: mpp {values['mpp']!r} is not a number")
    return Case(slide or folder, annotations, values["patient"], split, mpp, labelled)


def _split_faults(cases: Sequence[Case]) -> list[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        splits[case.patient].add(case.split or "none")
    return [
        f"patient {patient} stands in {' and '.join(sorted(found))}: a patient belongs to one split"
        for patient, found in sorted(splits.items())
        if len(found) > 1
    ]


def _digest(text: str, cases: Sequence[Case]) -> str:
    digest = hashlib.sha256(text.encode())
    for case in cases:
        for file in (case.annotations, case.labelled):
            digest.update(file.read_bytes() if file else b"-")
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


def hashed_patient(patient: str, salt: str) -> str:
    """A keyed hash (HMAC-SHA-256, 16 hex digits) that tells a seen patient without naming one."""
    return hmac.new(salt.encode(), patient.encode(), hashlib.sha256).hexdigest()[:16]
