from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling.frame import Frame
from tiling.grid import plan_windows
from tiling.tissue import TissueMask


def frame_of(width: int, height: int) -> Frame:
    return Frame((3.5, -2.0), (15.83, 15.83), (4.0, 4.0), width, height)


def all_tissue(frame: Frame, factor: int) -> TissueMask:
    coarse = frame.coarser(factor)
    mask = np.ones((coarse.height, coarse.width), bool)
    return TissueMask(coarse, factor, mask, (float(coarse.width), float(coarse.height)))


def mask_of(frame: Frame, factor: int, seed: int, share: float) -> TissueMask:
    full = all_tissue(frame, factor)
    drawn = np.random.default_rng(seed).random(full.mask.shape) < share
    return replace(full, mask=drawn)


cases = {
    "width": st.integers(1, 90),
    "height": st.integers(1, 90),
    "factor": st.integers(1, 20),
    "seed": st.integers(0, 999),
    "share": st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    "write_side": st.integers(1, 50),
    "halo": st.integers(0, 30),
    "stride": st.integers(1, 9),
}


@settings(deadline=None, max_examples=50)
@given(**cases)
def test_windows_cover_the_tissue_once_and_nothing_else(
    width: int,
    height: int,
    factor: int,
    seed: int,
    share: float,
    write_side: int,
    halo: int,
    stride: int,
) -> None:
    frame = frame_of(width, height)
    tissue = mask_of(frame, factor, seed, share)
    windows = plan_windows(frame, tissue, write_side=write_side, halo=halo, stride=stride)

    full = np.kron(tissue.mask, np.ones((factor, factor), bool))[:height, :width]
    times_written = np.zeros((height, width), int)
    for window in windows:
        write, read = window.write, window.read
        assert write.width == write.height >= write_side
        assert write.width < write_side + stride
        assert {v % stride for v in (write.x, write.y, write.width, write.x - read.x)} == {0}
        assert write.x % write.width == write.y % write.height == 0
        assert halo <= write.x - read.x < halo + stride
        assert read == write.padded(write.x - read.x)
        part = np.s_[write.y : write.bottom, write.x : write.right]
        assert full[part].any()
        times_written[part] += 1
    assert times_written.max(initial=0) <= 1
    assert (times_written[full] == 1).all()
    assert [(w.write.y, w.write.x) for w in windows] == sorted(
        (w.write.y, w.write.x) for w in windows
    )


def test_tissue_pixels_that_stick_out_of_the_frame_need_no_windows_there() -> None:
    frame = frame_of(33, 8)
    tissue = all_tissue(frame, 8)
    windows = plan_windows(frame, tissue, write_side=4, halo=0, stride=4)
    assert max(w.write.x for w in windows) == 32


def test_refuses_a_mask_of_another_frame() -> None:
    tissue = all_tissue(frame_of(12, 12), 4)
    with pytest.raises(ValueError, match="does not cover"):
        plan_windows(frame_of(13, 12), tissue, write_side=4, halo=0, stride=4)


@pytest.mark.parametrize(("write_side", "halo", "stride"), [(0, 0, 1), (4, -1, 1), (4, 0, 0)])
def test_refuses_impossible_sizes(write_side: int, halo: int, stride: int) -> None:
    tissue = all_tissue(frame_of(12, 12), 4)
    with pytest.raises(ValueError, match="no windows"):
        plan_windows(frame_of(12, 12), tissue, write_side=write_side, halo=halo, stride=stride)
