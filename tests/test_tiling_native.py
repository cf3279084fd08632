"""Frames on the pixels that a slide stores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiling.images import write_png
from tiling.native import native_frame, pixel_centres
from tiling.resolution import Resolution
from tiling.slide import Slide


class _Level:
    """A level of which only the place is asked."""

    def __init__(self, downsample: float) -> None:
        self.downsample = (downsample, downsample)
        self.size = (int(1600 / downsample), int(900 / downsample))


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    write_png(tmp_path / "drawn.png", np.zeros((900, 1600, 3), np.uint8))
    return Slide.open(tmp_path / "drawn.png", Resolution(0.5))


@pytest.mark.parametrize(
    ("levels", "wanted", "downsample"),
    [
        ((1, 4, 16), 16, 16),
        ((1, 4, 16), 12, 16),  # near enough to a level's own pixels
        ((1, 4, 16), 8, 8),  # two by two of the finer level
        ((1, 4.0058, 16), 8, 8.0116),
        ((1,), 12.8, 13),
        ((1, 4), 1, 1),
        ((4,), 1, 4),  # there is nothing finer
    ],
)
def test_pixels_are_whole_blocks_of_stored_ones(
    slide: Slide, levels: tuple[float, ...], wanted: float, downsample: float
) -> None:
    stored = replace(slide, levels=[_Level(level) for level in levels])  # type: ignore[misc]
    frame = native_frame(stored, wanted)
    assert frame.downsample == pytest.approx((downsample, downsample))
    assert frame.mpp == pytest.approx((0.5 * downsample, 0.5 * downsample))
    assert (frame.width - 1) * downsample < 1600 <= frame.width * downsample + 1e-3
    assert (frame.height - 1) * downsample < 900 <= frame.height * downsample + 1e-3


def test_centres_lie_in_the_middle_of_pixels(slide: Slide) -> None:
    columns, rows = pixel_centres(native_frame(slide, 8), native_frame(slide, 2))
    np.testing.assert_allclose(columns[:3], [2, 6, 10])
    assert len(columns) == 200
    assert len(rows) == 113
