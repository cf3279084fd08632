from pathlib import Path

import pytest

from annotations.errors import CohortError, UsageError
from service.inputs import find_slides


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(*arguments: Path) -> list[str]:
    return [slide.name for slide in find_slides(arguments)]


def test_files_come_in_the_order_given_each_once(tmp_path: Path) -> None:
    b, a = touch(tmp_path / "b.svs"), touch(tmp_path / "a.ndpi")
    assert names(b, a, tmp_path / "." / "b.svs") == ["b", "a"]


def test_a_folder_gives_its_slides_dicom_folders_and_flat_images(tmp_path: Path) -> None:
    for name in ("b.SVS", "a b.png", "e.tiff", "notes.xml", "cohort.csv", ".hidden.svs"):
        touch(tmp_path / name)
    touch(tmp_path / "dicom" / "1.dcm")
    touch(tmp_path / "other" / "deep.svs")
    assert names(tmp_path) == ["a b", "b", "dicom", "e"]


def test_any_file_of_a_dicom_slide_is_the_whole_slide(tmp_path: Path) -> None:
    one, two = touch(tmp_path / "case" / "1.dcm"), touch(tmp_path / "case" / "2.dcm")
    assert names(one, two, tmp_path / "case") == ["case"]


def test_lists_name_paths_relative_to_themselves(tmp_path: Path) -> None:
    slide = touch(tmp_path / "slides" / "a.svs")
    listed = tmp_path / "lists" / "list.txt"
    listed.parent.mkdir()
    listed.write_text("\ufeff../slides/a.svs\n\n# a comment\n../slides/gone.svs\n")
    found = find_slides([listed])
    assert [slide.name for slide in found] == ["a", "gone"]
    assert found[0].path.resolve() == slide.resolve()


def test_cohorts_say_the_resolution_of_a_slide(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort.csv"
    cohort.write_text("patient,slide,mpp\np,a.png,0.62\nq,b.svs,\n")
    assert [(slide.name, slide.mpp) for slide in find_slides([cohort])] == [
        ("a", 0.62),
        ("b", None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "column `slide`"),
        ("slide\n", "rows"),
        ("slide,mpp\na.svs,fine\n", "line 2: mpp 'fine'"),
        ("slide,mpp\n,1\n", "line 2: no slide"),
        ("slide\n" + "a" * 200_000 + "\n", "cannot be read as a CSV file"),
    ],
)
def test_cohorts_that_cannot_be_used_say_where(tmp_path: Path, text: str, said: str) -> None:
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(text)
    with pytest.raises(CohortError, match=said):
        find_slides([cohort])


def test_cohorts_are_read_as_training_reads_them(tmp_path: Path) -> None:
    """Blanks around column names, line breaks within quotes, and commas too many."""
    cohort = tmp_path / "cohort.csv"
    cohort.write_text('patient, slide , mpp\n"p\nq", a.png ,0.62,beyond\n')
    assert [(slide.name, slide.mpp) for slide in find_slides([cohort])] == [("a", 0.62)]


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CohortError, match=r"list\.txt"):
        find_slides([tmp_path / "list.txt"])


def test_missing_files_are_slides_that_will_fail(tmp_path: Path) -> None:
    assert names(touch(tmp_path / "a.svs"), tmp_path / "gone.svs") == ["a", "gone"]


def test_two_slides_of_one_name_are_both_named(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "x" / "a.svs"), touch(tmp_path / "y" / "a.tiff")
    with pytest.raises(UsageError) as error:
        find_slides([first, second])
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)


@pytest.mark.parametrize("name", [".work.svs", "slides.csv.svs"])
def test_names_that_would_hit_other_files_of_the_output_are_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="rename"):
        find_slides([touch(tmp_path / name)])


def test_a_name_that_is_no_text_is_refused_and_shown(tmp_path: Path) -> None:
    slide = tmp_path / "caf\udce9.svs"
    with pytest.raises(UsageError, match=r"caf\\udce9\.svs.*rename"):
        find_slides([slide])


def test_paths_that_the_system_refuses_are_wrong_usage(tmp_path: Path) -> None:
    for name in ("loop.svs", "loop.dcm"):
        (tmp_path / name).symlink_to(tmp_path / name)
        with pytest.raises(UsageError, match=r"loop.*cannot be looked at"):
            find_slides([tmp_path / name])
    (tmp_path / "list.txt").write_text("b" * 300 + ".svs")
    with pytest.raises(UsageError, match=r"list\.txt: cannot be looked at: .*bbb.*too long"):
        find_slides([tmp_path / "list.txt"])


def test_a_folder_without_slides_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svs"):
        find_slides([tmp_path])
    with pytest.raises(UsageError, match="no slides"):
        find_slides([])
