"""The viewer's slides: found, opened, uploaded, looked at by keyboard, behind a key."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from service.settings import Settings
from tests.browser import LAPTOP, TABLET, UPRIGHT, browsing, centre_um, comes_to, open_slide
from tests.lab import lab
from tests.outlined import write_measured_slide
from tests.served import served

HOSTILE = "<img src=x onerror=alert(1)>.tiff"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("slides")
    (folder / "data").mkdir()
    for name in ("breast.tiff", "lung.tiff", HOSTILE):
        write_measured_slide(folder / "data" / name, 1600, 1200)
    with served(Settings(folder / "data", folder / "state")) as client:
        yield client


def names(page: Page) -> list[str]:
    return page.locator(".slide-name").all_inner_texts()


def test_slides_are_listed_searched_and_opened(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        expect(page.get_by_text("Research use only", exact=True)).to_be_visible()
        expect(page.locator(".slides li")).to_have_count(3)
        page.get_by_label("Search slides by name").fill("BRE")
        expect(page.locator(".slides li")).to_have_count(1)
        assert names(page) == ["breast.tiff"]
        open_slide(page, "breast.tiff")
        expect(page.locator(".facts").first).to_have_text("1,600 × 1,200 px · 2 µm/px")
        expect(page.locator("#scale-bar")).to_have_text(re.compile("^[125]0* (µm|mm)$"))
        page.reload()  # what was open is open again
        expect(page.locator("#slide-title")).to_have_text("breast.tiff")


def test_a_slide_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "breast.tiff")
    (tmp_path / "data" / "broken.tiff").write_text("cut short")
    with (
        served(Settings(tmp_path / "data", tmp_path / "state")) as client,
        browsing(client.base_url, expected=("422",)) as page,
    ):
        open_slide(page, "breast.tiff")
        page.get_by_role("tab", name="Slides").click()
        page.get_by_role("button", name="broken.tiff").click()
        expect(page.locator(".notice")).to_contain_text("broken.tiff: The slide cannot be read")
        expect(page.locator("#slide-title")).to_have_text("breast.tiff")
        expect(page.get_by_role("button", name="broken.tiff")).to_be_disabled()


def test_the_slide_that_was_chosen_last_is_shown(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        expect(page.locator(".slides li")).to_have_count(3)
        page.evaluate(
            """() => {
              for (const name of ["breast", "lung", "breast", "lung"]) {
                [...document.querySelectorAll(".slide")]
                  .find(({ textContent }) => textContent.includes(name)).click();
              }
            }"""
        )
        expect(page.locator("#stage")).to_have_attribute("data-shows", "lung.tiff")
        page.wait_for_timeout(500)
        expect(page.locator("#slide-title")).to_have_text("lung.tiff")
        expect(page.locator("#stage")).to_have_attribute("data-shows", "lung.tiff")
        expect(page.locator(".slide[aria-current]")).to_contain_text("lung.tiff")


def test_tiles_that_a_busy_server_refused_come_later(client: httpx.Client) -> None:
    with browsing(client.base_url, expected=("503", "failed to load")) as page:
        refused: list[str] = []

        def refuse(route: Route) -> None:
            refused.append(route.request.url)
            route.fulfill(status=503)

        page.route("**/*_files/**", refuse)
        open_slide(page, "lung.tiff")
        comes_to(page, lambda: len(refused) > len(set(refused)))  # all that show, and one again
        with page.expect_response(lambda answer: answer.url in refused and answer.ok):
            page.unroute("**/*_files/**")


def test_names_are_text(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        open_slide(page, HOSTILE)
        expect(page.locator("#slide-title")).to_have_text(HOSTILE)
        assert page.locator("img[src=x]").count() == 0


def test_the_pointer_says_where_it_is(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        open_slide(page, "lung.tiff")
        comes_to(page, lambda: centre_um(page) == pytest.approx((1600, 1200), abs=8))  # 2 µm/px


def test_uploads_become_slides(client: httpx.Client, tmp_path: Path) -> None:
    slide = write_measured_slide(tmp_path / "sent <b>in.tiff", 3000, 2400)
    (tmp_path / "notes.tiff").write_text("this is no slide")
    gone = ("404", "failed to load")  # tiles of the slide that is deleted while it is shown
    with browsing(client.base_url, expected=("422", *gone)) as page:
        page.locator("#upload").set_input_files([slide])
        expect(page.locator("#slide-title")).to_have_text("sent <b>in.tiff")
        page.get_by_role("tab", name="Slides").click()
        assert page.locator(".slides b").count() == 0
        page.locator("#upload").set_input_files([tmp_path / "notes.tiff"])
        expect(page.locator(".uploads .wrong")).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()
        page.get_by_role("button", name="Delete sent").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.locator(".slides li")).to_have_count(3)


def test_a_broken_upload_goes_on_where_it_stopped(client: httpx.Client, tmp_path: Path) -> None:
    slide = write_measured_slide(tmp_path / "long.tiff", 3600, 3000)
    assert slide.stat().st_size > 10 << 20
    with browsing(client.base_url, expected=("ERR_FAILED", "ERR_ABORTED")) as page:
        offsets: list[str] = []
        page.on(
            "request",
            lambda asked: (
                offsets.append(asked.headers["upload-offset"]) if asked.method == "PATCH" else None
            ),
        )
        page.route(
            "**/v1/uploads/*",
            lambda route: (
                route.abort()
                if len(offsets) == 2 and route.request.method == "PATCH"
                else route.continue_()
            ),
        )
        page.locator("#upload").set_input_files([slide])
        expect(page.locator("#slide-title")).to_have_text("long.tiff")
        assert offsets[0] == "0" and offsets.count("0") == 1, offsets


def test_by_keyboard(client: httpx.Client) -> None:
    with browsing(client.base_url) as page:
        expect(page.get_by_role("button", name="breast.tiff")).to_be_visible()
        seen: list[str] = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(focused(page))
        for each in ("Skip to the slide", "Help", "Slides", "Search slides by name", "breast.tiff"):
            assert any(each in said for said in seen), (each, seen)
        page.keyboard.press("/")
        page.keyboard.type("lung")
        expect(page.locator(".slides li")).to_have_count(1)
        page.locator(".slide").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#scale-bar")).to_be_visible()
        before = page.locator("#scale-bar").inner_text()
        page.locator("#stage").focus()
        for _ in range(4):
            page.keyboard.press("+")
        expect(page.locator("#scale-bar")).not_to_have_text(before)
        page.keyboard.press("0")
        expect(page.locator("#scale-bar")).to_have_text(before)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.locator("#tab-analysis").focus()
        page.keyboard.press("ArrowRight")
        assert focused(page) == "Outlines"
        expect(page.locator("#outlines")).to_be_visible()


def focused(page: Page) -> str:
    """What a screen reader would roughly call the focused element; its outline must be visible."""
    said: str = page.evaluate(
        """() => {
          const at = document.activeElement;
          return at.getAttribute("aria-label") || at.innerText || at.id || at.tagName;
        }"""
    )
    return said


@pytest.mark.parametrize("size", [LAPTOP, TABLET, UPRIGHT], ids=str)
def test_it_fits_laptops_and_tablets(client: httpx.Client, size: tuple[int, int]) -> None:
    with browsing(client.base_url, size=size) as page:
        open_slide(page, "breast.tiff")
        for tab in ("Slides", "Analysis", "Outlines"):
            page.get_by_role("tab", name=tab).click()
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0
            cut = page.evaluate(
                """[...document.querySelectorAll('[role=tabpanel]:not([hidden])')]
                     .filter(panel => panel.scrollWidth > panel.clientWidth).length"""
            )
            assert cut == 0, tab
            small = page.evaluate(
                """[...document.querySelectorAll('button, .button, select, summary, input')]
                     .filter(each => each.checkVisibility() && each.type !== 'checkbox')
                     .filter(each => !each.classList.contains('spoken'))
                     .filter(each => each.getBoundingClientRect().height < 40)
                     .map(each => each.outerHTML.slice(0, 120))"""
            )
            assert small == [], tab


def test_a_key_is_exchanged_for_a_session(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "breast.tiff")
    with (
        lab(Settings(tmp_path / "data", tmp_path / "state")) as place,
        browsing(place.anna.base_url, expected=("401",)) as page,
    ):
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key").fill("extent_wrong")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog.get_by_role("alert")).to_contain_text("key")
        key = place.anna.headers["Authorization"].removeprefix("Bearer ")
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_role("button", name="Sign in").click()
        open_slide(page, "breast.tiff")
        assert key not in page.content() and key not in page.url
        assert page.evaluate("document.cookie + JSON.stringify({...localStorage})") == "{}"
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog")).to_be_visible()


def test_who_may_only_look_is_offered_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "breast.tiff")
    with (
        lab(Settings(tmp_path / "data", tmp_path / "state")) as place,
        browsing(place.anna.base_url, expected=("401",)) as page,
    ):
        key = place.reader.headers["Authorization"].removeprefix("Bearer ")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        open_slide(page, "breast.tiff")
        assert page.locator("#upload").count() == 0
        expect(page.locator("#start")).to_be_disabled()
        page.get_by_role("tab", name="Outlines").click()
        assert page.locator("#edit").count() == 0
