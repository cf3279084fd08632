"""Outlines from one program's format to another's."""

import gzip
import json
from pathlib import Path

import pytest
from shapely import Polygon, box

from annotations import Outline, SlidePlane, read_outlines, write_outlines
from annotations.errors import OutlineError, UsageError
from annotations.origins import ORIGIN, file_origin_level0
from service.convert import convert_on, convert_outlines

RING = Outline("tumour", box(10, 20, 510, 320).difference(box(100, 100, 200, 150)))
SPOT = Outline("stroma", Polygon([(600.5, 10), (700, 10), (650, 90.25)]))


def _source(path: Path) -> Path:
    write_outlines(path, [RING, SPOT], format="asap")
    return path


@pytest.mark.parametrize(
    ("name", "to", "written"),
    [
        ("out.geojson", None, "qupath"),
        ("out.JSON", None, "qupath"),
        ("out.xml", None, "asap"),
        ("out.imagescope.xml", None, "imagescope"),
        ("out.xml", "imagescope", "imagescope"),
        ("out.txt", "qupath", "qupath"),
    ],
)
def test_the_format_follows_from_the_name_or_is_said(
    tmp_path: Path, name: str, to: str | None, written: str
) -> None:
    done = convert_outlines(_source(tmp_path / "in.xml"), tmp_path / name, to=to)
    assert done.format == written
    head = (tmp_path / name).read_text()[:400]
    marks = {"qupath": "FeatureCollection", "asap": "ASAP_Annotations", "imagescope": "<Regions"}
    assert marks[written] in head
    back = {outline.label: outline.polygon for outline in read_outlines(tmp_path / name)}
    assert back["tumour"].equals(RING.polygon) and back["stroma"].equals(SPOT.polygon)


def test_what_was_done_is_counted(tmp_path: Path) -> None:
    done = convert_outlines(_source(tmp_path / "in.xml"), tmp_path / "out.geojson")
    assert done.message == "2 outlines (1 stroma, 1 tumour), 1 hole, written for qupath"


@pytest.mark.parametrize(("name", "to"), [("out.txt", None), ("out.xml", "word")])
def test_an_unknown_format_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, to: str | None
) -> None:
    with pytest.raises(UsageError, match="--to"):
        convert_outlines(_source(tmp_path / "in.xml"), tmp_path / name, to=to)
    assert not (tmp_path / name).exists()


def test_ndpa_needs_its_slide_and_with_it_lies_on_it(data: Path, tmp_path: Path) -> None:
    slide = data / "slides" / "fluorescence TRITC.ndpi"
    ndpa = tmp_path / "drawn.ndpa"
    # 12538720, -96063: the middle of the image from the middle of the glass, in nm
    corners = [(-100000, -50000), (100000, -50000), (100000, 50000), (-100000, 50000)]
    points = "".join(f"<point><x>{x + 12538720}</x><y>{y - 96063}</y></point>" for x, y in corners)
    ndpa.write_text(
        '<annotations><ndpviewstate id="1"><title>tumour</title>'
        "<coordformat>nanometers</coordformat>"
        '<annotation type="freehand" displayname="AnnotateFreehand" color="#000000">'
        f"<closed>1</closed><pointlist>{points}</pointlist></annotation>"
        "</ndpviewstate></annotations>"
    )
    with pytest.raises(OutlineError, match="--slide"):
        convert_outlines(ndpa, tmp_path / "out.geojson")
    convert_outlines(ndpa, tmp_path / "out.geojson", slide=slide)
    (outline,) = read_outlines(tmp_path / "out.geojson")
    half = 100000 / 228.1752
    expected = box(1984 - half, 2432 - half / 2, 1984 + half, 2432 + half / 2)
    assert outline.polygon.symmetric_difference(expected).area < 1e-3 * expected.area


def test_outlines_of_another_slide_are_refused(data: Path, tmp_path: Path) -> None:
    far = Outline("tumour", box(50000, 50000, 50100, 50100))
    write_outlines(tmp_path / "in.geojson", [far], format="qupath")
    with pytest.raises(OutlineError, match="outside the slide"):
        convert_outlines(
            tmp_path / "in.geojson",
            tmp_path / "out.xml",
            slide=data / "slides" / "packer_example.tif",
        )
    assert not (tmp_path / "out.xml").exists()


def test_imagescope_files_state_the_slides_resolution(data: Path, tmp_path: Path) -> None:
    slide = data / "slides" / "packer_example.tif"
    convert_outlines(_source(tmp_path / "in.xml"), tmp_path / "out.imagescope.xml", slide=slide)
    assert 'MicronsPerPixel="0.98719' in (tmp_path / "out.imagescope.xml").read_text()


CROPPED = SlidePlane(2000, 1000, mpp=(0.5, 0.5), bounds_origin=(300.0, 70.0))


def test_qupath_sees_slides_with_bounds_from_the_bounds_on(tmp_path: Path) -> None:
    source = tmp_path / "in.xml"
    write_outlines(source, [Outline("tumour", box(400, 100, 500, 200))], format="asap")
    done = convert_on(CROPPED, source, tmp_path / "out.geojson", "qupath")
    (shown,) = read_outlines(tmp_path / "out.geojson")
    assert shown.polygon.bounds == (100, 30, 200, 130)
    assert "moved from origin (0, 0) to (300, 70)" in done.message
    convert_on(CROPPED, tmp_path / "out.geojson", tmp_path / "back.xml", "asap")
    (back,) = read_outlines(tmp_path / "back.xml")
    assert back.polygon.bounds == (400, 100, 500, 200)


def test_our_own_outlines_say_where_they_begin(tmp_path: Path) -> None:
    ours = tmp_path / "extent.geojson"
    write_outlines(ours, [Outline("tumour", box(400, 100, 500, 200))], format="qupath")
    ours.write_text(json.dumps({**json.loads(ours.read_text()), ORIGIN: [0.0, 0.0]}))
    packed = tmp_path / "extent.geojson.gz"
    packed.write_bytes(gzip.compress(ours.read_bytes()))
    for source in (ours, packed):
        convert_on(CROPPED, source, tmp_path / "out.geojson", "qupath")
        (shown,) = read_outlines(tmp_path / "out.geojson")
        assert shown.polygon.bounds == (100, 30, 200, 130)


@pytest.mark.parametrize(
    "stated", ["[NaN, 0]", "[0, NaN]", "[1e9, 0]", "[0]", '"ab"', "[1e999, 0]"]
)
def test_an_origin_that_cannot_be_is_not_believed(tmp_path: Path, stated: str) -> None:
    said = tmp_path / "a.geojson"
    said.write_text(f'{{"type": "FeatureCollection", "{ORIGIN}": {stated}, "features": []}}')
    assert file_origin_level0(said, CROPPED) == CROPPED.bounds_origin
