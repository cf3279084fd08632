"""Expert outlines: what was drawn, read from and written to the formats that pathologists use."""

from annotations.drawn import SlidePlane
from annotations.files import KnownFormat, WritableFormat, read_outlines, write_outlines
from annotations.labels import EXCLUSION, LabelRules
from annotations.outline import IGNORE, TUMOUR, Outline
from annotations.qupath import Feature, geojson_lines, shape_key

__all__ = [
    "EXCLUSION",
    "IGNORE",
    "TUMOUR",
    "Feature",
    "KnownFormat",
    "LabelRules",
    "Outline",
    "SlidePlane",
    "WritableFormat",
    "geojson_lines",
    "read_outlines",
    "shape_key",
    "write_outlines",
]
