"""Files that annotation programs wrote: each is read, or refused with a reason."""

import time
import warnings
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import shapely
from PIL import Image
from shapely import MultiPolygon

from annotations import LabelRules, Outline, SlidePlane, WritableFormat, read_outlines
from annotations import write_outlines as write
from annotations.errors import OutlineError, OutlineWarning

PLANE = SlidePlane(4000, 5000, mpp=(0.23, 0.23), centre_offset_nm=(0.0, 0.0))
NO_AREA = {
    "asap-dot.xml",
    "asap-pointset.xml",
    "qupath-line.json",
    "qupath-multipoint.json",
    "qupath-point.json",
    "qupath-polyline.json",
}


def quietly(path: Path, rules: LabelRules | None = None) -> list[Outline]:
    """Read, warnings expected."""
    plane = PLANE if path.suffix == ".ndpa" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutlineWarning)
        return read_outlines(path, plane=plane, rules=rules)


def union(outlines: list[Outline]) -> MultiPolygon:
    return shapely.union_all([o.polygon for o in outlines])


def test_every_file_is_read_or_refused_with_a_reason(data: Path) -> None:
    for path in sorted((data / "outlines").glob("*/*")):
        if path.name == "annotations_malformed.ndpa":
            with pytest.raises(OutlineError, match=r"malformed\.ndpa: it is not well-formed XML"):
                quietly(path)
            continue
        found = quietly(path)
        assert bool(found) != (path.name in NO_AREA), path
        assert all(o.polygon.is_valid and o.polygon.area > 0 for o in found), path


def test_files_of_points_and_lines_only_say_that_they_leave_them_out(data: Path) -> None:
    for name in NO_AREA:
        (path,) = (data / "outlines").glob(f"*/{name}")
        with pytest.warns(OutlineWarning, match=r"left out: (annotation|feature) 1 \("):
            assert read_outlines(path) == []


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("asap/CMU-1_segmentation.xml", {"tumour": 2, "benign": 2}),
        ("asap/asap-polygon.xml", {"tumour": 1}),
        ("ndpa/annotations_mixed.ndpa", {"tumour": 1}),
        ("qupath/holed.geojson", {"tumour": 1}),
        ("qupath/qupath-polygon-cell-classified.json", {"Cell": 2, "Nucleus": 2}),
        ("imagescope/slideseg_example.xml", {"BALT hyperplasia": 9, "airspace enlargment": 5}),
    ],
)
def test_labels(data: Path, name: str, labels: dict[str, int]) -> None:
    assert Counter(o.label for o in quietly(data / "outlines" / name)) == labels


def test_camelyon_outlines_with_holes_and_crossings_are_read_fast(data: Path) -> None:
    path = data / "outlines/asap/tumor_036.xml"
    started = time.process_time()
    with pytest.warns(OutlineWarning, match=r"cross or touch themselves, mended: .* and 5 more"):
        found = read_outlines(path)
    assert time.process_time() - started < 3
    assert {o.label for o in found} == {"tumour"}
    whole = quietly(path, LabelRules(exclusion=()))
    negative = [o for o in whole if o.label == "negative"]
    assert len(negative) >= 2
    rest = union([o for o in whole if o.label == "tumour"]).difference(union(negative))
    assert union(found).symmetric_difference(rest).area <= 1e-9 * rest.area
    assert not union(found).intersection(union(negative)).area


def test_imagescope_and_qupath_outlines_of_one_slide_agree(data: Path) -> None:
    rules = LabelRules(exclusion=())
    imagescope = quietly(data / "outlines/imagescope/TCGA-EJ-5519-01Z-00-DX1.xml", rules)
    qupath = quietly(data / "outlines/qupath/TCGA-EJ-5519-01Z-00-DX1.json", rules)
    assert {o.label for o in qupath} == {"tumour", "Other", "Negative"}
    for label in ("tumour", "Other", "Negative"):
        drawn = union([o for o in qupath if o.label == label])
        there = shapely.box(*drawn.bounds).buffer(1)
        # ImageScope's layers have no names here: a layer is known by where its outlines lie
        same = [
            o
            for o in imagescope
            if there.covers(o.polygon) and (label != "tumour" or o.polygon.area > 1e8)
        ]
        assert same
        assert union(same).symmetric_difference(drawn).area <= 1e-4 * drawn.area, label
    # the pixel lattice of the two is one: no half-pixel shift between the formats
    assert union(imagescope).bounds == pytest.approx(union(qupath).bounds, abs=0.01)


@pytest.mark.parametrize("fmt", get_args(WritableFormat))
@pytest.mark.parametrize(
    "name",
    [
        "asap/tumor_036.xml",
        "asap/tumor_044.xml",
        "asap/CMU-1_segmentation.xml",
        "imagescope/slideseg_example.xml",
        "qupath/holed.geojson",
        "qupath/TCGA-EJ-5519-01Z-00-DX1.json",
    ],
)
def test_real_outlines_survive_every_format(
    data: Path, tmp_path: Path, name: str, fmt: WritableFormat
) -> None:
    drawn = quietly(data / "outlines" / name)
    write(tmp_path / "out", drawn, format=fmt)
    found = quietly(tmp_path / "out")
    for label in {o.label for o in drawn}:
        before = union([o for o in drawn if o.label == label])
        after = union([o for o in found if o.label == label])
        assert after.symmetric_difference(before).area <= 1e-6 * before.area
    total = sum(o.polygon.area for o in drawn)
    assert sum(o.polygon.area for o in found) == pytest.approx(total, rel=1e-6)
    holes = sum(len(o.polygon.interiors) for o in drawn)
    assert sum(len(o.polygon.interiors) for o in found) >= holes


def test_the_cohorts_outlines_match_their_cells(data: Path) -> None:
    """Area of each idc outline is its tumour cells of 50 x 50 px, whatever the format."""
    formats = Counter[str]()
    for path in sorted((data / "idc").glob("*.*")):
        if path.suffix not in (".xml", ".geojson"):
            continue
        found = read_outlines(path)
        name = path.name.split(".")[0]
        cells = Image.open(data / "idc/cells" / f"{name}.png").tobytes()
        assert {o.label for o in found} == {"tumour"}
        assert union(found).area == pytest.approx(cells.count(1) * 2500), path
        formats["".join(path.suffixes)] += 1
    assert set(formats) == {".xml", ".imagescope.xml", ".geojson"}


def test_every_gland_of_glas_is_read(data: Path) -> None:
    rules = LabelRules(classes={"gland": ()})
    for path in sorted((data / "glas").glob("*.geojson")):
        with Image.open(path.with_suffix(".png")) as image:
            plane = SlidePlane(*image.size)
        found = read_outlines(path, plane=plane, rules=rules)
        assert found
        assert {o.label for o in found} == {"gland"}


def test_packer_has_commas_and_no_group(data: Path) -> None:
    (outline,) = read_outlines(data / "slides/packer_example.xml")
    assert outline.label == "tumour"
    assert outline.polygon.bounds == pytest.approx((315.19, 320.15, 543.02, 625.42), abs=0.01)
