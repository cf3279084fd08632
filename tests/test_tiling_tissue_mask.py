"""Tissue masks seen more coarsely, and cut to squares."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiling.frame import Box, Frame
from tiling.tissue_mask import Mask, TissueMask

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))
TIMES = st.integers(1, 5)
FACTOR = 3  # model pixels a mask pixel


def tissue_of(mask: Mask) -> TissueMask:
    height, width = mask.shape
    frame = Frame((5.0, 7.0), (6.0, 6.0), (12.0, 12.0), width, height)
    return TissueMask(frame, FACTOR, mask, (width - 0.5, height - 0.25))


@given(MASKS, TIMES)
def test_coarser_is_tissue_where_anything_is(mask: Mask, times: int) -> None:
    coarse = tissue_of(mask).coarser(times)
    assert coarse.frame == tissue_of(mask).frame.coarser(times)
    assert coarse.factor == FACTOR * times
    expected = np.zeros(coarse.mask.shape, np.bool_)
    for y, x in np.argwhere(mask):
        expected[y // times, x // times] = True
    np.testing.assert_array_equal(coarse.mask, expected)
    counts = tissue_of(mask).counts(times)
    assert counts.sum() == mask.sum()
    np.testing.assert_array_equal(counts > 0, expected)


@given(MASKS, TIMES, st.data())
def test_within_keeps_the_tissue_of_some_squares(
    mask: Mask, times: int, data: st.DataObject
) -> None:
    tissue = tissue_of(mask)
    kept = data.draw(arrays(np.bool_, tissue.coarser(times).mask.shape))
    found = tissue.within(kept, times)
    for (y, x), inside in np.ndenumerate(mask):
        assert found.mask[y, x] == (inside and kept[y // times, x // times])
    parts = found.area_mm2 + tissue.within(~kept, times).area_mm2
    np.testing.assert_allclose(parts, tissue.area_mm2)


def test_a_region_stays_where_it_is() -> None:
    tissue = tissue_of(np.ones((12, 12), np.bool_)).restricted(Box(5 + 18, 7 + 12, 24, 36))
    coarse = tissue.coarser(2)
    fine = tissue.frame
    box = Box(0, 0, 12, 12)
    np.testing.assert_array_equal(coarse.on(fine, box), tissue.on(fine, box))
    np.testing.assert_allclose(coarse.area_mm2, tissue.area_mm2)
