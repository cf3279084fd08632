"""cohort.csv: every fault named, patients never in two sets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.errors import CohortError
from model.cohort import (
    Case,
    Cohort,
    fold_patients,
    hashed_patient,
    read_cohort,
    split_patients,
)

HEADER = "slide,annotations,patient"


def written(folder: Path, text: str | bytes) -> Path:
    """A cohort file beside files a.tiff to d.tiff and a.xml, a folder f and a grid g.png."""
    for name in ("a.tiff", "b.tiff", "c.tiff", "d.tiff", "a.xml", "g.png"):
        (folder / name).write_bytes(name.encode())
    (folder / "f").mkdir(exist_ok=True)
    path = folder / "cohort.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_cohort_as_the_contract_says(tmp_path: Path) -> None:
    text = (
        f"{HEADER},stage,split,mpp,labelled\na.tiff,a.xml,p1,IV,train,0.25,g.png\n"
        "b.tiff,,p2,,test,,\n"
    )
    first, second = read_cohort(written(tmp_path, text)).cases
    assert first == Case(
        tmp_path / "a.tiff", tmp_path / "a.xml", "p1", "train", 0.25, tmp_path / "g.png"
    )
    assert second == Case(tmp_path / "b.tiff", None, "p2", "test")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + f"{HEADER}\na.tiff,,p".encode(),
        f"{HEADER}\r\na.tiff,,p\r\n",
        " slide , annotations , patient \n a.tiff ,, p \n",
        f'{HEADER},note\na.tiff,,p,"two\nlines, one cell"\n',
        f"{HEADER}\na.tiff,,p,more,than,columns\n",
    ],
    ids=["BOM", "CRLF", "blanks", "quoted line break", "too many columns"],
)
def test_csv_as_programs_write_it(tmp_path: Path, text: str | bytes) -> None:
    assert read_cohort(written(tmp_path, text)).cases == (Case(tmp_path / "a.tiff", None, "p"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column slide, annotations, patient"),
        (f"{HEADER}\n", "has no rows"),
        ("slide,patient\na.tiff,p", "has no column annotations"),
        ("slide;annotations;patient\na.tiff;;p", "separated by commas"),
        (f"{HEADER}\nz.tiff,,p", "line 2: slide z.tiff does not exist"),
        (f"{HEADER}\na.tiff,z.xml,p", "line 2: annotations z.xml does not exist"),
        (f"{HEADER}\na.tiff,f,p", "line 2: annotations f is not a file"),
        (f"{HEADER},labelled\na.tiff,,p,z.png", "line 2: labelled z.png does not exist"),
        (f"{HEADER}\n{'x' * 5000},,p", "line 2: slide x+: File name too long"),
        (f"{HEADER}\n,,p", "line 2: no slide"),
        (f"{HEADER}\na.tiff,,", "line 2: no patient"),
        (f"{HEADER}\na.tiff", "line 2: no patient"),
        (f"{HEADER}\na.tiff,,p\na.tiff,,q", "lines 2, 3: slide a.tiff stands there more than"),
        (f"{HEADER},split\na.tiff,,p,dev", "line 2: split 'dev' is none of train, validation"),
        (f"{HEADER},split\na.tiff,,p,train\nb.tiff,,p,test", "patient p stands in test and train"),
        (f"{HEADER},split\na.tiff,,p,train\nb.tiff,,q,", "lines 3: no split, though other lines"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "cannot be read as a CSV file"),
        (f"{HEADER}\na.tiff,,{'x' * 200_000}", "cannot be read as a CSV file: field larger"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_cohort(written(tmp_path, text))


@pytest.mark.parametrize("mpp", ["0", "-0.5", "nan", "inf", "352.8", "a quarter", "0,25 µm"])
def test_an_absurd_resolution_is_a_fault(tmp_path: Path, mpp: str) -> None:
    with pytest.raises(CohortError, match=r"line 2: mpp .* is no µm/px"):
        read_cohort(written(tmp_path, f'{HEADER},mpp\na.tiff,,p,"{mpp}"'))


def test_all_faults_come_at_once_but_no_endless_list(tmp_path: Path) -> None:
    rows = "\n".join(f"z{i}.tiff,,p" for i in range(30))
    with pytest.raises(CohortError) as caught:
        read_cohort(written(tmp_path, f"{HEADER}\n{rows}"))
    text = str(caught.value)
    assert "cohort.csv: 30 faults" in text and "z19.tiff" in text and "and 10 more" in text
    assert "more than once" not in text


def test_a_missing_cohort_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"no-such\.csv"):
        read_cohort(tmp_path / "no-such.csv")


def test_the_digest_covers_the_outlines_not_the_place(tmp_path: Path) -> None:
    digests = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        path = written(tmp_path / place, f"{HEADER}\na.tiff,a.xml,p")
        digests.append(read_cohort(path).digest)
    assert digests[0] == digests[1]
    (tmp_path / "two" / "a.xml").write_text("redrawn")
    assert read_cohort(path).digest != digests[0]


def cohort_of(patients: int, slides: int = 2, split: str | None = None) -> Cohort:
    cases = tuple(
        Case(Path(f"{p}-{s}.tiff"), None, f"p{p}", split)
        for p in range(patients)
        for s in range(slides)
    )
    return Cohort(Path("cohort.csv"), cases, "digest")


shares = st.sampled_from(
    [(0.6, 0.2, 0.2), (0.8, 0.2, 0.0), (0.5, 0.0, 0.5), (0.02, 0.49, 0.49), (1.0, 0.0, 0.0)]
)


@given(st.integers(3, 60), shares, st.integers(0, 99))
def test_splits_part_the_patients_and_follow_the_seed(
    patients: int, wanted: tuple[float, float, float], seed: int
) -> None:
    cohort = cohort_of(patients)
    split = split_patients(cohort, wanted, seed)
    assert split == split_patients(cohort, wanted, seed)
    together = [patient for names in split.values() for patient in names]
    assert sorted(together) == cohort.patients
    for share, names in zip(wanted, split.values(), strict=True):
        assert bool(names) == bool(share)
        assert abs(len(names) - share * patients) <= 2
    assert sum(len(cohort.of_patients(names)) for names in split.values()) == len(cohort.cases)


def test_seeds_differ_and_the_order_of_rows_does_not_matter() -> None:
    cohort = cohort_of(20)
    turned = Cohort(cohort.path, cohort.cases[::-1], "digest")
    wanted = (0.6, 0.2, 0.2)
    assert split_patients(cohort, wanted, 1) == split_patients(turned, wanted, 1)
    assert split_patients(cohort, wanted, 1) != split_patients(cohort, wanted, 2)


def test_the_files_own_split_is_kept(tmp_path: Path) -> None:
    text = f"{HEADER},split\na.tiff,,p,train\nb.tiff,,q,validation\nc.tiff,,p,train"
    cohort = read_cohort(written(tmp_path, text))
    found = split_patients(cohort, (0.1, 0.1, 0.8), 5)
    assert found == {"train": ("p",), "validation": ("q",), "test": ()}


def test_too_few_patients_say_the_way_out() -> None:
    with pytest.raises(CohortError, match="2 patients cannot be split 3 ways; add patients"):
        split_patients(cohort_of(2), (0.6, 0.2, 0.2), 0)
    with pytest.raises(CohortError, match="4 patients do not make 5 folds"):
        fold_patients(cohort_of(4), 5, 0)
    with pytest.raises(CohortError, match="1 folds"):
        fold_patients(cohort_of(4), 1, 0)


@given(st.integers(3, 60), st.integers(2, 8), st.integers(0, 99))
def test_folds_part_the_patients_evenly(patients: int, folds: int, seed: int) -> None:
    if patients < folds:
        return
    cohort = cohort_of(patients)
    found = fold_patients(cohort, folds, seed)
    assert found == fold_patients(cohort, folds, seed)
    assert sorted(name for fold in found for name in fold) == cohort.patients
    sizes = [len(fold) for fold in found]
    assert len(sizes) == folds and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


def test_hashes_tell_patients_apart_and_name_nobody() -> None:
    assert hashed_patient("p1", "salt") == hashed_patient("p1", "salt")
    others = {hashed_patient("p2", "salt"), hashed_patient("p1", "pepper")}
    assert hashed_patient("p1", "salt") not in others and len(others) == 2
    assert "p1" not in hashed_patient("p1", "salt") and len(hashed_patient("p1", "salt")) == 16
