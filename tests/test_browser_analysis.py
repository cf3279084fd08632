"""An analysis in the viewer: started, watched while its map grows, measured, looked through."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.settings import Settings
from tests.attempts import looking, suspended
from tests.browser import (
    LAPTOP,
    TABLET,
    area,
    browsing,
    centre_um,
    coloured,
    comes_to,
    comes_to_rest,
    open_slide,
    shot,
)
from tests.clusters import embedded_workers
from tests.conftest import draw_slide
from tests.served import served
from tiling.synthetic_blocks import write_blocks_slide


@pytest.fixture(scope="module")
def client(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("analysis")
    (folder / "data").mkdir()
    shutil.copy(data / "idc" / "8867.tiff", folder / "data" / "breast.tiff")
    draw_slide(folder / "data" / "flat.png")
    write_blocks_slide(folder / "data" / "large.tiff", 32768, 16384)
    with served(Settings(folder / "data", folder / "state")) as client:
        yield client


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


def begin(page: Page, name: str = "breast.tiff") -> None:
    open_slide(page, name)
    page.get_by_role("tab", name="Analysis").click()
    if not page.locator("#start").is_visible():
        page.get_by_text("New analysis").click()


def ended(page: Page, how: str) -> None:
    expect(page.locator(".jobs li").first).to_have_attribute("data-state", how)


@contextmanager
def finished(client: httpx.Client, *, size: tuple[int, int] = LAPTOP) -> Iterator[Page]:
    """The viewer with a finished analysis, on show as soon as its slide is open.

    The first one to ask waits for it.
    """
    slide = client.get("/v1/slides", params={"q": "breast"}).json()["items"][0]["id"]
    there = client.get("/v1/jobs", params={"slide": slide, "state": "succeeded"}).json()["items"]
    if not any("summary.json" in job["links"] for job in there):
        client.post("/v1/jobs", json={"slide": slide, "model": "breast-idc"}).raise_for_status()
    with browsing(client.base_url, size=size) as page:
        open_slide(page, "breast.tiff")
        expect(page.locator("#result .files a")).to_have_count(5)
        comes_to_rest(page, 500)
        yield page


def slide_to(page: Page, slider: str, value: float) -> None:
    page.locator(slider).fill(str(value))


def test_the_map_grows_over_the_slide(client: httpx.Client, pictures: Path) -> None:
    with browsing(client.base_url) as page:
        begin(page, "large.tiff")
        assert coloured(page, "map") == 0
        page.locator("#start").click()
        seen: list[int] = []
        while page.locator(".jobs li").first.get_attribute("data-state") != "succeeded":
            page.wait_for_timeout(50)
            with looking():
                page.wait_for_timeout(150)
                if (count := coloured(page, "map")) != (seen or [0])[-1]:
                    seen.append(count)
                    shot(page, pictures, f"growing-{len(seen)}")
        assert len(seen) >= 2, "the map was not seen while it was made"
        expect(page.locator("#result .files a")).to_have_count(5)
        comes_to(page, lambda: coloured(page, "predicted") > 1000)
        (job,) = client.get("/v1/jobs").json()["items"]
        assert area(page) == pytest.approx(job["outcome"]["tumour_area_mm2"], abs=0.006)
        shot(page, pictures, "finished")


def test_the_threshold_moves_map_and_area(client: httpx.Client, pictures: Path) -> None:
    with finished(client) as page:
        before = area(page), coloured(page, "map")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        job = client.get("/v1/jobs").json()["items"][0]
        own = round(job["threshold"], 2)
        slide_to(page, "#threshold", 0.8)
        expect(page.locator("#threshold-note")).to_contain_text(
            f"keep this analysis' threshold, {own:.2f}"
        )
        comes_to(page, lambda: area(page) < before[0] and 0 < coloured(page, "map") < before[1])
        shot(page, pictures, "threshold")
        assert asked == []  # all of it from what was there
        slide_to(page, "#threshold", own)
        expect(page.locator("#threshold-note")).to_be_hidden()
        comes_to(page, lambda: area(page) == before[0])
        slide_to(page, "#opacity", 0.25)
        opacity = page.locator(".layer-map").evaluate("each => getComputedStyle(each).opacity")
        assert opacity == "0.25"
        page.reload()  # the analysis is on show again
        expect(page.locator("#area")).to_have_text(f"{before[0]:.2f} mm²")


def test_layers_and_regions_by_keyboard(client: httpx.Client, pictures: Path) -> None:
    with finished(client, size=TABLET) as page:
        page.locator("#stage").focus()
        for key, layer in (("m", "map"), ("o", "predicted")):
            page.keyboard.press(key)
            comes_to(page, lambda layer=layer: coloured(page, layer) == 0)  # type: ignore[misc]
            page.keyboard.press(key)
            comes_to(page, lambda layer=layer: coloured(page, layer) > 0)  # type: ignore[misc]
        before = page.locator("#scale-bar").inner_text()
        page.keyboard.press("n")
        expect(page.locator(".region").first).to_have_attribute("aria-current", "")
        page.keyboard.press("n")
        expect(page.locator("#scale-bar")).not_to_have_text(before)
        job = client.get("/v1/jobs", params={"state": "succeeded"}).json()["items"][0]
        summary = client.get(job["links"]["summary.json"]).json()
        left, top, right, bottom = summary["regions"][1]["bbox_level0"]

        def is_there() -> bool:
            x, y = centre_um(page)
            return abs(x - (left + right) / 2 * 4) < 20 and abs(y - (top + bottom) / 2 * 4) < 20

        comes_to(page, is_there)  # it flies
        page.keyboard.press("p")
        expect(page.locator("#status")).to_contain_text("Region 1 of")
        shot(page, pictures, "region")


def test_every_result_can_be_had(client: httpx.Client) -> None:
    with finished(client) as page:
        for link in page.locator("#result .files a").all():
            href = link.get_attribute("href")
            assert href and client.get(href).is_success, href
        with page.expect_download() as begun:
            page.get_by_role("link", name="Figures (JSON)").click()
        assert begun.value.suggested_filename.endswith(".json")


def test_nothing_is_asked_for_without_need(client: httpx.Client) -> None:
    with finished(client) as page:
        comes_to_rest(page, 5000)


def test_missing_resolution_is_asked_for(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        begin(page, "flat.png")
        page.locator("#start").click()
        assert page.locator("#mpp").evaluate("each => each.validity.valueMissing")
        page.locator("#mpp").fill("4")
        page.get_by_role("button", name="What is on screen").click()
        expect(page.locator("#start")).to_be_enabled()
        page.locator("#start").click()
        ended(page, "succeeded")
    job = client.get("/v1/jobs").json()["items"][0]
    assert job["mpp"] == 4 and job["region_level0"] == [0, 0, 480, 360]


def test_a_region_is_drawn_and_an_analysis_cancelled(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        begin(page)
        page.get_by_role("group", name="Region").get_by_role("button", name="Draw").click()
        box = page.locator(".osd").bounding_box()
        assert box
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 120, middle[1] + 90, steps=6)
        page.mouse.up()
        expect(page.get_by_role("group", name="Region")).to_contain_text("px")
        assert coloured(page, "region") > 0
        with suspended(embedded_workers()):  # or it may be over before it is cancelled
            page.locator("#start").click()
            page.get_by_role("button", name="Cancel analysis").first.click()
            page.get_by_role("dialog").get_by_role("button", name="Cancel analysis").click()
            ended(page, "cancelled")
    job = client.get("/v1/jobs").json()["items"][0]
    assert job["region_level0"][2] / job["region_level0"][3] == pytest.approx(120 / 90, rel=0.02)


def test_results_are_deleted(client: httpx.Client) -> None:
    with finished(client) as page:
        page.get_by_role("button", name="Delete results").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Delete results").click()
        expect(page.get_by_text("Its results were deleted.")).to_be_visible()
        comes_to(page, lambda: coloured(page, "map") == 0)
