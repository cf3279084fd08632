import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations.errors import ResultError
from tests.patience import wait_for
from tiling.canvas import Canvas
from tiling.frame import Box

PLANES, WIDTH, HEIGHT, SIDE = 2, 150, 130, 32
BOXES = [Box(x, y, SIDE, SIDE) for y in range(0, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]


def opened(folder: Path, key: str = "a") -> Canvas:
    return Canvas.open(folder, key=key, planes=PLANES, width=WIDTH, height=HEIGHT)


def content(box: Box) -> NDArray[np.uint8]:
    """What a box holds in these tests, by its place; never all zero."""
    random = np.random.default_rng((box.x + 1000, box.y + 1000))
    return random.integers(1, 256, (PLANES, box.height, box.width), np.uint8)


def expected(done: list[Box]) -> NDArray[np.uint8]:
    """The planes when `done` are written, with a margin of zeros around."""
    planes = np.zeros((PLANES, HEIGHT + SIDE, WIDTH + SIDE), np.uint8)
    for box in done:
        planes[:, box.y : box.bottom, box.x : box.right] = content(box)
    planes[:, HEIGHT:], planes[:, :, WIDTH:] = 0, 0
    return planes


def assert_trustworthy(canvas: Canvas) -> list[Box]:
    """Every box that is said to be done holds its values; returns them."""
    done = [box for box in BOXES if canvas.is_done(box)]
    planes = expected(done)
    for box in done:
        for plane in range(PLANES):
            np.testing.assert_array_equal(
                canvas.read(plane, box), planes[plane, box.y : box.bottom, box.x : box.right]
            )
    return done


def fill(folder: Path, boxes: list[Box]) -> None:
    with opened(folder) as canvas:
        for box in boxes:
            canvas.write(box, content(box))


@settings(max_examples=50)
@given(
    seed=st.integers(0, 9999),
    box=st.builds(
        Box, st.integers(-40, 180), st.integers(-40, 180), st.integers(0, 200), st.integers(0, 200)
    ),
)
def test_reads_what_was_written_and_zero_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, seed: int, box: Box
) -> None:
    done = random.Random(seed).sample(BOXES, len(BOXES) // 2)
    planes = np.pad(expected(done), ((0, 0), (40, 250), (40, 250)))
    with opened(tmp_path_factory.mktemp("canvas")) as canvas:
        for each in done:
            canvas.write(each, content(each))
        for plane in range(PLANES):
            np.testing.assert_array_equal(
                canvas.read(plane, box),
                planes[plane, box.y + 40 : box.bottom + 40, box.x + 40 : box.right + 40],
            )


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    fill(tmp_path, BOXES[:7])
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == BOXES[:7]
        canvas.write(BOXES[9], content(BOXES[9]))
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == [*BOXES[:7], BOXES[9]]
        assert not canvas.is_done(Box(0, 0, SIDE, SIDE - 1))


def test_boxes_outside_are_done_too(tmp_path: Path) -> None:
    outside = Box(-50, 10, 20, 20)
    with opened(tmp_path) as canvas:
        canvas.write(outside, content(outside))
    with opened(tmp_path) as canvas:
        assert canvas.is_done(outside)


@pytest.mark.parametrize("change", [{"key": "b"}, {"width": 149}, {"height": 131}, {"planes": 1}])
def test_another_key_or_shape_starts_anew(tmp_path: Path, change: dict[str, object]) -> None:
    fill(tmp_path, BOXES)
    other = tmp_path / "slides.csv"
    other.write_text("stays")
    shape = {"key": "a", "planes": PLANES, "width": WIDTH, "height": HEIGHT, **change}
    with Canvas.open(tmp_path, **shape) as canvas:  # type: ignore[arg-type]
        assert not any(canvas.is_done(box) for box in BOXES)
        assert not canvas.read(0, Box(0, 0, WIDTH, HEIGHT)).any()
    assert other.read_text() == "stays"


def test_a_box_may_be_written_again(tmp_path: Path) -> None:
    with opened(tmp_path) as canvas:
        canvas.write(BOXES[0], content(BOXES[0]) // 2)
        canvas.flush()
        canvas.write(BOXES[0], content(BOXES[0]))
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == BOXES[:1]


HEADER, RECORD = 48, 40  # bytes of the journal


def with_journal(folder: Path, values: bytes, journal: bytes) -> list[Box]:
    """What is done when the files are found like this."""
    (folder / "values.raw").write_bytes(values)
    (folder / "values.journal").write_bytes(journal)
    with opened(folder) as canvas:
        return assert_trustworthy(canvas)


def test_every_byte_of_the_journal_may_be_wrong(tmp_path: Path) -> None:
    boxes = BOXES[:2]
    fill(tmp_path, boxes)
    values, journal = ((tmp_path / name).read_bytes() for name in ("values.raw", "values.journal"))
    assert len(journal) == HEADER + RECORD * len(boxes)
    for position in range(len(journal)):
        wrong = bytearray(journal)
        wrong[position] ^= 0x5A
        done = with_journal(tmp_path, values, bytes(wrong))
        hit = (position - HEADER) // RECORD
        assert done == ([] if hit < 0 else [b for i, b in enumerate(boxes) if i != hit])


def test_the_journal_may_end_anywhere(tmp_path: Path) -> None:
    boxes = BOXES[:2]
    fill(tmp_path, boxes)
    values, journal = ((tmp_path / name).read_bytes() for name in ("values.raw", "values.journal"))
    for length in range(len(journal)):
        done = with_journal(tmp_path, values, journal[:length])
        assert done == boxes[: max(0, (length - HEADER) // RECORD)]
    for torn in (1, 39, 40, 41):
        with_journal(tmp_path, values, journal[:-torn])
        fill(tmp_path, BOXES[5:6])
        with opened(tmp_path) as canvas:
            assert assert_trustworthy(canvas)[-1] == BOXES[5]
    assert with_journal(tmp_path, values, journal + b"x" * 60) == boxes


@pytest.mark.parametrize("size", [0, 1, 5000, PLANES * WIDTH * HEIGHT - 1, 10**6])
def test_values_cut_off_or_too_long(tmp_path: Path, size: int) -> None:
    fill(tmp_path, BOXES)
    os.truncate(tmp_path / "values.raw", size)
    with opened(tmp_path) as canvas:
        done = assert_trustworthy(canvas)
    assert len(done) == len(BOXES) if size == 10**6 else len(done) < len(BOXES)


def test_changed_values_are_not_trusted(tmp_path: Path) -> None:
    fill(tmp_path, BOXES)
    with (tmp_path / "values.raw").open("r+b") as file:
        file.seek(40)
        file.write(b"\0")
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == [BOXES[0], *BOXES[2:]]
    (tmp_path / "values.raw").unlink()
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == []


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tiling.canvas import Canvas
from tests.patience import wait_for
from tiling.frame import Box
planes, width, height, side = map(int, sys.argv[2:])
boxes = [Box(x, y, side, side) for y in range(0, height, side) for x in range(0, width, side)]
with Canvas.open(Path(sys.argv[1]), key="a", planes=planes, width=width, height=height) as canvas:
    print("open", flush=True)
    for number, box in enumerate(boxes):
        if not canvas.is_done(box):
            random = np.random.default_rng((box.x + 1000, box.y + 1000))
            canvas.write(box, random.integers(1, 256, (planes, side, side), np.uint8))
            if number % 3 == 2:
                canvas.flush()
"""


def test_killed_at_any_time(tmp_path: Path) -> None:
    random_seconds = random.Random(7)
    shape = [str(value) for value in (PLANES, WIDTH, HEIGHT, SIDE)]
    progress: list[int] = []
    longest = 0.06  # seconds, or whatever it takes here to get to somewhere in the middle
    while len(progress) < 15 or not any(0 < count < len(BOXES) for count in progress):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), *shape],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            time.sleep(random_seconds.uniform(0, longest))
            child.kill()
            child.communicate()
        with opened(tmp_path) as canvas:
            progress.append(len(assert_trustworthy(canvas)))
        if progress[-1] == len(BOXES):
            (tmp_path / "values.journal").unlink()
            longest /= 2
        elif progress[-1] == 0:
            longest *= 2
    fill(tmp_path, BOXES)
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == BOXES


def test_a_full_disk_says_so_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    room = 20_000

    def pwrite(file: int, data: memoryview, offset: int) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real(file, data[:room], offset)
        room -= count
        return count

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ResultError, match=r"disk is full.*finished stays"), opened(tmp_path) as c:
        for box in BOXES:
            c.write(box, content(box))
            c.flush()
    monkeypatch.undo()
    with opened(tmp_path) as canvas:
        done = assert_trustworthy(canvas)
        assert 0 < len(done) < len(BOXES)
        for box in BOXES[len(done) :]:
            canvas.write(box, content(box))
        assert assert_trustworthy(canvas) == BOXES


def test_a_torn_record_is_overwritten_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    with opened(tmp_path) as canvas:
        canvas.write(BOXES[0], content(BOXES[0]))

        def pwrite(file: int, data: memoryview, offset: int) -> int:
            real(file, data[:13], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "pwrite", pwrite)
        with pytest.raises(ResultError, match="disk is full"):
            canvas.flush()
        monkeypatch.undo()
        canvas.write(BOXES[1], content(BOXES[1]))
    with opened(tmp_path) as canvas:
        assert assert_trustworthy(canvas) == BOXES[:2]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match=r"file.*cannot be written"):
        opened(tmp_path / "file")


def test_finished_boxes_become_safe_without_being_asked(tmp_path: Path) -> None:
    with opened(tmp_path) as canvas:
        empty = (tmp_path / "values.journal").stat().st_size

        def grown() -> bool:
            canvas.write(BOXES[0], content(BOXES[0]))
            return (tmp_path / "values.journal").stat().st_size > empty

        wait_for(grown)
