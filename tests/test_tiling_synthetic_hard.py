"""Drawn slides with a difficulty: each differs from the first in just that."""

from pathlib import Path

import numpy as np

from tiling.frame import Box
from tiling.slide import Slide
from tiling.synthetic_hard import HardSlide, hard_slides

HARD = {slide.name: slide for slide in hard_slides()}
WITHIN = Box(260, 300, 60, 60)  # of the tumour


def mean(slide: HardSlide, box: Box = WITHIN) -> float:
    return float(slide.render(box).mean())


def test_each_is_as_difficult_as_it_says() -> None:
    plain = HARD["plain"]
    assert plain.drawn.truth(WITHIN).all()
    assert mean(HARD["dark"]) < mean(plain) - 20
    assert mean(HARD["stain"]) < mean(plain) - 30
    assert not HARD["benign"].outlines()
    assert HARD["blur"].render(WITHIN).std() < 0.8 * plain.render(WITHIN).std()


def test_white_blocks_are_white_and_all_else_is_the_same() -> None:
    box = Box(0, 0, 400, 400)
    with_blocks, plain = HARD["left-out"].render(box), HARD["plain"].render(box)
    left_out = np.zeros((400, 400), bool)
    for block in HARD["left-out"].left_out:
        left_out[block.y : block.bottom, block.x : block.right] = True
    assert 0.03 < left_out.mean() < 0.3
    assert (with_blocks[left_out] == 255).all()
    np.testing.assert_array_equal(with_blocks[~left_out], plain[~left_out])


def test_cores_are_narrow_and_the_tumour_lies_within_one() -> None:
    needle = HARD["needle"]
    lengths = [
        (outline.polygon.bounds[3] - outline.polygon.bounds[1]) for outline in needle.outlines()
    ]
    assert 0 < max(lengths) * needle.drawn.mpp < 1000


def test_a_slide_is_written_with_its_resolution(tmp_path: Path) -> None:
    HARD["needle"].write(tmp_path / "a.tiff")
    HARD["needle"].write(tmp_path / "b.tiff")
    assert (tmp_path / "a.tiff").read_bytes() == (tmp_path / "b.tiff").read_bytes()
    with Slide.open(tmp_path / "a.tiff") as slide:
        assert slide.known_mpp[0] == 4.0
