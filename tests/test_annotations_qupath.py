"""QuPath's GeoJSON: every form that occurs is read; what is written QuPath can import."""

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box
from shapely.geometry import mapping, shape

from annotations import (
    Feature,
    Outline,
    geojson_lines,
    read_outlines,
    write_outlines,
)
from annotations.errors import OutlineError, OutlineWarning

Json = dict[str, object]

RING = box(0, 0, 100, 100).difference(box(20, 20, 60, 60))


def feature(geometry: object, **properties: object) -> Json:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def read(folder: Path, document: object) -> list[Outline]:
    path = folder / "a.geojson"
    path.write_text(json.dumps(document))
    return read_outlines(path)


def test_a_feature_a_list_a_collection_and_a_bare_geometry_read_alike(tmp_path: Path) -> None:
    one = feature(mapping(RING), classification={"name": "Tumor", "color": [200, 0, 0]})
    collection = {"type": "FeatureCollection", "features": [one]}
    for document in (one, [one], collection, mapping(RING)):
        (outline,) = read(tmp_path, document)
        assert outline.label == "tumour"
        assert outline.polygon.equals(RING)


def test_multipolygons_and_collections_become_an_outline_a_polygon(tmp_path: Path) -> None:
    squares = [box(x, 0, x + 10, 10) for x in (0, 20, 40)]
    multi = mapping(MultiPolygon(squares[:2]))
    nested = {"type": "GeometryCollection", "geometries": [multi, mapping(squares[2])]}
    found = read(tmp_path, [feature({"type": "GeometryCollection", "geometries": [nested]})])
    assert [o.polygon.bounds[0] for o in found] == [0, 20, 40]


@pytest.mark.parametrize(
    ("properties", "label"),
    [
        ({"classification": "Tumor"}, "tumour"),
        ({"classification": {"name": "Stroma", "colorRGB": -1}}, "Stroma"),
        ({"classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]}}, "tumour"),
        ({"classification": {"name": "Tumor: Positive"}}, "tumour"),
        ({"classification": {"names": ["Stroma", "Positive"]}}, "Stroma: Positive"),
        ({"classification": {"name": "Ignore*"}}, "ignore"),
        ({"classification": None, "name": "tumor 3"}, "tumour"),
        ({"name": "Necrosis"}, "Necrosis"),
        ({"classification": "Gland", "name": "tumor"}, "Gland"),
        ({"classification": 7, "name": 7}, "tumour"),
        ({}, "tumour"),
    ],
)
def test_the_classification_decides_and_else_the_name(
    tmp_path: Path, properties: Json, label: str
) -> None:
    (outline,) = read(tmp_path, feature(mapping(RING), **properties))
    assert outline.label == label


def test_a_feature_without_properties_is_read(tmp_path: Path) -> None:
    document = {"type": "Feature", "geometry": mapping(RING), "properties": None}
    assert read(tmp_path, document)[0].label == "tumour"


def test_an_exclusion_class_is_a_hole(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            feature(mapping(box(20, 20, 30, 30)), classification="Hole"),
            feature(mapping(box(0, 0, 100, 100)), classification="Tumor"),
        ],
    )
    assert [o.polygon.area for o in found] == [9_900]


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "MultiPoint", "coordinates": [[1, 2]]},
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "Curve", "coordinates": []},
        None,
    ],
)
def test_what_has_no_area_is_left_out_by_name(tmp_path: Path, geometry: object) -> None:
    with pytest.warns(OutlineWarning, match=r"a\.geojson: .*left out: feature 2 \('spot'\)"):
        found = read(tmp_path, [feature(mapping(RING)), feature(geometry, name="spot")])
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["detection", "cell", "tile", "root"])
def test_objects_that_qupath_computed_are_left_out(tmp_path: Path, kind: str) -> None:
    with pytest.warns(OutlineWarning, match="computed, not drawn, left out: feature 1"):
        assert read(tmp_path, feature(mapping(RING), objectType=kind)) == []


def test_old_versions_kept_the_type_in_the_id(tmp_path: Path) -> None:
    drawn = {**feature(mapping(RING)), "id": "PathAnnotationObject"}
    computed = {**feature(mapping(RING)), "id": "PathCellObject"}
    with pytest.warns(OutlineWarning, match="computed, not drawn, left out: feature 2"):
        assert len(read(tmp_path, [drawn, computed])) == 1


