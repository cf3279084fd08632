"""What is written is read back: area, holes, islands, labels, in every format."""

import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from annotations import IGNORE, Outline, WritableFormat, read_outlines, write_outlines
from annotations.errors import OutlineError, OutlineWarning
from annotations.geometry import parts

FORMATS = get_args(WritableFormat)
LABELS = ("tumour", 'DCIS <in situ> & "more"', IGNORE)


def again(
    folder: Path,
    outlines: list[Outline],
    fmt: WritableFormat,
    origin: tuple[float, float] = (0.0, 0.0),
) -> list[Outline]:
    """Written and read; regions of one layer inside one another are expected to be noted."""
    path = folder / f"again.{fmt}"
    write_outlines(path, outlines, format=fmt, origin_level0=origin, mpp=0.25)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*regions drawn inside another", OutlineWarning)
        return read_outlines(path, origin_level0=origin)


def union(outlines: list[Outline], label: str) -> MultiPolygon:
    return shapely.union_all([o.polygon for o in outlines if o.label == label])


def hole_count(area: MultiPolygon) -> int:
    return sum(len(p.interiors) for p in parts(area))


def same(found: list[Outline], drawn: list[Outline]) -> None:
    """Each label covers the same area with the same holes."""
    assert {o.label for o in found} == {o.label for o in drawn}
    assert all(o.polygon.is_valid and not o.polygon.is_empty for o in found)
    for label in {o.label for o in drawn}:
        before, after = union(drawn, label), union(found, label)
        assert after.area == pytest.approx(before.area, rel=1e-6)
        assert after.symmetric_difference(before).area <= 1e-6 * before.area
        assert hole_count(after) == hole_count(before)
        assert len(parts(after)) == len(parts(before))


@st.composite
def maps(draw: st.DrawFn) -> list[Outline]:
    """Disjoint outlines of two or three labels, with holes and islands, at awkward coordinates."""
    labels = draw(st.sampled_from([LABELS[:1], LABELS[:2], LABELS]))
    rows = draw(st.integers(1, 9))
    columns = draw(st.integers(1, 9))
    cells = draw(
        st.lists(
            st.sampled_from(range(len(labels) + 1)),
            min_size=rows * columns,
            max_size=rows * columns,
        )
    )
    grid = np.array(cells).reshape(rows, columns)
    scale, shift = draw(st.floats(0.7, 977.7)), draw(st.floats(0, 99_999))
    outlines = []
    for value, label in enumerate(labels, 1):
        squares = [box(x, y, x + 1, y + 1) for y, x in np.argwhere(grid == value).tolist()]
        for polygon in parts(shapely.union_all(squares)):
            placed = shapely.transform(polygon, lambda xy: xy * scale + shift)
            outlines.append(Outline(label, placed))
    return outlines


@pytest.mark.parametrize("fmt", FORMATS)
@given(outlines=maps())
@settings(max_examples=60)
def test_disjoint_outlines(
    tmp_path_factory: pytest.TempPathFactory, fmt: WritableFormat, outlines: list[Outline]
) -> None:
    found = again(tmp_path_factory.mktemp("m"), outlines, fmt)
    same(found, outlines)
    total = sum(o.polygon.area for o in outlines)
    assert sum(o.polygon.area for o in found) == pytest.approx(total, rel=1e-6)


def frame(x: float, y: float, size: float, width: float) -> Polygon:
    """A square ring."""
    inner = box(x + width, y + width, x + size - width, y + size - width)
    return box(x, y, x + size, y + size).difference(inner)


rings = st.builds(
    lambda label, x, y, size, share: Outline(label, frame(x, y, size, size * share)),
    st.sampled_from(LABELS),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(5, 60),
    st.floats(0.05, 0.4),
)


@pytest.mark.parametrize("fmt", FORMATS)
@given(outlines=st.lists(rings, min_size=1, max_size=6))
@settings(max_examples=60)
def test_overlapping_rings_keep_every_label_where_it_was(
    tmp_path_factory: pytest.TempPathFactory, fmt: WritableFormat, outlines: list[Outline]
) -> None:
    found = again(tmp_path_factory.mktemp("r"), outlines, fmt)
    assert {o.label for o in found} == {o.label for o in outlines}
    for label in LABELS:
        before, after = union(outlines, label), union(found, label)
        assert after.symmetric_difference(before).area <= 1e-6 * before.area


