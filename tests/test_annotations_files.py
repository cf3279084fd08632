"""Outline files: recognised by content, capped, hostile ones refused; the slide's plane."""

import gzip
import json
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box
from shapely.geometry import mapping

from annotations import Outline, SlidePlane, WritableFormat, read_outlines, write_outlines
from annotations.errors import OutlineError, OutlineWarning
from annotations.files import MAX_BYTES
from annotations.markup import MAX_VERTICES

SQUARE = Outline("tumour", box(10, 10, 20, 20))


@pytest.mark.parametrize("fmt", ["asap", "imagescope", "qupath"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_name_of_a_file_says_nothing(tmp_path: Path, fmt: WritableFormat, packed: bool) -> None:
    path = tmp_path / "outlines.dat"
    write_outlines(path, [SQUARE], format=fmt)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    (outline,) = read_outlines(path)
    assert outline.polygon.equals(SQUARE.polygon)


def test_comments_before_the_root_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<?xml version='1.0'?>\n<!-- <Other/> -->\n<ASAP_Annotations/>")
    assert read_outlines(path) == []


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]>'
    "<ASAP_Annotations>&y;</ASAP_Annotations>"
)
EXTERNAL = '<!DOCTYPE Annotations SYSTEM "file:///etc/passwd"><Annotations/>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n\t ", "it is empty"),
        (b"\x89PNG\r\n\x1a\n....", "unknown format, no XML and no JSON"),
        (b"x,y\n1,2\n", "unknown format, no XML and no JSON"),
        (b"<svg/>", "unknown format, XML of another kind '<svg>'"),
        (b"<ASAP_Annotations><Annotations>", "not well-formed XML"),
        (b"<Annotations>\xff\xfe</Annotations>", "not well-formed XML"),
        (b"<?xml version='1.0' encoding='klingon'?><Annotations/>", "XML"),
        (ENTITIES.encode(), "holds a DTD or entities"),
        (EXTERNAL.encode(), "holds a DTD or entities"),
        (b'{"type": "FeatureCollection", ', "not well-formed JSON"),
        (b'[{"type": "\xe4"}]', "not well-formed JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"<annotations>" * 100, "nested more than 64 deep"),
        (gzip.compress(b"[]", mtime=0)[:-6], "its gzip is damaged"),
        (b"\x1f\x8b not gzip at all", "its gzip is damaged"),
        (gzip.compress(gzip.compress(b"[]", mtime=0), mtime=0), "unknown format"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_name_and_reason(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "bad file.xml"
    path.write_bytes(content)
    with pytest.raises(OutlineError, match=rf"bad file\.xml: .*{said}"):
        read_outlines(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutlineError, match=r"absent\.xml: cannot be read: No such file"):
        read_outlines(tmp_path / "absent.xml")
    with pytest.raises(OutlineError, match="cannot be read: Is a directory"):
        read_outlines(tmp_path)


def test_a_gzip_bomb_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.geojson.gz"
    blank = gzip.compress(b" " * 2**24)
    path.write_bytes(blank * (MAX_BYTES // 2**24 + 1))
    with pytest.raises(OutlineError, match=r"bomb\.geojson\.gz: larger than 256 MiB"):
        read_outlines(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.xml"
    with path.open("wb") as file:
        file.truncate(40 * MAX_BYTES)  # a sparse file
    started = time.process_time()
    with pytest.raises(OutlineError, match=r"huge\.xml: larger than 256 MiB"):
        read_outlines(path)
    assert time.process_time() - started < 5


def test_too_many_vertices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    ring = "[" + "[1,1]," * MAX_VERTICES + "[2,2]]"
    path.write_text('{"type": "Polygon", "coordinates": [' + ring + "]}")
    with pytest.raises(OutlineError, match=r"many\.json: more than 2,000,000 vertices: simplify"):
        read_outlines(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" + b"[]," * 8_000_000 + b"[]]", "more than 16,000,000 values: simplify"),
        (
            b"<ASAP_Annotations>" + b"<Annotation/>" * 200_001 + b"</ASAP_Annotations>",
            "more than 2,000,000 vertices: simplify",
        ),
    ],
)
def test_a_small_file_cannot_fill_memory_with_nothing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "empty shapes.gz"
    path.write_bytes(gzip.compress(content, 1))
    with pytest.raises(OutlineError, match=rf"empty shapes\.gz: {said}"):
        read_outlines(path)


def geojson(folder: Path, *boxes: tuple[float, float, float, float]) -> Path:
    path = folder / "a.geojson"
    features = [
        {"type": "Feature", "geometry": mapping(box(*corners)), "properties": {}}
        for corners in boxes
    ]
    path.write_text(json.dumps(features))
    return path


def test_an_outline_outside_the_slide_is_named_and_kept(tmp_path: Path) -> None:
    path = geojson(tmp_path, (0, 0, 10, 10), (500, 0, 510, 10), (95, 95, 120, 120))
    with pytest.warns(
        OutlineWarning, match=r"outside the slide of 100 x 100 px: outline 2 \("
    ) as w:
        found = read_outlines(path, plane=SlidePlane(100, 100))
    assert len(found) == 3
    assert len(w) == 1


def test_outlines_all_outside_are_of_another_slide(tmp_path: Path) -> None:
    path = geojson(tmp_path, (500, 0, 510, 10), (-50, -50, -1, -1))
    with pytest.raises(OutlineError, match=r"a\.geojson: every outline .* of another slide"):
        read_outlines(path, plane=SlidePlane(100, 100))
    with pytest.raises(OutlineError, match="give the origin"):
        read_outlines(path, plane=SlidePlane(100, 100, bounds_origin=(20.0, 0.0)))


def test_the_origin_moves_outlines_into_the_full_plane(tmp_path: Path) -> None:
    path = geojson(tmp_path, (0, 0, 10, 10))
    plane = SlidePlane(2000, 2000)
    (outline,) = read_outlines(path, plane=plane, origin_level0=(1000.0, 500.5))
    assert outline.polygon.bounds == (1000, 500.5, 1010, 510.5)


def test_warnings_point_at_the_caller(tmp_path: Path) -> None:
    path = geojson(tmp_path, (0, 0, 10, 10), (500, 0, 510, 10))
    with pytest.warns(OutlineWarning) as caught:
        read_outlines(path, plane=SlidePlane(100, 100))
    assert caught[0].filename == __file__


@given(
    st.sampled_from(["asap", "imagescope", "qupath"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 9)), max_size=4),
)
@settings(max_examples=150)
def test_damaged_files_are_read_or_refused_but_never_crash(
    tmp_path_factory: pytest.TempPathFactory,
    fmt: WritableFormat,
    damage: list[tuple[float, bytes, int]],
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.xml"
    ring = box(0, 0, 100, 100).difference(box(20, 20, 60, 60))
    write_outlines(path, [Outline("tumour", ring), SQUARE], format=fmt)
    content = path.read_bytes()
    for place, put, drop in damage:
        at = int(place * len(content))
        content = content[:at] + put + content[at + drop :]
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutlineWarning)
        try:
            found = read_outlines(path)
        except OutlineError as error:
            assert str(error).startswith("a.xml: ")
        else:
            assert all(o.polygon.is_valid for o in found)