def test_heights_do_not_count(tmp_path: Path) -> None:
    ring = [[0, 0, 5], [10, 0, 5], [10, 10], [0, 10], [0, 0, 5]]
    (outline,) = read(tmp_path, feature({"type": "Polygon", "coordinates": [ring]}))
    assert outline.polygon.area == 100


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": {}},
        {"images": [], "annotations": []},
        [1, 2],
        feature({"type": "Polygon"}),
        feature({"type": "Polygon", "coordinates": [5]}),
        feature({"type": "Polygon", "coordinates": [{}]}),
        feature({"type": "Polygon", "coordinates": [[1, 2, 3, 4]]}),
        feature({"type": "Polygon", "coordinates": [[["a", 0], [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[[0], [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[{"x": 0}, [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[[10**400, 0], [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[[None, 0], [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[[float("nan"), 0], [1, 1], [2, 0]]]}),
        feature({"type": "Polygon", "coordinates": [[[float("inf"), 0], [1, 1], [2, 0]]]}),
        feature({"type": "MultiPolygon", "coordinates": [[[[1e9, 0], [1, 1], [2, 0]]]]}),
        feature({"type": "GeometryCollection", "geometries": None}),
    ],
)
def test_what_is_no_geojson_is_refused_with_a_way_out(tmp_path: Path, document: object) -> None:
    with pytest.raises(OutlineError, match=r"a\.geojson: (.*feature 1|item 1|its FeatureColl).*:"):
        read(tmp_path, document)


def test_a_written_file_is_what_qupath_imports(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    drawn = [Outline("tumour", RING), Outline("Stroma", box(0.1, 0.2, 0.7, 1.1))]
    write_outlines(path, drawn, format="qupath")
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    for item, outline in zip(document["features"], drawn, strict=True):
        assert shape(item["geometry"]).equals_exact(outline.polygon, 0)
        assert all(ring[0] == ring[-1] for ring in item["geometry"]["coordinates"])
        assert item["properties"]["objectType"] == "annotation"
        assert item["properties"]["classification"]["name"] == outline.label
        assert all(0 <= v <= 255 for v in item["properties"]["classification"]["color"])
        assert uuid.UUID(item["id"]).version == 5
    assert len({item["id"] for item in document["features"]}) == 2


def test_equal_outlines_still_have_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    write_outlines(path, [Outline("tumour", RING)] * 2, format="qupath")
    first, second = json.loads(path.read_text())["features"]
    assert first["id"] != second["id"]


def test_features_with_measurements_and_properties_of_their_own() -> None:
    lesion = Feature(
        MultiPolygon([RING, box(200, 0, 210, 10)]),
        "Tumor",
        (200, 0, 0),
        name="lesion 1",
        measurements={"area mm2": 1.25},
        properties={"role": "outer"},
        key="slide 1 lesion 1",
    )
    plain = Feature(RING, "Tumor", (1, 2, 3))
    text = "".join(geojson_lines([lesion, plain], origin_level0=(5.0, -5.0)))
    first, second = json.loads(text)["features"]
    assert first["properties"] == {
        "role": "outer",
        "objectType": "annotation",
        "name": "lesion 1",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "measurements": [{"name": "area mm2", "value": 1.25}],
    }
    assert shape(first["geometry"]).bounds == (-5, 5, 205, 105)
    assert "id" not in second
    assert "".join(geojson_lines([lesion, plain], origin_level0=(5.0, -5.0))) == text


@pytest.mark.parametrize("count", range(4))
def test_a_collection_says_what_else_it_is_told(count: int) -> None:
    features = [Feature(RING, "Tumor", (1, 2, 3))] * count
    document = json.loads("".join(geojson_lines(features, members={"made by": "ü"})))
    assert (document["type"], document["made by"]) == ("FeatureCollection", "ü")
    assert len(document["features"]) == count


@pytest.mark.parametrize(
    "wrong",
    [
        Feature(Polygon([(0, 0), (9, 9), (9, 0), (0, 9)]), "Tumor", (1, 2, 3)),
        Feature(Polygon(), "Tumor", (1, 2, 3)),
        Feature(RING, "Tumor", (1, 2, 3), measurements={"area": float("nan")}),
    ],
)
def test_what_qupath_would_refuse_is_not_written(wrong: Feature) -> None:
    with pytest.raises(OutlineError, match="feature 'Tumor'"):
        list(geojson_lines([wrong]))


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 2), st.floats(1e-3, 1e5))
def test_coordinates_keep_every_digit(corner: tuple[float, float], size: float) -> None:
    square = box(*corner, corner[0] + size, corner[1] + size)
    (item,) = json.loads("".join(geojson_lines([Feature(square, "Tumor", (1, 2, 3))])))["features"]
    assert shape(item["geometry"]).equals_exact(square, 0)
