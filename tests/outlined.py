"""Slides with known outlines for tests over HTTP."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from service.readers.pool import ReaderPool
from service.records.database import Records
from service.records.tables import SlideRecord
from service.settings import Settings
from service.slides.catalog import Catalog
from tests.conftest import draw_slide

Points = Sequence[Sequence[float]]


def square(x: float, y: float, side: float) -> list[list[float]]:
    """A closed ring."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(*rings: Points, label: str = "tumour", name: str | None = None) -> dict[str, object]:
    """A polygon as QuPath has it: an outer ring and its holes."""
    properties: dict[str, object] = {"objectType": "annotation", "classification": {"name": label}}
    if name is not None:
        properties["name"] = name
    geometry = {"type": "Polygon", "coordinates": list(rings)}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: object, **more: object) -> bytes:
    """A FeatureCollection as bytes."""
    return json.dumps({"type": "FeatureCollection", **more, "features": features}).encode()


def write_measured_slide(path: Path, width: int = 480, height: int = 360) -> Path:
    """A small tiled TIFF of 2 µm/px."""
    import tifffile

    plain = draw_slide(path.with_name(f"{path.stem}-plain.png"), width, height)
    from tiling.images import read_rgb

    pixels = np.asarray(read_rgb(plain))
    tifffile.imwrite(
        path,
        pixels,
        tile=(256, 256),
        photometric="rgb",
        resolution=(5000, 5000),
        resolutionunit="CENTIMETER",
    )
    plain.unlink()
    return path


def slide_ids(settings: Settings) -> dict[str, str]:
    """The ids of the slides on disk, by name; the server need not have looked yet."""
    records = Records(settings.database_url)
    try:
        Catalog(settings, records, ReaderPool(1)).scan()
        with records.read() as session:
            rows = session.execute(sa.select(SlideRecord.name, SlideRecord.id)).all()
        return {row.name: row.id for row in rows}
    finally:
        records.close()
