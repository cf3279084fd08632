"""The picture of the viewer in the README: a drawn slide, mapped by the demo's model.

    extent demo --out demo-output
    python benchmarks/viewer_picture.py demo-output docs/pictures/viewer.jpg

Starts `extent serve`, has the slide of the site that the model never saw mapped, and opens it in
Chromium.
"""

import argparse
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import expect, sync_playwright
from serve_tiles import server

SIZE = {"width": 1366, "height": 768}
QUALITY = 66
SECONDS = 600
SETTLED_MS = 2_000  # until the last tiles have faded in


def mapped(base: str) -> str:
    """Have the one slide mapped with the one model of the folder; the slide's name."""
    with httpx.Client(base_url=f"{base}/v1", timeout=60) as client:
        (slide,) = client.get("slides").json()["items"]
        models = client.get("models").json()
        model = next(m["name"] for m in models if m["source"] == "folder" and m["usable"])
        job = client.post("jobs", json={"slide": slide["id"], "model": model}).json()
        until = time.monotonic() + SECONDS
        while job["finished_at"] is None and time.monotonic() < until:
            time.sleep(0.5)
            job = client.get(f"jobs/{job['id']}").json()
    if job["state"] != "succeeded":
        raise SystemExit(f"the map was not made: {job['reason'] or job['state']}")
    return str(slide["name"])


def draw(base: str, slide: str, chromium: str, out: Path) -> None:
    """The viewer as it shows a slide and its map."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=base, viewport=SIZE)
        page.goto("/")
        page.get_by_role("button", name=slide).first.click()
        expect(page.locator("#stage")).to_have_attribute("data-shows", slide, timeout=60_000)
        page.get_by_role("tab", name="Analysis").click()
        expect(page.locator("#result .files a")).to_have_count(5, timeout=60_000)
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=out, type="jpeg", quality=QUALITY)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="what `extent demo` left")
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    (result,) = (path for path in (options.demo / "prediction").iterdir() if path.is_dir())
    slide = options.demo / "cohort" / f"{result.name}.tiff"
    models = ("--models", str(options.demo / "training"))
    with tempfile.TemporaryDirectory() as folder, server(slide, Path(folder), *models) as base:
        draw(base, mapped(base), options.chromium, options.out)


if __name__ == "__main__":
    main()
