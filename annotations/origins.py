"""Where a file's (0, 0) lies in the full plane of its slide."""

import json
from pathlib import Path

from annotations.drawn import SlidePlane

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
    return _stated_origin(path) or crop


def _stated_origin(path: Path) -> tuple[float, float] | None:
    """What a GeoJSON of ours says; anything that is wrong with the file is for its reader."""
    try:
        x, y = json.loads(path.read_bytes())[ORIGIN]
        return float(x), float(y)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
