"""A map of a region: inside it the whole slide's values, outside nothing, and nothing read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from annotations.errors import UsageError
from model.checkpoint import Checkpoint, load_checkpoint
from model.predictor import Execution, load_predictor
from model.segment import ExtentMap, segment
from tests.conftest import draw_slide
from tiling.canvas_view import CanvasView
from tiling.frame import Box
from tiling.quality import assess_quality
from tiling.resolution import Resolution
from tiling.slide import Slide

SIDE = 64


@pytest.fixture(scope="module")
def checkpoint(random_model: Path) -> Checkpoint:
    return load_checkpoint(random_model)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    """Of level-0 pixels that are no whole fraction of the model's."""
    path = draw_slide(tmp_path_factory.mktemp("slide") / "drawn.png", 1001, 803)
    return Slide.open(path, Resolution(1.7))


def mapped(
    slide: Slide, checkpoint: Checkpoint, work: Path, region: Box | None = None
) -> tuple[ExtentMap, npt.NDArray[np.uint8]]:
    """The map, and its planes uint8 [classes, h, w]."""
    predictor = load_predictor(checkpoint, Execution(precision="fp32"))
    found = segment(
        slide, checkpoint, predictor, work=work, key="k", write_side=SIDE, region_level0=region
    )
    with found.canvas as canvas:
        return found, np.stack([canvas.read(plane, found.frame.box) for plane in (0, 1)])


@pytest.mark.parametrize(
    "region",
    [
        Box(300, 200, 250, 300),
        Box(411, 333, 10, 7),
        Box(-50, -50, 500, 400),
        Box(600, 500, 9000, 9000),
        Box(0, 0, 1001, 803),
    ],
)
def test_inside_as_ever_outside_nothing(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path, region: Box
) -> None:
    _, whole = mapped(slide, checkpoint, tmp_path / "whole")
    found, part = mapped(slide, checkpoint, tmp_path / "part", region)
    frame = found.frame
    x, y = np.arange(frame.width) + 0.5, np.arange(frame.height) + 0.5
    centres_x, centres_y = x * frame.downsample[0], y * frame.downsample[1]
    # An edge beyond the slide cuts nothing, even of a pixel that sticks out of it
    across = (centres_x >= region.x) & ((centres_x < region.right) | (region.right >= 1001))
    down = (centres_y >= region.y) & ((centres_y < region.bottom) | (region.bottom >= 803))
    inside = down[:, None] & across
    assert part.any()
    np.testing.assert_array_equal(part, whole * inside)


def test_only_windows_over_the_region_are_read(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    read: list[Box] = []

    class Spy:
        """A level that notes what is read of it."""

        def __init__(self) -> None:
            self._level = slide.levels[0]
            self.size, self.downsample = self._level.size, self._level.downsample

        def read(self, box: Box) -> npt.NDArray[np.uint8]:
            read.append(box)
            return self._level.read(box)

    region = Box(450, 350, 60, 50)
    mapped(replace(slide, levels=[Spy()]), checkpoint, tmp_path, region)
    windows = [box for box in read if box.width < 1001]  # all but the overview
    halo = checkpoint.card.network.halo * 4.0 / 1.7
    assert windows
    for box in windows:
        assert box.x >= region.x - 2 * halo and box.right <= region.right + 2 * halo
        assert box.y >= region.y - 2 * halo and box.bottom <= region.bottom + 2 * halo
    assert sum(box.area for box in windows) < 1001 * 803


def test_tissue_is_measured_within_the_region(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found, _ = mapped(slide, checkpoint, tmp_path, Box(401, 303, 101, 57))
    assert found.tissue.area_mm2 == pytest.approx(101 * 57 * 1.7**2 / 1e6)
    quality = assess_quality(slide, found.tissue)
    assert 0 <= quality.out_of_focus_mm2 <= found.tissue.area_mm2
    tiny, _ = mapped(slide, checkpoint, tmp_path / "tiny", Box(411, 333, 10, 7))
    assert assess_quality(slide, tiny.tissue).pen_mm2 == 0


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (Box(100, 100, 0, 10), "at least 1"),
        (Box(100, 100, 10, -1), "at least 1"),
        (Box(1001, 0, 10, 10), "outside what was scanned: level-0 pixels 0 to 1001 across"),
        (Box(-10, 0, 10, 10), "outside"),
        (Box(0, 0, 1, 1), "too small"),
    ],
)
def test_a_region_without_a_place_is_refused(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path, region: Box, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        mapped(slide, checkpoint, tmp_path, region)
    assert CanvasView.open(tmp_path) is None


def test_a_region_on_glass_gives_an_empty_map(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found, planes = mapped(slide, checkpoint, tmp_path, Box(0, 0, 60, 40))
    assert found.tissue.area_mm2 == 0
    assert not planes.any()
    assert assess_quality(slide, found.tissue).pen_mm2 == 0
