"""ImageScope files: layers, negative regions, shapes."""

import math
from pathlib import Path

import pytest
from shapely import box

from annotations import IGNORE, LabelRules, Outline, SlidePlane, read_outlines, write_outlines
from annotations.errors import OutlineError, OutlineWarning

Box = tuple[float, float, float, float]


def region(corners: Box, kind: int = 0, negative: int = 0, text: str = "", number: int = 1) -> str:
    x0, y0, x1, y1 = corners
    points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
    return (
        f'<Region Id="{number}" Type="{kind}" Text="{text}" NegativeROA="{negative}">'
        f"<Vertices>{vertices}</Vertices></Region>"
    )


def layer(*regions: str, name: str = "Tumor", colour: int = 65280) -> str:
    return (
        f'<Annotation Id="1" Name="{name}" LineColor="{colour}">'
        f"<Regions>{''.join(regions)}</Regions></Annotation>"
    )


def read(
    folder: Path,
    *layers: str,
    plane: SlidePlane | None = None,
    rules: LabelRules | None = None,
) -> list[Outline]:
    path = folder / "a.xml"
    path.write_text(f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>')
    return read_outlines(path, plane=plane, rules=rules)


def test_a_negative_region_is_a_hole_in_the_smallest_region_around_it(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="drawn inside another of their layer.*region 2"):
        large, small = read(
            tmp_path,
            layer(
                region((0, 0, 100, 100)),
                region((20, 20, 60, 60), number=2),
                region((30, 30, 40, 40), negative=1, number=3),
            ),
        )
    assert large.polygon.area == 10_000
    assert small.polygon.area == 1_600 - 100
    assert len(small.polygon.interiors) == 1


def test_a_hole_stays_in_its_own_layer_although_another_region_is_closer(tmp_path: Path) -> None:
    tumour, stroma = read(
        tmp_path,
        layer(region((0, 0, 100, 100)), region((30, 30, 40, 40), negative=1)),
        layer(region((20, 20, 60, 60)), name="stroma"),
    )
    assert tumour.polygon.area == 9_900
    assert stroma.polygon.area == 1_600


def test_a_layer_of_holes_is_matched_over_the_file(tmp_path: Path) -> None:
    (tumour,) = read(
        tmp_path,
        layer(region((30, 30, 40, 40), negative=1), name="holes"),
        layer(region((0, 0, 100, 100))),
    )
    assert tumour.polygon.area == 9_900


def test_a_negative_region_over_the_edge_is_cut_out_and_named(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="reach out of the one that they are in: region 2"):
        (outline,) = read(
            tmp_path,
            layer(region((0, 0, 100, 100)), region((90, 40, 120, 60), negative=1, number=2)),
        )
    assert outline.polygon.area == 10_000 - 200


def test_a_negative_region_outside_everything_is_named(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="outside every other region, left out: region 2"):
        (outline,) = read(
            tmp_path,
            layer(region((0, 0, 100, 100)), region((200, 0, 220, 10), negative=1, number=2)),
        )
    assert outline.polygon.area == 10_000


def test_a_negative_region_over_all_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="cover wholly, left out: region 1"):
        found = read(
            tmp_path, layer(region((0, 0, 9, 9)), region((0, 0, 9, 9), negative=1, number=2))
        )
    assert found == []


def test_an_island_in_a_hole_is_no_nested_region(tmp_path: Path) -> None:
    ring, island = read(
        tmp_path,
        layer(
            region((0, 0, 100, 100)),
            region((20, 20, 60, 60), negative=1),
            region((30, 30, 40, 40)),
        ),
    )
    assert (ring.polygon.area, island.polygon.area) == (8_400, 100)


def test_the_class_is_the_layers_name_or_else_the_text_but_never_the_colour(tmp_path: Path) -> None:
    square = (0, 0, 10, 10)
    found = read(
        tmp_path,
        layer(region(square, text="Test"), name="DCIS"),
        layer(region((20, 0, 30, 10), text="Necrosis"), name=""),
        layer(region((40, 0, 50, 10)), name=" ", colour=255),
        layer(region((60, 0, 70, 10), text="ignore"), name="Tumor", colour=255),
    )
    assert [o.label for o in found] == ["DCIS", "Necrosis", "tumour", IGNORE]


def test_a_text_that_says_exclusion_makes_a_hole(tmp_path: Path) -> None:
    with pytest.warns(OutlineWarning, match="drawn inside another"):
        (outline,) = read(
            tmp_path, layer(region((0, 0, 100, 100)), region((20, 20, 60, 60), text="Exclusion"))
        )
    assert outline.polygon.area == 8_400


def test_rectangles_ellipses_and_polygons_that_kept_their_type(tmp_path: Path) -> None:
    def two(kind: int, x: float) -> str:
        return (
            f'<Region Id="1" Type="{kind}" Text="" NegativeROA="0"><Vertices>'
            f'<Vertex X="{x}" Y="0"/><Vertex X="{x + 40}" Y="20"/></Vertices></Region>'
        )

    edited = two(1, 300).replace(
        "</Vertices>",
        '<Vertex X="340" Y="40"/><Vertex X="320" Y="60"/><Vertex X="300" Y="40"/></Vertices>',
    )
    found = read(
        tmp_path,
        layer(two(1, 0), two(2, 100), region((200, 0, 240, 20), kind=2), edited),
    )
    areas = [o.polygon.area for o in found]
    quarter = math.pi * 20 * 10
    assert areas == pytest.approx([800, quarter, quarter, 1600])
    assert found[1].polygon.centroid.coords[0] == pytest.approx((120, 10))


@pytest.mark.parametrize("kind", [3, 4, 5])
def test_arrows_and_rulers_are_left_out_by_name(tmp_path: Path, kind: int) -> None:
    with pytest.warns(OutlineWarning, match=r"without an area, left out: region 7 of layer 1"):
        found = read(tmp_path, layer(region((0, 0, 9, 9), kind=kind, number=7)))
    assert found == []


def test_another_resolution_than_the_slides_is_named(tmp_path: Path) -> None:
    plane = SlidePlane(1000, 1000, mpp=(0.5, 0.5))
    with pytest.warns(OutlineWarning, match=r"drawn at 0\.25 µm/px but the slide has 0\.5"):
        read(tmp_path, layer(region((0, 0, 9, 9))), plane=plane)
    near = SlidePlane(1000, 1000, mpp=(0.2502, 0.2502))
    assert len(read(tmp_path, layer(region((0, 0, 9, 9))), plane=near)) == 1


def test_crlf_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    text = f"<Annotations>\r\n{layer(region((0, 0, 9, 9)))}\r\n</Annotations>"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_outlines(path)[0].polygon.area == 81
    path.write_bytes(text.encode("utf-16"))
    assert read_outlines(path)[0].polygon.area == 81


def test_a_written_file_states_its_resolution(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    write_outlines(path, [Outline("tumour", box(0, 0, 9, 9))], format="imagescope", mpp=0.25)
    assert '<Annotations MicronsPerPixel="0.25">' in path.read_text()


def test_a_coordinate_that_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OutlineError, match=r"a\.xml: region 1 of layer 1 \('Tumor'\) .*no number"):
        read(tmp_path, layer(region((0, 0, 9, 9)).replace('X="9"', 'X="nine"')))
