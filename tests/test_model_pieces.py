"""Pieces of slides: the same pixels however they are kept, read once while there is room."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.pieces import KeptPieces, Piece, PieceReader
from tiling.frame import Box

STRIDE = 4


class Endless:
    """A slide without end, whose values say where they are; notes what is read of it."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def __call__(self, box: Box) -> Piece:
        self.boxes.append(box)
        return drawn(box)


def drawn(box: Box) -> Piece:
    y, x = np.mgrid[box.y : box.bottom, box.x : box.right]
    labels = (7 * x + 13 * y).astype(np.uint8)
    large = labels.repeat(STRIDE, 0).repeat(STRIDE, 1)
    return Piece(np.stack([large, large + 1, large + 2], axis=-1), labels)


def same(one: Piece, other: Piece) -> bool:
    return bool((one.pixels == other.pixels).all() and (one.labels == other.labels).all())


boxes = st.builds(
    Box, st.integers(-200, 200), st.integers(-200, 200), st.integers(1, 150), st.integers(1, 150)
)


@settings(max_examples=30)
@given(st.lists(boxes, min_size=1, max_size=6), st.sampled_from([0, 600_000, 1 << 30]))
def test_any_box_is_as_read_at_once_whatever_is_kept(boxes: list[Box], most_bytes: int) -> None:
    reader = PieceReader(drawn, STRIDE, KeptPieces(most_bytes))
    for box in boxes:
        assert same(reader.piece(box), drawn(box))


def test_what_is_kept_is_not_read_again() -> None:
    slide = Endless()
    reader = PieceReader(slide, STRIDE, KeptPieces())
    for x in (3, 5, 3, 4):
        reader.piece(Box(x, -20, 100, 100))
    assert len(slide.boxes) == 1, "what is missing is read in one go, and once"


def test_a_copy_may_be_changed() -> None:
    reader = PieceReader(drawn, STRIDE, KeptPieces())
    box = Box(0, 0, 64, 64)
    first = reader.piece(box)
    first.pixels[:], first.labels[:] = 0, 0
    assert same(reader.piece(box), drawn(box))


def test_no_more_is_kept_than_there_is_room_for_and_the_last_used_stays() -> None:
    slide = Endless()
    square = drawn(Box(0, 0, 64, 64)).nbytes
    reader = PieceReader(slide, STRIDE, KeptPieces(3 * square))
    for x in (0, 1, 2, 0, 3):  # 1 is the longest unused when 3 comes
        reader.piece(Box(64 * x, 0, 64, 64))
    assert len(slide.boxes) == 4
    reader.piece(Box(0, 0, 64, 64))
    assert len(slide.boxes) == 4
    reader.piece(Box(64, 0, 64, 64))
    assert len(slide.boxes) == 5


def test_slides_that_share_a_place_to_keep_do_not_mix() -> None:
    kept = KeptPieces()
    one, other = PieceReader(drawn, STRIDE, kept), PieceReader(_shifted, STRIDE, kept)
    box = Box(10, 10, 30, 30)
    assert same(one.piece(box), drawn(box))
    assert same(other.piece(box), _shifted(box))


def _shifted(box: Box) -> Piece:
    return drawn(Box(box.x + 1, box.y, box.width, box.height))


@pytest.mark.parametrize("most_bytes", [0, 700_000, 1 << 30])
def test_threads_see_the_same(most_bytes: int) -> None:
    reader = PieceReader(drawn, STRIDE, KeptPieces(most_bytes))
    places = np.random.default_rng(0).integers(-90, 90, (80, 2)).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda place: reader.piece(Box(*place, 50, 40)), places)
    assert all(
        same(piece, drawn(Box(*place, 50, 40))) for piece, place in zip(found, places, strict=True)
    )
