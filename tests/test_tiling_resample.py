"""Resampling: exact means, one value per pixel, whatever the window, level or phase."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiling.frame import Box, Frame
from tiling.images import FlatLevel
from tiling.resample import Axis, Level, best_level, resample

NOISE = np.random.default_rng(3).integers(0, 256, (97, 113, 3), dtype=np.uint8)
STEPS = st.floats(0.7, 20) | st.integers(1, 20).map(float) | st.just(15.83)
ORIGINS = st.floats(0, 10) | st.integers(0, 10).map(float)


class SmallerLevel(FlatLevel):
    """A level at some downsample."""

    def __init__(self, pixels: npt.NDArray[np.uint8], downsample: float) -> None:
        super().__init__(pixels)
        self.downsample = (downsample, downsample)


def _frame(origin: tuple[float, float], step: tuple[float, float]) -> Frame:
    size = (113 - origin[0], 97 - origin[1])
    width, height = (max(1, int(np.ceil(s / d - 1e-6))) for s, d in zip(size, step, strict=True))
    return Frame(origin, step, step, width, height)


def _naive(frame: Frame, x: int, y: int) -> npt.NDArray[np.float64]:
    """The mean over what a pixel covers of NOISE, by the definition; what is beyond is left out."""
    (left, top), (right, bottom) = frame.to_level0(x, y), frame.to_level0(x + 1, y + 1)
    columns, rows = np.arange(113), np.arange(97)
    across = np.clip(np.minimum(right, columns + 1) - np.maximum(left, columns), 0, None)
    down = np.clip(np.minimum(bottom, rows + 1) - np.maximum(top, rows), 0, None)
    total = np.einsum("i,j,ijk->k", down, across, NOISE.astype(np.float64))
    mean: npt.NDArray[np.float64] = total / (across.sum() * down.sum())
    return mean


@given(st.tuples(ORIGINS, ORIGINS), st.tuples(STEPS, STEPS), st.data())
def test_any_window_is_a_part_of_the_whole(
    origin: tuple[float, float], step: tuple[float, float], data: st.DataObject
) -> None:
    frame = _frame(origin, step)
    whole = resample(FlatLevel(NOISE), frame, frame.box)
    x, y = data.draw(st.integers(0, frame.width - 1)), data.draw(st.integers(0, frame.height - 1))
    box = Box(
        x,
        y,
        data.draw(st.integers(1, frame.width - x)),
        data.draw(st.integers(1, frame.height - y)),
    )
    np.testing.assert_array_equal(
        resample(FlatLevel(NOISE), frame, box), whole[box.y : box.bottom, box.x : box.right]
    )


@given(st.tuples(ORIGINS, ORIGINS), st.tuples(st.floats(1, 20), st.floats(1, 20)), st.data())
def test_a_pixel_is_the_mean_of_what_it_covers(
    origin: tuple[float, float], step: tuple[float, float], data: st.DataObject
) -> None:
    frame = _frame(origin, step)
    x, y = data.draw(st.integers(0, frame.width - 1)), data.draw(st.integers(0, frame.height - 1))
    left, top = frame.to_level0(x, y)
    if left + step[0] > 113 or top + step[1] > 97:
        return  # slivers on the far edge: another test
    found = resample(FlatLevel(NOISE), frame, Box(x, y, 1, 1))[0, 0]
    assert np.abs(found - _naive(frame, x, y)).max() <= 0.51


@pytest.mark.parametrize("step", [2, 4, 16])
def test_whole_steps_are_exact_block_means(step: int) -> None:
    frame = _frame((0.0, 0.0), (float(step), float(step)))
    found = resample(FlatLevel(NOISE), frame, frame.box)
    for y in range(97 // step):
        for x in range(113 // step):
            block = NOISE[y * step : (y + 1) * step, x * step : (x + 1) * step].astype(np.int64)
            expected = (block.sum(axis=(0, 1)) + step * step // 2) // step**2
            np.testing.assert_array_equal(found[y, x], expected)


@given(st.tuples(ORIGINS, ORIGINS), st.tuples(STEPS, STEPS), st.integers(0, 255))
def test_a_constant_field_stays_constant(
    origin: tuple[float, float], step: tuple[float, float], value: int
) -> None:
    frame = _frame(origin, step)
    constant = FlatLevel(np.full((97, 113, 3), value, np.uint8))
    assert (resample(constant, frame, frame.box) == value).all()


@given(ORIGINS, STEPS, st.integers(-5, 200), st.integers(1, 60))
def test_weights_sum_to_one_and_stay_on_the_level(
    start: float, step: float, first: int, count: int
) -> None:
    sources, weights = Axis(start, step, 113).taps(first, count)
    assert sources.shape == weights.shape
    assert (sources >= 0).all()
    assert (sources < 113).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


def test_a_level_cut_short_repeats_its_edge() -> None:
    """250 pixels of a level-0 width of 1,001 at a downsample of 4: the 251st has no pixel."""
    level = SmallerLevel(NOISE[:, :50], 4.0)
    frame = Frame((0.0, 0.0), (4.0, 4.0), (1.0, 1.0), 51, 97)
    np.testing.assert_array_equal(resample(level, frame, Box(50, 0, 1, 97))[:, 0], NOISE[:, 49])


def test_finer_than_the_level_is_linear_between_pixel_centres() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 4, axis=0)
    level = FlatLevel(np.repeat(ramp, 3, axis=2))
    frame = Frame((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), 40, 8)
    row = resample(level, frame, frame.box)[3, :, 0]
    np.testing.assert_array_equal(row[:6], [0, 3, 8, 13, 18, 23])


def test_the_coarsest_level_that_is_fine_enough_is_read() -> None:
    levels: list[Level] = [SmallerLevel(NOISE, d) for d in (1.0, 4.0, 16.0)]

    def chosen(step: float) -> tuple[float, float]:
        return best_level(levels, _frame((0.0, 0.0), (step, step))).downsample

    assert [chosen(step)[0] for step in (0.8, 1.0, 3.9, 4.0, 15.83, 16.0, 40.0)] == [
        1.0,
        1.0,
        1.0,
        4.0,
        4.0,
        16.0,
        16.0,
    ]
