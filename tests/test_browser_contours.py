"""What the viewer shows of how sure an area is."""

from dataclasses import replace
from pathlib import Path

from playwright.sync_api import expect

from model.checkpoint import load_checkpoint, save_checkpoint
from service.settings import Settings
from tests.browser import browsing, coloured, comes_to, comes_to_rest, open_slide
from tests.conftest import draw_slide
from tests.scene import CALIBRATION, known_like
from tests.served import served
from tiling.appearance import Appearance


def test_contours_are_shown_apart_from_regions_and_the_interval_in_words(
    tmp_path: Path, random_model: Path
) -> None:
    found = load_checkpoint(random_model)
    (tmp_path / "data").mkdir()
    (tmp_path / "models").mkdir()
    draw_slide(tmp_path / "data" / "a.png")
    card = replace(found.card, calibration=CALIBRATION)
    save_checkpoint(tmp_path / "models" / "calibrated.safetensors", card, found.network)
    settings = Settings(tmp_path / "data", tmp_path / "state", models=tmp_path / "models")
    with served(settings) as client:
        (slide,) = client.get("/v1/slides").json()["items"]
        asked = {"slide": slide["id"], "model": "calibrated", "mpp": 4.0}
        job = client.post("/v1/jobs", json=asked).json()
        with browsing(client.base_url) as page:
            open_slide(page, "a.png")
            expect(page.locator("#result .files a")).to_have_count(5)
            expect(page.locator("#interval")).to_contain_text("80 % interval")
            expect(page.locator("#interval")).to_contain_text("approximate, from 20 patients")
            summary = client.get(f"/v1/jobs/{job['id']}/summary.json").json()
            expect(page.locator(".region")).to_have_count(len(summary["regions"]))
            legend = page.get_by_role("list", name="Contours")
            expect(legend).to_contain_text("Tumour outer contour")
            comes_to(page, lambda: coloured(page, "contours") > 0)
            comes_to(page, lambda: coloured(page, "predicted") > 0)
            comes_to_rest(page, 500)
            outlined = coloured(page, "predicted")
            page.locator("#stage").focus()
            page.keyboard.press("c")
            comes_to(page, lambda: coloured(page, "contours") == 0)
            assert coloured(page, "predicted") == outlined


def test_a_slide_unlike_those_known_is_warned_of(tmp_path: Path, random_model: Path) -> None:
    found = load_checkpoint(random_model)
    (tmp_path / "data").mkdir()
    (tmp_path / "models").mkdir()
    draw_slide(tmp_path / "data" / "a.png")
    calibration = known_like(Appearance(0.01, 0.005, 0.4, 0.6, 0.8))
    card = replace(found.card, calibration=calibration)
    save_checkpoint(tmp_path / "models" / "calibrated.safetensors", card, found.network)
    settings = Settings(tmp_path / "data", tmp_path / "state", models=tmp_path / "models")
    with served(settings) as client:
        (slide,) = client.get("/v1/slides").json()["items"]
        asked = {"slide": slide["id"], "model": "calibrated", "mpp": 4.0}
        client.post("/v1/jobs", json=asked).raise_for_status()
        with browsing(client.base_url) as page:
            open_slide(page, "a.png")
            expect(page.locator("#result .files a")).to_have_count(5)
            expect(page.locator("#likeness")).to_contain_text("Unlike known slides")
            expect(page.locator("#likeness")).to_contain_text("its stain is far darker")
            expect(page.locator("#likeness")).to_have_class("hint warning")
            expect(page.locator("#interval")).to_contain_text("No interval: the slide is unlike")
            expect(page.locator(".job")).to_contain_text("unlike known slides")
