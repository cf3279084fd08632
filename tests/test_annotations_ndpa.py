"""NDPA files: nanometres from the middle of the glass."""

import math
from pathlib import Path

import pytest

from annotations import Outline, SlidePlane, read_outlines
from annotations.errors import OutlineError, OutlineWarning

PLANE = SlidePlane(4000, 3000, mpp=(0.5, 0.25), centre_offset_nm=(100_000.0, -50_000.0))
CORNERS = ((100, 200), (300, 200), (300, 500), (100, 500))  # level-0 px


def to_nm(x: float, y: float) -> tuple[float, float]:
    return (x - 2000) * 500 + 100_000, (y - 1500) * 250 - 50_000


def points(*corners: tuple[float, float]) -> str:
    placed = (to_nm(*corner) for corner in corners)
    inside = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in placed)
    return f"<pointlist>{inside}</pointlist>"


def state(content: str, kind: str = "freehand", title: str = "Tumor", more: str = "") -> str:
    return (
        f"<ndpviewstate id='1'><title>{title}</title>{more}<x>1</x><y>2</y><z>0</z>"
        f"<annotation type='{kind}' displayname='d' color='#fff'>{content}</annotation>"
        "</ndpviewstate>"
    )


def read(folder: Path, *states: str, plane: SlidePlane | None = PLANE) -> list[Outline]:
    path = folder / "slide.ndpi.ndpa"
    path.write_text(f"<annotations>{''.join(states)}</annotations>")
    return read_outlines(path, plane=plane)


def test_nanometres_become_level_0_pixels(tmp_path: Path) -> None:
    (outline,) = read(tmp_path, state(f"<closed>1</closed>{points(*CORNERS)}"))
    assert outline.label == "tumour"
    assert outline.polygon.bounds == pytest.approx((100, 200, 300, 500), abs=1e-9)


def test_circles_and_rectangles(tmp_path: Path) -> None:
    x, y = to_nm(1000, 1000)
    circle = f"<x>{x}</x><y>{y}</y><radius>50000</radius>"
    round_one, square = read(
        tmp_path,
        state(circle, "circle"),
        state(points(CORNERS[0], CORNERS[2]), "rectangle", title="stroma"),
    )
    assert round_one.polygon.area == pytest.approx(math.pi * 100 * 200)
    assert round_one.polygon.centroid.coords[0] == pytest.approx((1000, 1000))
    assert (square.label, square.polygon.area) == ("stroma", pytest.approx(60_000))


def test_titles_that_mean_holes_and_no_title(tmp_path: Path) -> None:
    hole = points((150, 250), (200, 250), (200, 300))
    (outline,) = read(tmp_path, state(hole, title="clear"), state(points(*CORNERS), title=""))
    assert outline.label == "tumour"
    assert outline.polygon.area == pytest.approx(60_000 - 1_250)


def test_several_shapes_in_one_view(tmp_path: Path) -> None:
    both = state(points(*CORNERS)).replace(
        "</ndpviewstate>",
        f"<annotation type='freehand'>{points((1000, 5), (1010, 5), (1010, 9))}</annotation>"
        "</ndpviewstate>",
    )
    assert [o.label for o in read(tmp_path, both)] == ["tumour", "tumour"]


@pytest.mark.parametrize(
    "open_shape",
    [
        state("<closed>0</closed>" + points(*CORNERS), title="margin"),
        state("<x>0</x><y>0</y>", "pin", "margin"),
        state("<x1>0</x1><y1>0</y1><x2>9</x2><y2>9</y2>", "linearmeasure", "margin"),
        state("", "pointer", "margin"),
    ],
)
def test_pins_and_open_lines_are_left_out_by_name(tmp_path: Path, open_shape: str) -> None:
    with pytest.warns(OutlineWarning, match=r"without an area, left out: shape 2 \('margin'"):
        assert len(read(tmp_path, state(points(*CORNERS)), open_shape)) == 1


@pytest.mark.parametrize(
    ("plane", "missing"),
    [
        (None, "name the slide"),
        (SlidePlane(10, 10, centre_offset_nm=(0, 0)), "give --mpp"),
        (SlidePlane(10, 10, mpp=(1, 1)), "offset from the middle of the glass"),
    ],
)
def test_what_is_missing_of_the_slide_is_named(
    tmp_path: Path, plane: SlidePlane | None, missing: str
) -> None:
    with pytest.raises(OutlineError, match=rf"slide\.ndpi\.ndpa: .*{missing}"):
        read(tmp_path, state(points(*CORNERS)), plane=plane)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (state("<pointlist><point><x>1</x></point></pointlist>"), "no number"),
        (state("<pointlist><point><x>1</x><y>1</y></point><point/></pointlist>"), "no number"),
        (state("<x>0</x><y>0</y>", "circle"), "no number"),
        (state(points(*CORNERS), more="<coordformat>pixels</coordformat>"), "is in 'pixels'"),
        (state(points(*CORNERS, (1e9, 0))), "lies on no slide"),
    ],
)
def test_broken_shapes_are_refused_by_name(tmp_path: Path, broken: str, said: str) -> None:
    with pytest.raises(OutlineError, match=rf"slide\.ndpi\.ndpa: shape 1 .*{said}"):
        read(tmp_path, broken)
