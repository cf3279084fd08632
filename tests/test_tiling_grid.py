from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiling.frame import Box, Frame
from tiling.grid import WINDOW_PIXELS, plan_windows
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


@settings(max_examples=50)
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
        assert 0 < write.width < write_side + stride
        assert 0 < write.height < write_side + stride
        sides = (write.x, write.y, write.width, write.height, write.x - read.x)
        assert {v % stride for v in sides} == {0}
        assert halo <= write.x - read.x < halo + stride
        assert read == write.padded(write.x - read.x)
        part = np.s_[write.y : write.bottom, write.x : write.right]
        assert full[part].any()
        times_written[part] += 1
    assert times_written.max(initial=0) <= 1
    assert (times_written[full] == 1).all()


def pieces_of(frame: Frame, *boxes: Box) -> TissueMask:
    """Tissue in boxes of the frame, on a mask of 16 pixels a side."""
    tissue = all_tissue(frame, 16)
    mask = np.zeros_like(tissue.mask)
    for box in boxes:
        mask[box.y // 16 : box.bottom // 16, box.x // 16 : box.right // 16] = True
    return replace(tissue, mask=mask)


def test_windows_fit_the_pieces_of_tissue() -> None:
    frame = frame_of(9600, 9600)
    pieces = (Box(320, 640, 1600, 640), Box(4800, 4000, 320, 1920), Box(8000, 320, 960, 960))
    windows = plan_windows(frame, pieces_of(frame, *pieces), write_side=2048, halo=64, stride=32)
    assert {w.write for w in windows} == set(pieces)


def test_what_is_too_large_is_cut_evenly() -> None:
    frame = frame_of(6400, 3200)
    windows = plan_windows(frame, all_tissue(frame, 16), write_side=2048, halo=64, stride=32)
    assert len(windows) == 8
    assert sum(w.write.area for w in windows) == frame.width * frame.height


def test_pieces_that_lie_close_share_a_window() -> None:
    """Two halos cost more than the glass between."""
    frame = frame_of(1600, 1600)
    close = pieces_of(frame, Box(320, 320, 320, 320), Box(704, 320, 320, 320))
    assert len(plan_windows(frame, close, write_side=2048, halo=192, stride=32)) == 1


@settings(max_examples=25)
@given(seed=st.integers(0, 999), share=st.sampled_from([0.01, 0.1, 0.5]))
def test_fitted_windows_read_less_than_a_lattice_would(seed: int, share: float) -> None:
    """Counting, as the plan does, what each window costs beside its pixels."""
    frame = frame_of(6400, 6400)
    tissue = mask_of(frame, 320, seed, share)
    fitted = plan_windows(frame, tissue, write_side=1600, halo=96, stride=32)
    lattice = tissue.mask.reshape(4, 5, 4, 5).any((1, 3)).sum()
    cost = sum(w.read.area + WINDOW_PIXELS for w in fitted)
    assert cost <= lattice * ((1600 + 2 * 96) ** 2 + WINDOW_PIXELS)


def test_a_huge_slide_is_planned_on_a_coarser_lattice() -> None:
    frame = frame_of(400_000, 300_000)
    tissue = all_tissue(frame, 1000)
    windows = plan_windows(frame, tissue, write_side=4096, halo=64, stride=32)
    assert sum(w.write.area for w in windows) >= frame.width * frame.height
    assert sum(w.read.area for w in windows) < 1.1 * frame.width * frame.height


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
