"""The map lies on the slide where it should: known tumour, odd downsamples, bounds, real files."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import shapely
import torch
from shapely.geometry import shape

from annotations import Outline
from model.checkpoint import Checkpoint, ModelCard
from model.network import Network, NetworkConfig
from model.predictor import Pending
from model.segment import segment
from service.report import RunFacts, write_result
from tiling.slide import Slide
from tiling.synthetic_known import (
    DARK,
    PALE,
    KnownSlide,
    write_known_tumour_scn,
    write_known_tumour_slide,
)

STRIDE = 4
KNOWN = KnownSlide(width=3170, height=2110, mpp=1.0)
ORIGIN = (413, 207)


class DarkIsTumour:
    """Stands in for a trained network: the share of dark pixels in each square of the stride."""

    describe = "dark pixels are tumour"

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        middle = (PALE[1] + DARK[1]) // 2
        dark = (patches[..., 1] < middle).astype(np.float32)
        n, h, w = dark.shape
        share = dark.reshape(n, h // STRIDE, STRIDE, w // STRIDE, STRIDE).mean(axis=(2, 4))
        return np.stack([1 - share, share], axis=1)

    def begin(self, patches: npt.NDArray[np.uint8]) -> Pending:
        return lambda: self(patches)


def odd_levels(path: Path) -> list[Outline]:
    return write_known_tumour_slide(path, KNOWN, downsamples=(1, 4, 15.83))


def with_bounds(path: Path) -> list[Outline]:
    return write_known_tumour_scn(path, KNOWN, origin_level0=ORIGIN)


@pytest.mark.parametrize("mpp", [1.0, 2.0, 3.7, 4.0])
@pytest.mark.parametrize(
    ("write", "name", "origin"),
    [(odd_levels, "odd.tiff", (0, 0)), (with_bounds, "bounds.scn", ORIGIN)],
)
def test_outline_area_and_map_are_where_the_tumour_is(
    tmp_path: Path,
    write: Callable[[Path], list[Outline]],
    name: str,
    origin: tuple[int, int],
    mpp: float,
) -> None:
    known = shapely.union_all([outline.polygon for outline in write(tmp_path / name)])
    config = NetworkConfig(stem_stride=2, widths=(4, 4), convolutions=(1, 1), output_stride=STRIDE)
    card = ModelCard("dark", config, ("background", "tumour"), 1, mpp)
    torch.manual_seed(0)
    checkpoint = Checkpoint(card, "0" * 64, Network(config))
    out = tmp_path / "result"
    out.mkdir()
    with Slide.open(tmp_path / name) as slide:
        assert (slide.bounds_level0.x, slide.bounds_level0.y) == origin
        extent_map = segment(
            slide, checkpoint, DarkIsTumour(), work=tmp_path / "canvas", key="k", write_side=256
        )
        facts = RunFacts("1" * 64, "0" * 64, time.monotonic)
        with extent_map.canvas:
            summary = write_result(out, slide, extent_map, card=card, facts=facts)
    collection = json.loads((out / "extent.geojson").read_text())
    found = shapely.union_all([shape(feature["geometry"]) for feature in collection["features"]])
    pixel = mpp * STRIDE
    assert shapely.hausdorff_distance(found.boundary, known.boundary) < pixel
    assert summary["tumour_area_mm2"] == pytest.approx(known.area / 1e6, rel=0.015 * mpp)
    assert summary["tumour_area_mm2"] == pytest.approx(found.area / 1e6, rel=1e-9)
    placed = summary["map"]
    assert isinstance(placed, dict) and placed["origin_level0"] == [float(v) for v in origin]
    with openslide.OpenSlide(out / "probability.tiff") as opened:
        values = np.asarray(opened.read_region((0, 0), 0, opened.dimensions))[..., 0]
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(pixel, rel=1e-5)
    share = values / 255  # unlike the outline, not rounded to whole pixels
    centre = [
        o + (np.average(np.arange(len(sums)) + 0.5, weights=sums)) * d
        for o, d, sums in zip(
            placed["origin_level0"], placed["downsample"], (share.sum(0), share.sum(1)), strict=True
        )
    ]
    assert shapely.Point(centre).distance(known.centroid) < 0.4 * pixel, "half a pixel off"
    assert share.sum() * pixel**2 == pytest.approx(known.area, rel=0.01)
