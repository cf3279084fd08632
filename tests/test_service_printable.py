"""The printed sheet: one page, whatever is on it, and nothing that a name says is markup."""

import base64
import hashlib
import html
import io
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.printable import POLICY, Sheet, printable
from service.wording import number

EVIL = '<script>alert("x")</script>&amp;\u202e"\'><img src=x onerror=alert(1)>'
DIGEST = hashlib.sha256(b"").hexdigest()


def picture(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 180, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def summary(regions: int, name: str = "model") -> dict[str, Any]:
    region = {
        "area_mm2": 1.25,
        "max_diameter_mm": 2.5,
        "mean_probability": 0.9,
        "centroid_level0": [1234567.8, 7654321.0],
    }
    return {
        "model": name,
        "mpp": [0.25, 0.25],
        "threshold": 0.5,
        "tumour_area_mm2": 12345.6,
        "tissue_area_mm2": 20000.0,
        "tumour_fraction": 0.617,
        "max_diameter_mm": 120.0,
        "regions": [region] * regions,
        "quality": {"out_of_focus_mm2": 1.0, "pen_mm2": 0.5, "folds_mm2": 0.25},
        "map": {"origin_level0": [0, 0], "downsample": [16, 16], "size": [9, 9]},
        "provenance": {
            "slide": DIGEST,
            "model": DIGEST,
            "outputs": {f"probability-{i}.tiff": DIGEST for i in range(3)},
            "versions": {"extent": "1"},
            "parameters": {"precision": "bf16", "window": 1024},
        },
    }


def card(text: str) -> dict[str, Any]:
    figure = {"value": 0.75, "low": 0.65, "high": 0.84}
    names = ("dice", "precision", "recall", "specificity", "auc")
    pixels = dict.fromkeys(names, figure)
    return {
        "intended_use": text,
        "data": text,
        "measures": {"cross_validation": {"n_patients": 20, "pixels": pixels}},
    }


def sheet(
    regions: int = 2, name: str = "slide.svs", card: Mapping[str, Any] | None = None
) -> Sheet:
    return Sheet(
        job_id="0" * 32,
        slide_name=name,
        finished_at=0.0,
        summary=summary(regions, name),
        overlay_png=picture(600, 900),
        card=card,
    )


class Tags(HTMLParser):
    """Every tag with its attributes, and all text outside tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_text() -> None:
    plain = Tags(printable(sheet(name="plain", card=card("plain"))))
    hostile = Tags(printable(sheet(name=EVIL, card=card(EVIL))))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert EVIL in hostile.text


def test_the_policy_lets_in_its_style_and_nothing_that_runs() -> None:
    page = printable(sheet())
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "default-src 'none'" in POLICY and "script" not in POLICY
    for tag, attributes in Tags(page).tags:
        assert tag != "script"
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert not {"href", "action"} & attributes.keys()


def test_what_is_on_it() -> None:
    text = Tags(printable(sheet(37, card=card("Only for tests.")))).text
    for words in (
        "Research use only.",
        "slide.svs",
        "12,346",
        "61.7",
        "and 27 smaller, 33.8 mm² together",
        "Out of focus",
        "0.75 (0.65 to 0.84)",
        "Only for tests.",
        "threshold 0.5",
        DIGEST,
    ):
        assert words in text, words


def test_what_was_skipped_and_may_be_missed_is_on_it() -> None:
    told = {
        "coarser": 2,
        "skipped_mm2": 34.5,
        "audited_cells": 54,
        "level": 0.95,
        "at_most_missed_mm2": 1.75,
    }
    shown = replace(sheet(), summary={**sheet().summary, "adaptive": told})
    text = Tags(printable(shown)).text
    assert "34.5 mm² of the tissue" in text
    assert "54 cells" in text
    assert "95% at most 1.75 mm² of tumour was missed" in text
    nothing = replace(sheet(), summary={**sheet().summary, "adaptive": told | {"skipped_mm2": 0}})
    assert printable(nothing) == printable(sheet())


@pytest.mark.parametrize(
    ("kind", "said"), [("guaranteed", " of 80%"), ("approximate", "about 80%")]
)
def test_how_sure_the_area_is_stands_on_it(kind: str, said: str) -> None:
    row = {"low": 9.5, "high": 21.0, "level": 0.8, "kind": kind, "patients": 20, "slack": 0.2}
    told = {**sheet().summary, "area_interval_mm2": row, "no_interval": ""}
    text = Tags(printable(replace(sheet(), summary=told))).text
    assert "12,346 mm²9.50 to 21.0 mm²" in text
    assert said in text and "20 patients" in text


def test_a_slide_that_is_unlike_those_known_bears_a_warning() -> None:
    row = {"verdict": "unlike", "p_value": 0.05, "score": 9.0, "patients": 20, "reason": EVIL}
    text = printable(replace(sheet(), summary={**sheet().summary, "familiarity": row}))
    assert "Unlike known slides." in text and "may be wrong" in text
    assert EVIL not in text and html.escape(EVIL) in text
    like = row | {"verdict": "like", "reason": ""}
    for found in (like, None):
        told = {**sheet().summary, "familiarity": found}
        assert "Unlike known slides" not in printable(replace(sheet(), summary=told))


def test_why_there_is_no_interval_stands_on_it() -> None:
    told = {**sheet().summary, "area_interval_mm2": None, "no_interval": f"3 are too few {EVIL}"}
    page = printable(replace(sheet(), summary=told))
    assert f"No interval. 3 are too few {EVIL}." in Tags(page).text
    assert EVIL not in page


def test_a_slide_without_tumour_and_a_model_that_is_gone() -> None:
    text = Tags(printable(sheet(0))).text
    assert "No place is above the threshold." in text
    assert "no longer on this server" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0001, "< 0.001"), (0.0123, "0.0123"), (2.6, "2.60"), (12345.6, "12,346")],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("case", ["little", "much"])
def test_it_prints_to_one_page(tmp_path: Path, case: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("CI"), "chromium must be there to print with"
        pytest.skip("no chromium to print with")
    much = sheet(500, "W" * 255, card("Many words. " * 500))
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(printable(sheet(0) if case == "little" else much), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    folder = f"--user-data-dir={tmp_path / 'profile'}"
    subprocess.run(
        [chromium, *options, folder, f"--print-to-pdf={printed}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1
