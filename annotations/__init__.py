"""Expert outlines: what was drawn, read from and written to the formats that pathologists use."""

from annotations.drawn import SlidePlane
from annotations.files import KnownFormat, WritableFormat, read_outlines, write_outlines
from annotations.labels import EXCLUSION, LabelRules
from annotations.outline import IGNORE, TUMOUR, Outline
from annotations.qupath import Feature, geojson_text, to_feature_collection

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
    "geojson_text",
    "read_outlines",
    "to_feature_collection",
    "write_outlines",
]