@pytest.mark.parametrize("fmt", FORMATS)
def test_islands_in_holes_in_islands_come_back_one_by_one(
    tmp_path: Path, fmt: WritableFormat
) -> None:
    nested = [frame(0, 0, 90, 10), frame(20, 20, 50, 10), box(40, 40, 50, 50), box(12, 12, 15, 15)]
    drawn = [Outline("tumour", polygon) for polygon in nested]
    found = again(tmp_path, drawn, fmt)
    same(found, drawn)
    assert [len(o.polygon.interiors) for o in found] == [1, 1, 0, 0]
    assert [o.polygon.area for o in found] == [polygon.area for polygon in nested]


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_island_of_another_label_does_not_fill_the_hole(
    tmp_path: Path, fmt: WritableFormat
) -> None:
    drawn = [Outline("tumour", frame(0, 0, 90, 10)), Outline("stroma", box(30, 30, 40, 40))]
    same(again(tmp_path, drawn, fmt), drawn)


def test_the_formats_agree_with_one_another(tmp_path: Path) -> None:
    drawn = [
        Outline("tumour", frame(0.1, 0.2, 90, 10)),
        Outline("tumour", box(30, 30, 40, 40)),
        Outline("stroma", frame(200, 0, 50, 5)),
    ]
    outlines = drawn
    for fmt in (*FORMATS, *reversed(FORMATS)):
        outlines = again(tmp_path, outlines, fmt)
        same(outlines, drawn)


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_origin_is_taken_off_and_put_back(tmp_path: Path, fmt: WritableFormat) -> None:
    drawn = [Outline("tumour", frame(1000, 2000, 90, 10))]
    same(again(tmp_path, drawn, fmt, origin=(1000.0, 2000.0)), drawn)
    (cropped,) = read_outlines(tmp_path / f"again.{fmt}")
    assert cropped.polygon.bounds == (0, 0, 90, 90)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_slit_that_closes_when_it_is_moved_leaves_a_valid_outline(
    tmp_path: Path, fmt: WritableFormat
) -> None:
    left, right = 5 - 1e-12, 5 + 1e-12
    slit = [(right, 10), (right, 5), (left, 5), (left, 10)]
    drawn = [Outline("tumour", Polygon([(0, 0), (10, 0), (10, 10), *slit, (0, 10)]))]
    write_outlines(tmp_path / "far", drawn, format=fmt, origin_level0=(-1e6, 0.0))
    (found,) = read_outlines(tmp_path / "far")
    assert found.polygon.is_valid
    assert found.polygon.area == pytest.approx(100)


@pytest.mark.parametrize("fmt", FORMATS)
def test_equal_outlines_give_equal_bytes_and_no_other_file(
    tmp_path: Path, fmt: WritableFormat
) -> None:
    drawn = [Outline("tumour", frame(0, 0, 90, 10)), Outline("stroma", box(200, 0, 201, 1))]
    for name in ("a", "b"):
        write_outlines(tmp_path / name, drawn, format=fmt)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_outlines_are_read_back_as_none(tmp_path: Path, fmt: WritableFormat) -> None:
    assert again(tmp_path, [], fmt) == []


@pytest.mark.parametrize("fmt", FORMATS)
def test_one_outline_with_a_thousand_holes(tmp_path: Path, fmt: WritableFormat) -> None:
    squares = [
        (x * 10 + 3.3, y * 10 + 3.3, x * 10 + 6.6, y * 10 + 6.6)
        for x in range(40)
        for y in range(25)
    ]
    sieve = Polygon(box(0, 0, 400, 250).exterior, [box(*s).exterior for s in squares])
    drawn = [Outline("tumour", sieve)]
    same(again(tmp_path, drawn, fmt), drawn)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("label", ["", "  ", "a\x00b", "Exclusion", "\ud800"])
def test_labels_that_no_file_can_hold_are_refused(
    tmp_path: Path, fmt: WritableFormat, label: str
) -> None:
    with pytest.raises(OutlineError, match=r"out\.x: outline 1 .*rename it"):
        write_outlines(tmp_path / "out.x", [Outline(label, box(0, 0, 1, 1))], format=fmt)
    assert list(tmp_path.iterdir()) == []


def test_invalid_polygons_are_not_written(tmp_path: Path) -> None:
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    with pytest.raises(OutlineError, match=r"outline 1 \('tumour'\) is not a valid polygon"):
        write_outlines(tmp_path / "out.xml", [Outline("tumour", bow_tie)], format="asap")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "out.xml"
    with pytest.raises(OutlineError, match=r"out\.xml: cannot be written: No such file"):
        write_outlines(path, [], format="asap")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    write_outlines(path, [Outline("tumour", box(0, 0, 1, 1))], format="asap")
    before = path.read_bytes()
    with pytest.raises(OutlineError):
        write_outlines(path, [Outline("None", box(0, 0, 1, 1))], format="asap")
    assert path.read_bytes() == before
