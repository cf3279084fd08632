"""ASAP files: order, groups, exclusions, splines, rectangles."""

import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from shapely import Polygon, box

from annotations import IGNORE, LabelRules, Outline, read_outlines, write_outlines
from annotations.errors import OutlineError, OutlineWarning

SQUARE = ((0, 0), (100, 0), (100, 100), (0, 100))
INNER = ((20, 20), (60, 20), (60, 60), (20, 60))


def annotation(
    points: tuple[tuple[float, float], ...],
    group: str = "None",
    kind: str = "Polygon",
    name: str = "Annotation 0",
) -> str:
    coordinates = "".join(
        f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(points)
    )
    return (
        f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}">'
        f"<Coordinates>{coordinates}</Coordinates></Annotation>"
    )


def read(
    folder: Path, *annotations: str, groups: str = "", rules: LabelRules | None = None
) -> list[Outline]:
    path = folder / "a.xml"
    path.write_text(
        f"<ASAP_Annotations><Annotations>{''.join(annotations)}</Annotations>"
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )
    return read_outlines(path, rules=rules)


def test_order_counts_not_the_place_in_the_file(tmp_path: Path) -> None:
    jumbled = (
        '<Annotation Name="a" Type="Polygon" PartOfGroup="Tumor"><Coordinates>'
        '<Coordinate Order="2" X="100" Y="100"/><Coordinate Order="0" X="0" Y="0"/>'
        '<Coordinate Order="3" X="0" Y="100"/><Coordinate Order="1" X="100" Y="0"/>'
        "</Coordinates></Annotation>"
    )
    (outline,) = read(tmp_path, jumbled)
    assert outline.polygon.equals(box(0, 0, 100, 100))


def test_more_than_ten_points_are_ordered_as_numbers(tmp_path: Path) -> None:
    ring = tuple(Polygon(box(0, 0, 100, 100)).buffer(10).exterior.coords[:-1])
    (outline,) = read(tmp_path, annotation(ring))
    assert outline.polygon.equals(Polygon(ring))


def test_decimal_commas(tmp_path: Path) -> None:
    text = annotation(SQUARE).replace('X="100"', 'X="100,5"')
    (outline,) = read(tmp_path, text)
    assert outline.polygon.bounds == (0, 0, 100.5, 100)


def test_exclusion_groups_are_holes_wherever_they_stand_in_the_file(tmp_path: Path) -> None:
    (outline,) = read(tmp_path, annotation(INNER, "_2"), annotation(SQUARE, "_0"))
    assert outline.label == "tumour"
    assert outline.polygon.area == 10_000 - 1_600
    assert len(outline.polygon.interiors) == 1


def test_exclusions_cut_every_class_but_ignore(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        annotation(SQUARE, "Tumor"),
        annotation(SQUARE, "stroma"),
        annotation(SQUARE, "ignore"),
        annotation(INNER, "Exclusion"),
    )
    assert [(o.label, o.polygon.area) for o in found] == [
        ("tumour", 8_400),
        ("stroma", 8_400),
        (IGNORE, 10_000),
    ]


def test_an_exclusion_that_covers_a_shape_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="exclusions cover wholly, left out: annotation 1"):
        assert read(tmp_path, annotation(INNER, "_0"), annotation(SQUARE, "_2")) == []


def test_a_nested_group_means_what_the_group_around_it_means(tmp_path: Path) -> None:
    groups = (
        '<Group Name="solid" PartOfGroup="nests"/><Group Name="nests" PartOfGroup="Tumor"/>'
        '<Group Name="Tumor" PartOfGroup="None"/><Group Name="x" PartOfGroup="y"/>'
        '<Group Name="y" PartOfGroup="x"/>'
    )
    found = read(tmp_path, annotation(SQUARE, "solid"), annotation(SQUARE, "x"), groups=groups)
    assert [o.label for o in found] == ["tumour", "x"]


def test_without_a_group_the_name_counts_unless_the_program_gave_it(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        annotation(SQUARE, name="Annotation 0"),
        annotation(SQUARE, name="_2"),
        annotation(SQUARE, name="Tumor4"),
        annotation(SQUARE, name="necrosis"),
    )
    assert [o.label for o in found] == ["tumour", "tumour", "tumour", "necrosis"]


def test_shapes_without_a_label_can_be_left_out(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="without a label, left out: annotation 1"):
        assert read(tmp_path, annotation(SQUARE), rules=LabelRules(unlabelled=None)) == []


