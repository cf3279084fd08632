"""Where a file's (0, 0) lies in the full plane of its slide."""

import json
from pathlib import Path

from annotations.drawn import SlidePlane
from annotations.errors import OutlineError
from annotations.files import content_of
from annotations.geometry import FARTHEST
from annotations.notes import Notes

GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
ORIGIN = "origin_level0"  # in a FeatureCollection of ours: where its (0, 0) lies


def file_origin_level0(path: Path, plane: SlidePlane | None) -> tuple[float, float]:
    """The origin, in level-0 pixels of the full plane, to read an outline file from.

    (0, 0) for all but QuPath's files: QuPath crops slides that have bounds, so its files begin at
    the bounds' origin, but for our own, which say where they begin.
    """
    crop = (0.0, 0.0) if plane is None else plane.bounds_origin
    if crop == (0.0, 0.0) or not path.name.lower().endswith(GEOJSON_SUFFIXES):
        return (0.0, 0.0)
    try:
        return stated_origin_level0(content_of(path, Notes(path.name))) or crop
    except OutlineError:  # what is wrong with the file is for its reader to say
        return crop


def stated_origin_level0(data: bytes) -> tuple[float, float] | None:
    """What a GeoJSON document of ours says; None when it does not, or says what cannot be."""
    try:
        x, y = (float(value) for value in json.loads(data)[ORIGIN])
        return (x, y) if abs(x) <= FARTHEST and abs(y) <= FARTHEST else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
