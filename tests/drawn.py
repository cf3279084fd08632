"""A cohort small enough to train on within seconds."""

import csv
from pathlib import Path

import numpy as np
import shapely
from shapely import Point, Polygon
from shapely.affinity import scale

from annotations import Outline, write_outlines
from tiling.images import write_png

WIDTH, HEIGHT = 420, 330  # pixels of 4 µm


def draw_case(folder: Path, number: int) -> tuple[Path, Polygon]:
    """A pale slide with a dark ellipse, which the expert outlined; the same for the same number."""
    rng = np.random.default_rng(number)
    ellipse = scale(Point(*rng.uniform(150, 250, 2)).buffer(80), 1.2, 0.8)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    inside = shapely.contains_xy(ellipse, x, y)
    colour = np.where(inside[..., None], (120, 60, 150), (225, 170, 200))
    pixels = np.clip(colour + rng.normal(0, 12, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
    path = folder / f"s{number}.png"
    write_png(path, pixels)
    write_outlines(folder / f"s{number}.geojson", [Outline("tumour", ellipse)], format="qupath")
    return path, ellipse


def draw_patients(folder: Path, count: int) -> Path:
    """A cohort.csv of `count` patients with a slide each."""
    for number in range(count):
        draw_case(folder, number)
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("slide", "annotations", "patient", "mpp"))
        writer.writerows((f"s{n}.png", f"s{n}.geojson", f"p{n}", "4.0") for n in range(count))
    return folder / "cohort.csv"
