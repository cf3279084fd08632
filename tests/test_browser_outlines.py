"""Outlines in the viewer: drawn by mouse, saved, found again, corrected, in conflict."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.settings import Settings
from tests.browser import UPRIGHT, browsing, coloured, comes_to, open_slide
from tests.lab import lab
from tests.outlined import slide_ids, write_measured_slide
from tests.served import served

HOSTILE = '"><img src=x onerror=alert(1)><b>'
BETWEEN_CLICKS = 350  # milliseconds: two clicks are no double click


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "breast.tiff", 1600, 1200)
    settings = Settings(tmp_path / "data", tmp_path / "state")
    with served(settings) as client:
        slide = slide_ids(settings)["breast.tiff"]
        client.headers["X-Path"] = f"/v1/slides/{slide}/outlines"
        yield client


def path(client: httpx.Client) -> str:
    return client.headers["X-Path"]


def begin(page: Page) -> None:
    open_slide(page, "breast.tiff")
    page.get_by_role("tab", name="Outlines").click()
    page.locator("#edit").click()
    expect(page.locator("#editor")).to_be_visible()


def draw(page: Page, *corners: tuple[int, int]) -> None:
    """Click the corners, in CSS pixels from the middle of the slide; a double click closes."""
    page.locator("#editor .toggle").click()
    box = page.locator(".osd").bounding_box()
    assert box
    points = [
        (box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y) for x, y in corners
    ]
    for point in points[:-1]:
        page.mouse.move(*point, steps=3)
        page.wait_for_timeout(BETWEEN_CLICKS)
        page.mouse.click(*point)
    page.mouse.move(*points[-1], steps=3)
    page.wait_for_timeout(BETWEEN_CLICKS)
    page.mouse.dblclick(*points[-1])
    expect(page.locator("#editor .toggle")).to_have_attribute("aria-pressed", "false")


def test_drawn_saved_reloaded_found_again(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        begin(page)
        draw(page, (-100, -100), (100, -100), (100, 100), (-100, 100))
        drawn = page.locator("#edited-areas").inner_text()
        assert drawn.startswith("tumour ")
        page.locator("#save").click()
        expect(page.locator(".versions li")).to_have_count(1)
        page.reload()
        expect(page.locator(".labels li")).to_have_text(f"tumour{drawn.removeprefix('tumour ')}")
        expect(page.locator("#scale-bar")).to_be_visible()
        comes_to(page, lambda: coloured(page, "expert") > 800)
        page.locator("#stage").focus()
        page.keyboard.press("e")
        comes_to(page, lambda: coloured(page, "expert") == 0)
    saved = client.get(path(client)).json()
    (feature,) = saved["features"]
    (ring,) = feature["geometry"]["coordinates"]
    centre = [sum(axis) / 4 for axis in zip(*ring[:-1], strict=True)]
    assert len(ring) == 5 and abs(centre[0] - 800) < 12 and abs(centre[1] - 600) < 12
    (version,) = client.get(path(client) + "/versions").json()
    mm2 = float(drawn.removeprefix("tumour ").removesuffix(" mm²"))
    assert version["areas_mm2"]["tumour"] == pytest.approx(mm2, rel=0.01)


def test_fingers_draw_and_one_step_back_undoes_it(client: httpx.Client) -> None:
    with browsing(client.base_url, size=UPRIGHT, touch=True) as page:
        begin(page)
        page.locator("#editor .toggle").tap()
        for corner in ((250, 200), (450, 200), (450, 380), (250, 380), (252, 203)):
            page.wait_for_timeout(BETWEEN_CLICKS)
            page.touchscreen.tap(*corner)
        expect(page.locator("#editor .toggle")).to_have_attribute("aria-pressed", "false")
        drawn = page.locator("#edited-areas").inner_text()
        assert drawn.startswith("tumour ")
        page.get_by_role("button", name="Undo").tap()
        expect(page.locator("#edited-areas")).to_have_text("Nothing is outlined yet.")
        page.get_by_role("button", name="Redo").tap()
        expect(page.locator("#edited-areas")).to_have_text(drawn)


def test_holes_stay_and_corners_move(client: httpx.Client) -> None:
    square = [[400, 300], [1200, 300], [1200, 900], [400, 900], [400, 300]]
    hole = [[700, 500], [900, 500], [900, 700], [700, 700], [700, 500]]
    put(client, {"type": "Polygon", "coordinates": [square, hole]}, "tumour")
    with browsing(client.base_url) as page:
        begin(page)
        expect(page.locator("#edited-areas")).to_have_text("tumour 1.76 mm²")
        box = page.locator(".osd").bounding_box()
        assert box
        across = box["width"] / 2, box["height"] / 2
        inside = box["x"] + across[0] - 150, box["y"] + across[1]  # beside the hole

        def is_chosen() -> bool:
            page.mouse.click(*inside)  # one that is heard late counts for nothing
            page.wait_for_timeout(BETWEEN_CLICKS)
            return page.locator(".a9s-corner-handle").count() > 0

        comes_to(page, is_chosen)
        handle = page.locator(".a9s-corner-handle").first.bounding_box()
        assert handle
        x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 60, y - 60, steps=5)
        page.mouse.up()
        expect(page.locator("#edited-areas")).not_to_have_text("tumour 1.76 mm²")
        page.locator("#save").click()
        expect(page.locator(".versions li")).to_have_count(2)
    (feature,) = client.get(path(client)).json()["features"]
    rings = feature["geometry"]["coordinates"]
    rings = rings[0] if feature["geometry"]["type"] == "MultiPolygon" else rings
    assert len(rings) == 2 and sorted(map(tuple, rings[1])) == sorted(map(tuple, hole))


def test_a_conflict_has_both_ways_out(client: httpx.Client) -> None:
    theirs = [[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]]
    with browsing(client.base_url, expected=("412",)) as page:
        begin(page)
        draw(page, (-100, -100), (100, -100), (100, 100))
        put(client, {"type": "Polygon", "coordinates": [theirs]}, "ignore")
        page.locator("#save").click()
        page.get_by_role("button", name="Mine: save it").click()
        expect(page.locator(".versions li")).to_have_count(2)
        expect(page.locator(".labels li")).to_contain_text("tumour")
        page.locator("#edit").click()
        draw(page, (150, 100), (200, 100), (200, 200))
        put(client, {"type": "Polygon", "coordinates": [theirs]}, "ignore")
        page.locator("#save").click()
        page.get_by_role("button", name="Theirs").click()
        expect(page.locator(".labels li")).to_contain_text("ignore")
        expect(page.locator("#editor")).to_be_hidden()


def test_labels_are_text(client: httpx.Client) -> None:
    square = [[400, 300], [1200, 300], [1200, 900], [400, 900], [400, 300]]
    put(client, {"type": "Polygon", "coordinates": [square]}, HOSTILE)
    with browsing(client.base_url) as page:
        begin(page)
        expect(page.locator("#edited-areas")).to_contain_text(HOSTILE)
        page.get_by_role("button", name="Discard").click()
        expect(page.locator(".labels li")).to_contain_text(HOSTILE)
        assert page.locator("img[src=x], .labels b").count() == 0


def test_unsaved_outlines_are_asked_about(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        begin(page)
        draw(page, (-100, -100), (100, -100), (100, 100))
        page.get_by_role("tab", name="Slides").click()
        page.get_by_role("button", name="breast.tiff").click()
        page.get_by_role("dialog").get_by_role("button", name="Go back").click()
        page.get_by_role("tab", name="Outlines").click()
        expect(page.locator("#edited-areas")).to_contain_text("tumour")


def test_a_session_that_ends_loses_no_outline(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "breast.tiff", 1600, 1200)
    with (
        lab(Settings(tmp_path / "data", tmp_path / "state")) as place,
        browsing(place.anna.base_url, expected=("401",)) as page,
    ):
        key = place.anna.headers["Authorization"].removeprefix("Bearer ")
        sign_in(page, key)
        begin(page)
        draw(page, (-100, -100), (100, -100), (100, 100))
        page.context.clear_cookies()
        page.locator("#save").click()
        sign_in(page, key)
        expect(page.locator("#edited-areas")).to_contain_text("tumour")
        page.locator("#save").click()
        expect(page.locator(".versions li")).to_have_count(1)


def sign_in(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill(key)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)


def put(client: httpx.Client, geometry: dict[str, object], label: str) -> None:
    feature = {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"objectType": "annotation", "classification": {"name": label}},
    }
    body = {"type": "FeatureCollection", "origin_level0": [0, 0], "features": [feature]}
    answer = client.put(path(client), content=json.dumps(body))
    assert answer.is_success, answer.text
