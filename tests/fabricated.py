"""Result folders and slides made up for tests, in the files of the public contract."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiling.frame import Box, Frame
from tiling.pyramid import write_pyramid

STRIPE = 8


def write_result_folder(
    folder: Path,
    slide: str,
    frame: Frame,
    values: npt.NDArray[np.uint8],
    *,
    threshold: float = 0.5,
) -> Path:
    """A result with the map `values`, uint8 [frame.height, frame.width]; returns the folder."""
    folder.mkdir(parents=True)

    def read(box: Box) -> npt.NDArray[np.uint8]:
        return values[box.y : box.bottom, box.x : box.right]

    write_pyramid(folder / "probability.tiff", read, frame)
    mpp = [m / d for m, d in zip(frame.mpp, frame.downsample, strict=True)]
    summary = {
        "slide": slide,
        "mpp": mpp,
        "threshold": threshold,
        "tumour_area_mm2": float((values / 255 > threshold).sum()) * frame.pixel_area_mm2,
        "map": {
            "origin_level0": frame.origin_level0,
            "downsample": frame.downsample,
            "size": [frame.width, frame.height],
        },
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def write_tissue(path: Path, width: int, height: int) -> Path:
    """A flat picture that is stained tissue throughout, striped so that it has structure."""
    pixels = np.full((height, width, 3), (170, 90, 150), np.uint8)
    pixels[:, ::STRIPE] = (120, 60, 140)
    Image.fromarray(pixels).save(path)
    return path


def write_rectangles(path: Path, *rectangles: tuple[float, float, float, float]) -> Path:
    """QuPath outlines of tumour: left, top, right, bottom in level-0 pixels."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
            },
            "properties": {"classification": {"name": "Tumor", "color": [200, 0, 0]}},
        }
        for x0, y0, x1, y1 in rectangles
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