@pytest.mark.parametrize("points", [((0, 100), (100, 0)), SQUARE, (SQUARE[0], SQUARE[2])])
def test_rectangles(tmp_path: Path, points: tuple[tuple[float, float], ...]) -> None:
    (outline,) = read(tmp_path, annotation(points, kind="Rectangle"))
    assert outline.polygon.equals(box(0, 0, 100, 100))


def test_splines_bulge_beyond_their_points(tmp_path: Path) -> None:
    (outline,) = read(tmp_path, annotation(SQUARE, kind="Spline"))
    assert 11_000 < outline.polygon.area < 15_708
    assert outline.polygon.buffer(1e-9).covers(box(0, 0, 100, 100))


@pytest.mark.parametrize("kind", ["Dot", "PointSet", "Measurement", "None"])
def test_shapes_without_an_area_are_left_out_by_name(tmp_path: Path, kind: str) -> None:
    with pytest.warns(OutlineWarning, match=rf"a\.xml: .*left out: annotation 2 \('spot', {kind}"):
        found = read(tmp_path, annotation(SQUARE), annotation(SQUARE, kind=kind, name="spot"))
    assert len(found) == 1


def test_an_annotation_without_coordinates_is_left_out(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="fewer than three points, left out: annotation 1"):
        assert read(tmp_path, '<Annotation Name="a" Type="Polygon"/>') == []


@pytest.mark.parametrize("bad", ['X="north"', 'X="1.234,5"', 'X=""', 'Z="3"'])
def test_a_coordinate_that_is_no_number_is_refused_by_name(tmp_path: Path, bad: str) -> None:
    text = annotation(SQUARE).replace('X="0"', bad, 1)
    with pytest.raises(OutlineError, match=r"a\.xml: annotation 1 .* no number"):
        read(tmp_path, text)


def test_an_order_that_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OutlineError, match=r"a\.xml: annotation 1 .*'first' that is no number"):
        read(tmp_path, annotation(SQUARE).replace('Order="0"', 'Order="first"'))


def test_every_group_of_a_written_file_is_declared_and_shapes_are_simple(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    ring = box(0, 0, 100, 100).difference(box(20, 20, 60, 60))
    outlines = [Outline("tumour", ring), Outline("tumour", box(30, 30, 40, 40))]
    write_outlines(path, [*outlines, Outline('a "b" <c>', box(200, 0, 210, 10))], format="asap")
    root = ET.parse(path).getroot()
    used = {a.get("PartOfGroup") for a in root.iter("Annotation")}
    declared = {g.get("Name") for g in root.iter("Group")}
    assert used == declared == {"tumour", 'a "b" <c>', "Exclusion"}
    for a in root.iter("Annotation"):
        points = [(float(c.get("X", "")), float(c.get("Y", ""))) for c in a.iter("Coordinate")]
        assert Polygon(points).is_valid
        assert [c.get("Order") for c in a.iter("Coordinate")] == [
            str(number) for number in range(len(points))
        ]


def test_what_asap_paints_later_leaves_islands_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    ring = box(0, 0, 100, 100).difference(box(20, 20, 60, 60))
    island = box(30, 30, 40, 40)
    write_outlines(path, [Outline("tumour", ring), Outline("tumour", island)], format="asap")
    for a in ET.parse(path).getroot().iter("Annotation"):
        points = [(float(c.get("X", "")), float(c.get("Y", ""))) for c in a.iter("Coordinate")]
        if a.get("PartOfGroup") == "Exclusion":
            assert not Polygon(points).intersection(island).area


def test_the_label_none_is_refused_because_asap_reads_it_as_ungrouped(tmp_path: Path) -> None:
    with pytest.raises(OutlineError, match="ASAP cannot hold the label 'None': rename it"):
        write_outlines(tmp_path / "a.xml", [Outline("None", box(0, 0, 1, 1))], format="asap")


def test_a_million_vertices_are_read(tmp_path: Path) -> None:
    ring = Polygon(box(0, 0, 10, 10)).exterior.segmentize(4e-5)
    path = tmp_path / "big.xml"
    write_outlines(path, [Outline("tumour", Polygon(ring))], format="asap")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (outline,) = read_outlines(path)
    assert len(outline.polygon.exterior.coords) > 1_000_000
    assert outline.polygon.area == pytest.approx(100)
