"""The one type for what an expert drew."""

from dataclasses import dataclass

from shapely import Polygon

TUMOUR = "tumour"
IGNORE = "ignore"


@dataclass(frozen=True)
class Outline:
    """One closed shape with its label.

    `label` is canonical after reading (`tumour`, `ignore`, or the file's own name when no alias
    matches). `polygon` is a valid, non-empty shapely Polygon, holes as interior rings, in level-0
    pixels of the slide's full plane (floats; pixel (0, 0) covers [0, 1)²). An island inside a hole
    is an outline of its own.
    """

    label: str
    polygon: Polygon
