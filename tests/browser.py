"""A real Chromium, driven at the viewer."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from service.routes.viewer import BUNDLE
from tests.patience import SECONDS, wait_for

expect.set_options(timeout=SECONDS * 1000)

ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-dev-shm-usage",  # of which containers have little; a test fills it, too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LAPTOP, TABLET, UPRIGHT = (1366, 768), (1024, 768), (768, 1024)


def _chromium() -> str:
    """Where Chromium is. Without it or the viewer's bundle tests skip; in CI they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    missing = None if found else "no Chromium: apt-get install chromium"
    if not (BUNDLE / "index.html").is_file():
        missing = "the viewer is not built: make viewer"
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return str(found)


@contextmanager
def browsing(
    base_url: object,
    *,
    size: tuple[int, int] = LAPTOP,
    touch: bool = False,
    expected: tuple[str, ...] = (),
) -> Iterator[Page]:
    """The viewer in a window. At the end no error may have been logged, nor a breach of the policy.

    `touch`: fingers can be used. `expected`: texts of console errors that the test provokes.
    """
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in expected):
            faults.append(f"{message.text} ({message.location.get('url', '')})")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(ARGUMENTS))
        try:
            page = browser.new_page(
                base_url=str(base_url),
                viewport={"width": size[0], "height": size[1]},
                has_touch=touch,
            )
            page.set_default_timeout(SECONDS * 1000)
            page.on("console", heard)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto("/")
            yield page
        finally:
            browser.close()
    assert not faults, faults


def open_slide(page: Page, name: str) -> None:
    """Click a slide in the list and wait until its pixels are there."""
    page.get_by_role("tab", name="Slides").click()
    page.get_by_role("button", name=name).first.click()
    expect(page.locator("#stage")).to_have_attribute("data-shows", name)


def coloured(page: Page, layer: str) -> int:
    """How many pixels of a layer's canvas are not clear."""
    count: int = page.evaluate(
        """layer => {
          const canvas = document.querySelector(`.layer-${layer}`);
          if (!canvas.width || canvas.hidden) return 0;
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
          return count;
        }""",
        layer,
    )
    return count


def comes_to(page: Page, so: Callable[[], bool]) -> None:
    """Wait for something that the page shows; what is drawn is drawn with the next picture."""

    def reached() -> bool:
        page.wait_for_timeout(20)  # unlike sleep, this lets the page be heard
        return so()

    wait_for(reached)


def comes_to_rest(page: Page, milliseconds: int) -> None:
    """Wait until the page has asked for nothing for so long."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def rests() -> bool:
        asked.clear()
        page.wait_for_timeout(milliseconds)
        return not asked

    wait_for(rests)


def area(page: Page) -> float:
    """The tumour area that is shown, in mm²."""
    return float(page.locator("#area").inner_text().replace(",", "").removesuffix(" mm²"))


def centre_um(page: Page) -> tuple[int, int]:
    """Where the middle of the view lies, in µm, as the pointer is told there."""
    box = page.locator(".osd").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#coordinates")).to_contain_text("µm")
    said = page.locator("#coordinates").inner_text()
    x, y = (int(part.replace(",", "")) for part in re.findall(r"[\d,]+", said))
    return x, y


def shot(page: Page, folder: Path, name: str) -> None:
    """A picture to look at, in the test's folder."""
    page.screenshot(path=folder / f"{name}.png")
