"""Whom to measure: never, unless asked, a patient that the model has seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from annotations.errors import CohortError

from .checkpoint import ModelCard
from .cohort import SPLITS, Case, Cohort, hashed_patient

TUNED_ON = ("train", "validation")


@dataclass(frozen=True)
class Selection:
    """Whom an evaluation measures.

    `split`: of the model's own cohort; None where every slide of another cohort is taken.
    `left_out`: patients that would have been measured had the model not seen them.
    `seen`: patients that it has seen and that are measured all the same.
    """

    cases: tuple[Case, ...]
    split: str | None
    left_out: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


def select_cases(
    cohort: Cohort, card: ModelCard, split: str = "test", include_seen: bool = False
) -> Selection:
    """The cases to measure: a split of the card's own cohort, every slide of any other.

    Patients that the model was trained or tuned on, recognised by their keyed hashes, are left out
    unless `include_seen`.

    Raises:
        CohortError: an unknown split, or nothing is left to measure.
    """
    if split not in SPLITS:
        raise CohortError(f"--split {split}: the splits are {', '.join(SPLITS)}")
    hashes = {patient: hashed_patient(patient, card.patient_salt) for patient in cohort.patients}
    known = {name: set(card.patients.get(name, ())) for name in SPLITS}
    own = cohort.digest == card.cohort_digest
    wanted = [p for p in cohort.patients if not own or hashes[p] in known[split]]
    seen = [p for p in wanted if any(hashes[p] in known[name] for name in TUNED_ON)]
    if not wanted:
        raise CohortError(
            f"{cohort.path.name}: the model {card.name} was made from this cohort and kept none of "
            f"its patients for {split}; name another --split, or measure on another cohort"
        )
    if include_seen:
        cases = cohort.of_patients(wanted)
        return Selection(cases, split if own else None, seen=tuple(seen))
    if len(seen) == len(wanted):
        raise CohortError(
            f"{cohort.path.name}: nothing to measure: {card.name} was trained or tuned on "
            f"{_listed(seen)}; measure on other patients, or use --include-seen, which marks "
            "every figure"
        )
    cases = cohort.of_patients(set(wanted) - set(seen))
    return Selection(cases, split if own else None, left_out=tuple(seen))


def _listed(patients: Sequence[str]) -> str:
    more = f" and {len(patients) - 10} more" if len(patients) > 10 else ""
    return f"patient{'s' * (len(patients) > 1)} {', '.join(patients[:10])}{more}"
