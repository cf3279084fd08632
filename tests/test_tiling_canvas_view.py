"""A canvas is seen as it stands: while it is written, replaced, or gone."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.patience import SECONDS
from tiling.canvas import Canvas, carry_over
from tiling.canvas_view import CanvasFacts, CanvasView
from tiling.frame import Box, Frame
from tiling.pyramid import halved

FRAME = Frame((10.0, 20.0), (7.5, 7.5), (4.0, 4.0), 301, 203)
FACTS = CanvasFacts(FRAME, ("other", "tumour"), 1)
VALUES = np.random.default_rng(3).integers(0, 256, (2, 203, 301), np.uint8)


def begun(folder: Path, key: str = "k") -> Canvas:
    FACTS.save(folder)
    return Canvas.open(folder, key=key, planes=2, width=301, height=203)


def seen(folder: Path) -> CanvasView:
    view = CanvasView.open(folder)
    assert view is not None
    return view


def test_values_are_seen_as_soon_as_they_are_written(tmp_path: Path) -> None:
    with begun(tmp_path) as canvas, seen(tmp_path) as view:
        assert view.facts == FACTS
        assert (view.planes, view.foreground, view.frame) == (2, 1, FRAME)
        assert not view.read(1, FRAME.box).any()
        box = Box(64, 64, 128, 64)
        canvas.write(box, VALUES[:, 64:128, 64:192])
        for plane in (0, 1):
            np.testing.assert_array_equal(view.read(plane, box), VALUES[plane, 64:128, 64:192])
        assert view.read(1, FRAME.box).sum() == view.read(1, box).sum()


def test_beyond_the_plane_there_is_nothing(tmp_path: Path) -> None:
    with begun(tmp_path) as canvas, seen(tmp_path) as view:
        canvas.write(FRAME.box, VALUES)
        part = view.read(0, Box(-5, 190, 20, 30))
        assert part.shape == (30, 20)
        np.testing.assert_array_equal(part[:13, 5:], VALUES[0, 190:, :15])
        assert not part[13:].any() and not part[:, :5].any()
        assert view.read(0, Box(400, 0, 9, 9), 4).shape == (3, 3)
        assert not view.read(0, Box(400, 0, 9, 9), 4).any()


def test_coarser_views_are_means(tmp_path: Path) -> None:
    with begun(tmp_path) as canvas, seen(tmp_path) as view:
        canvas.write(FRAME.box, VALUES)
        np.testing.assert_array_equal(view.read(1, FRAME.box, 2), halved(VALUES[1]))
        whole = VALUES[0, :200, :300].reshape(50, 4, 75, 4).mean((1, 3))
        np.testing.assert_array_equal(
            view.read(0, Box(0, 0, 300, 200), 4), np.floor(whole + 0.5).astype(np.uint8)
        )
        tile = view.read(0, Box(128, 64, 128, 128), 4)
        np.testing.assert_array_equal(tile, view.read(0, FRAME.box, 4)[16:48, 32:64])


@pytest.mark.parametrize("step", [8, 64, 500])
def test_an_overview_is_true_to_what_it_shows(tmp_path: Path, step: int) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 301), (2, 203, 301)).astype(np.uint8)
    with begun(tmp_path) as canvas, seen(tmp_path) as view:
        canvas.write(FRAME.box, smooth)
        overview = view.read(1, FRAME.box, step)
        assert overview.shape == (-(-203 // step), -(-301 // step))
        for column in range(overview.shape[1]):
            true = smooth[1, :, column * step : (column + 1) * step].mean()
            assert np.abs(overview[:, column] - true).max() <= 6


def test_an_overview_of_a_large_map_is_quick(tmp_path: Path) -> None:
    frame = Frame((0.0, 0.0), (4.0, 4.0), (1.0, 1.0), 40_000, 40_000)
    CanvasFacts(frame, ("other", "tumour"), 1).save(tmp_path)
    values = np.full((2, 512, 40_000), 200, np.uint8)
    with Canvas.open(tmp_path, key="k", planes=2, width=40_000, height=40_000) as canvas:
        canvas.write(Box(0, 0, 40_000, 512), values)
        with seen(tmp_path) as view:
            began = time.process_time()
            tile = view.read(1, frame.box, 256)
            counts = view.counts(1)
            assert time.process_time() - began < 2
    assert tile.shape == (157, 157)
    assert (tile[:2] == 200).all() and not tile[2:].any()
    assert counts[200] == 512 * 40_000
    assert counts.sum() == 40_000**2


def test_counts_are_of_one_plane(tmp_path: Path) -> None:
    with begun(tmp_path) as canvas, seen(tmp_path) as view:
        assert view.counts(0)[0] == 301 * 203
        canvas.write(FRAME.box, VALUES)
        for plane in (0, 1):
            expected = np.bincount(VALUES[plane].ravel(), minlength=256)
            np.testing.assert_array_equal(view.counts(plane), expected)


def test_where_there_is_no_canvas_yet_there_is_no_view(tmp_path: Path) -> None:
    assert CanvasView.open(tmp_path / "nowhere") is None
    FACTS.save(tmp_path)
    assert CanvasView.open(tmp_path) is None
    (tmp_path / "values.raw").write_bytes(b"")  # it is just being made
    assert CanvasView.open(tmp_path) is None
    (tmp_path / "values.raw").unlink()
    (tmp_path / "elsewhere").write_bytes(bytes(2 * 301 * 203))
    (tmp_path / "values.raw").symlink_to(tmp_path / "elsewhere")
    assert CanvasView.open(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [{"size": [0, 5]}, {"size": 3}, {"mpp": [1]}, {"classes": None}, {"foreground": 2}, {"mpp": 0}],
)
def test_facts_that_make_no_sense_are_none(tmp_path: Path, change: dict[str, object]) -> None:
    FACTS.save(tmp_path)
    document = json.loads((tmp_path / "frame.json").read_text())
    (tmp_path / "frame.json").write_text(json.dumps(document | change))
    assert CanvasFacts.load(tmp_path) is None


def test_a_canvas_that_is_replaced_or_removed_stays_readable(tmp_path: Path) -> None:
    with begun(tmp_path / "c") as canvas:
        canvas.write(FRAME.box, VALUES)
    with seen(tmp_path / "c") as view:
        with begun(tmp_path / "c", key="another"), seen(tmp_path / "c") as new:
            assert not new.read(0, FRAME.box).any()
            np.testing.assert_array_equal(view.read(1, FRAME.box), VALUES[1])
        shutil.rmtree(tmp_path / "c")
        np.testing.assert_array_equal(view.read(0, FRAME.box), VALUES[0])


def test_another_process_sees_a_canvas_grow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.test_tiling_canvas_view import *;"
        "canvas = begun(Path(sys.argv[1]));"
        "[(canvas.write(Box(x, 0, 43, 203), np.full((2, 203, 43), 9, np.uint8)), input())"
        " for x in range(0, 301, 43)]"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin
        for done in range(1, 8):
            deadline = time.monotonic() + SECONDS
            while True:
                view = CanvasView.open(tmp_path)
                if view is not None:
                    with view:
                        if np.count_nonzero(view.read(1, FRAME.box)) == done * 43 * 203:
                            break
                assert time.monotonic() < deadline
                time.sleep(0.01)
            writer.stdin.write("\n")
            writer.stdin.flush()


def test_a_canvas_is_carried_over_without_its_holes(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    side = 30_000
    with Canvas.open(old, key="k", planes=1, width=side, height=side) as canvas:
        canvas.write(Box(100, 20_000, 500, 500), np.full((1, 500, 500), 7, np.uint8))
        canvas.flush()
        canvas.write(Box(5_000, 0, 500, 500), np.full((1, 500, 500), 8, np.uint8))
        carry_over(old, new)  # while it is written
    assert (new / "values.raw").stat().st_blocks * 512 < side * side / 10
    with Canvas.open(new, key="k", planes=1, width=side, height=side) as canvas:
        assert canvas.is_done(Box(100, 20_000, 500, 500))
        assert not canvas.is_done(Box(5_000, 0, 500, 500))
        assert (canvas.read(0, Box(100, 20_000, 500, 500)) == 7).all()
        carry_over(old, new)  # what is there stays
        assert canvas.is_done(Box(100, 20_000, 500, 500))
    carry_over(tmp_path / "nowhere", tmp_path / "third")
    assert list((tmp_path / "third").iterdir()) == []
