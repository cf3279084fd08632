"""QuPath's GeoJSON: features read from a list, a feature or a collection; a collection written."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate

from annotations.drawn import Drawn
from annotations.errors import OutlineError
from annotations.geometry import polygons_from_rings
from annotations.markup import MAX_VERTICES, check_vertex_count
from annotations.notes import Notes
from annotations.outline import Outline
from annotations.palette import Colour, colour
from annotations.shapes import Ring

# QuPath 0.2 kept the object's type in the id.
_LEGACY_TYPES = {
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
    "PathRootObject": "root",
}
_COMPUTED = frozenset(_LEGACY_TYPES.values())
_GEOMETRIES = (
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
)
_MOST_VALUES = 8 * MAX_VERTICES  # a vertex is four; what keeps parsing under about a gigabyte
_NAMESPACE = uuid.UUID("7b0f3c52-1d8e-5a64-9c1f-2f6f0f1d4e85")


def read_qupath(data: bytes, notes: Notes) -> list[Drawn]:
    """The polygons of a GeoJSON document, in its order; a multipolygon's are shapes of their own.

    The classification says what a shape is, the first part of a derived one ("Tumor: Positive")
    where no rule knows the whole; without classification, the name. Points and lines are left out,
    and so are objects that QuPath computed (detections, cells, tiles), both noted.
    """
    drawn: list[Drawn] = []
    count = 0
    for number, feature in enumerate(_features(_parsed(data, notes), notes), 1):
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        own_name = properties.get("name")
        own_name = own_name if isinstance(own_name, str) else ""
        shape = notes.called(f"feature {number}", f"'{own_name}'" if own_name else "")
        if _object_type(feature, properties) in _COMPUTED:
            notes.add("objects that were computed, not drawn, left out", shape)
            continue
        classes = _classes(properties)
        for coordinates in _polygons(feature.get("geometry"), shape, notes):
            rings = [_ring(ring, shape, notes) for ring in coordinates]
            count += sum(len(ring) for ring in rings)
            check_vertex_count(count, notes)
            drawn += [
                Drawn(shape, classes, polygon, own_name)
                for polygon in polygons_from_rings(rings, shape, notes)
            ]
    return drawn


def _parsed(data: bytes, notes: Notes) -> object:
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
        raise notes.error(
            f"more than {_MOST_VALUES:,} values: simplify the outlines in the program that drew "
            "them, or split the file"
        )
    try:
        return json.loads(data)
    except RecursionError as error:
        raise notes.error("its JSON is nested too deeply: export it again") from error
    except ValueError as error:  # not JSON, or not in a Unicode encoding
        raise notes.error(
            f"it is not well-formed JSON ({error}): it may be cut short; export it again"
        ) from error


def _features(document: object, notes: Notes) -> Iterator[dict[str, object]]:
    """The features, whether bare, in a list or in a collection; a bare geometry is one too."""
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        document = document.get("features")
    elif isinstance(document, dict) and document.get("type") in _GEOMETRIES:
        document = [{"type": "Feature", "geometry": document}]
    elif isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise notes.error("its FeatureCollection has no list of features: export it again")
    for number, feature in enumerate(document, 1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise notes.error(
                f"item {number} is no GeoJSON feature: export the annotations from QuPath as "
                "GeoJSON"
            )
        yield feature


def _object_type(feature: Mapping[str, object], properties: Mapping[str, object]) -> object:
    stated = properties.get("objectType", properties.get("object_type"))
    if stated is not None:
        return stated
    identifier = feature.get("id")
    return _LEGACY_TYPES.get(identifier) if isinstance(identifier, str) else None


def _classes(properties: Mapping[str, object]) -> tuple[str, ...]:
    classification = properties.get("classification")
    names: object = classification
    if isinstance(classification, dict):
        names = classification.get("names") or classification.get("name")
    if isinstance(names, str):
        names = names.split(": ")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return (": ".join(names), *(names[:1] if len(names) > 1 else ()))


def _polygons(geometry: object, shape: str, notes: Notes) -> Iterator[list[object]]:
    """The rings of each polygon in a geometry."""
    waiting = [geometry]
    while waiting:
        current = waiting.pop()
        kind = current.get("type") if isinstance(current, dict) else None
        content = current.get("coordinates") if isinstance(current, dict) else None
        if isinstance(current, dict) and kind == "GeometryCollection":
            content = current.get("geometries")
        if kind in ("Polygon", "MultiPolygon", "GeometryCollection") and (
            not isinstance(content, list) or not all(isinstance(c, list | dict) for c in content)
        ):
            raise notes.error(f"{shape} is a {kind} without coordinates: export it again")
        if kind == "Polygon" and isinstance(content, list):
            yield content
        elif kind == "MultiPolygon" and isinstance(content, list):
            waiting += [{"type": "Polygon", "coordinates": part} for part in reversed(content)]
        elif kind == "GeometryCollection" and isinstance(content, list):
            waiting += reversed(content)
        else:
            notes.add("points, lines and other shapes without an area, left out", shape)


def _ring(points: object, shape: str, notes: Notes) -> Ring:
    """float64 [n, 2]; heights, where there are any, do not count."""
    if not isinstance(points, list):
        raise notes.error(f"{shape} has a ring that is no list of points: export it again")
    try:
        ring = np.array([point[:2] for point in points], dtype=np.float64).reshape(len(points), 2)
    except (ValueError, TypeError, OverflowError, KeyError):
        raise notes.error(
            f"{shape} has a vertex that is not two numbers: export it again"
        ) from None
    return ring


@dataclass(frozen=True)
class Feature:
    """What QuPath shows as one object.

    `shape`: valid, not empty, level-0 pixels of the full plane. `classification` names QuPath's
    class, drawn in `colour` (red, green, blue, 0-255). `name` is shown beside it. `measurements`:
    finite numbers in QuPath's table. `properties`: further ones, JSON values, QuPath ignores them.
    `key`: what the feature's id is derived from (the same key, the same id); None = no id.
    `object_type`: an annotation is an outline to whoever reads the file; a detection was computed,
    and is left out by read_qupath.
    """

    shape: Polygon | MultiPolygon
    classification: str
    colour: Colour
    name: str | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)
    key: str | None = None
    object_type: Literal["annotation", "detection"] = "annotation"


def geojson_lines(
    features: Iterable[Feature],
    *,
    origin_level0: tuple[float, float] = (0.0, 0.0),
    members: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """A GeoJSON FeatureCollection that QuPath imports, a line a feature, all digits kept.

    `origin_level0`: where QuPath's (0, 0) lies in the full plane, subtracted from coordinates.
    `members` are foreign ones of the collection (RFC 7946, 6.1). Line by line, because a speckled
    map has more outlines than memory should hold as text.

    Raises:
        OutlineError: a shape that is empty or invalid, since QuPath would refuse the whole file,
            or a measurement that is not finite.
    """
    yield _text({"type": "FeatureCollection", **(members or {}), "features": []})[: -len("]}")]
    for number, feature in enumerate(features):
        yield (",\n" if number else "\n") + _feature(feature, origin_level0)
    yield "\n]}\n"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def shape_key(shape: Polygon | MultiPolygon) -> str:
    """What is the same for the same coordinates only."""
    return shapely.to_wkb(shape).hex()  # type: ignore[no-any-return]


def outline_features(outlines: Sequence[Outline]) -> list[Feature]:
    """A feature an outline, with ids derived from place in the list, label and shape."""
    return [
        Feature(
            outline.polygon,
            outline.label,
            colour(outline.label),
            key=f"{number} {outline.label} {shape_key(outline.polygon)}",
        )
        for number, outline in enumerate(outlines)
    ]


def _feature(feature: Feature, origin_level0: tuple[float, float]) -> str:
    named = f"feature '{feature.name or feature.classification}'"
    shape = feature.shape
    if any(origin_level0):
        shape = translate(shape, -origin_level0[0], -origin_level0[1])
    if shape.is_empty or not shape.is_valid or shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise OutlineError(
            f"{named} is not a valid polygon ({shapely.is_valid_reason(shape)}): QuPath would "
            "refuse the whole file; mend it first"
        )
    if not np.isfinite(list(feature.measurements.values())).all():
        raise OutlineError(f"{named} has a measurement that is no finite number: leave it out")
    identity = {} if feature.key is None else {"id": str(uuid.uuid5(_NAMESPACE, feature.key))}
    properties: dict[str, object] = {**feature.properties, "objectType": feature.object_type}
    if feature.name is not None:
        properties["name"] = feature.name
    properties["classification"] = {
        "name": feature.classification,
        "color": list(feature.colour),
    }
    if feature.measurements:
        properties["measurements"] = [  # the form that every version of QuPath reads
            {"name": name, "value": float(value)} for name, value in feature.measurements.items()
        ]
    head = _text({"type": "Feature", **identity})[:-1]
    # GEOS writes coordinates several times as fast as Python, and as exactly
    return f'{head}, "geometry": {shapely.to_geojson(shape)}, "properties": {_text(properties)}}}'
