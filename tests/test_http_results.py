"""What a finished job made, over HTTP: the very files, in whole and in part, and a sheet."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from service.printable import POLICY
from service.settings import Settings
from tests.conftest import draw_slide
from tests.lab import Lab, folder_of, lab, refused

NAME = "MARKER <b>&amp;name.png"
TYPES = {
    "summary.json": "application/json",
    "extent.geojson": "application/geo+json",
    "probability.tiff": "image/tiff",
    "overlay.png": "image/png",
    "report.html": "text/html; charset=utf-8",
}
FILES = tuple(name for name in TYPES if name != "report.html")


@dataclass(frozen=True)
class Made:
    """A lab and a finished job of Anna's."""

    lab: Lab
    job: dict[str, Any]

    @property
    def folder(self) -> Path:
        return folder_of(self.lab.settings, self.job["id"]) / "result"

    def get(self, name: str, **headers: str) -> httpx.Response:
        return self.lab.anna.get(self.job["links"][name], headers=headers)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, random_model: Path) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("results")
    slides = folder / "slides"
    slides.mkdir()
    draw_slide(slides / NAME, 1100, 900)
    settings = Settings(slides, folder / "state", models=random_model.parent, workers=1)
    with lab(settings, works=True) as served_lab:
        asked = {
            "slide": served_lab.slide(NAME),
            "model": random_model.stem,
            "mpp": 4.0,
            "region_level0": [100, 50, 900, 800],
        }
        job = served_lab.finish(served_lab.anna.post("/v1/jobs", json=asked).json())
        assert job["state"] == "succeeded", job["reason"]
        yield Made(served_lab, job)


def test_the_job_tells_what_came_of_it(made: Made) -> None:
    summary = made.get("summary.json").json()
    outcome = made.job["outcome"]
    assert outcome["regions"] == len(summary["regions"]) > 0
    for name in ("tumour_area_mm2", "tissue_area_mm2", "tumour_fraction", "max_diameter_mm"):
        assert outcome[name] == summary[name] > 0
    assert outcome["area_interval_mm2"] is summary["area_interval_mm2"] is None
    assert outcome["no_interval"] == summary["no_interval"] != ""
    assert outcome["familiarity"] is summary["familiarity"] is None
    assert outcome["no_familiarity"] == summary["no_familiarity"] != ""
    assert made.job["share"] == 1
    assert made.job["started_at"] <= made.job["finished_at"]


@pytest.mark.parametrize("name", FILES)
def test_files_come_as_they_are(made: Made, name: str) -> None:
    answer = made.get(name)
    assert answer.status_code == 200
    content = (made.folder / name).read_bytes()
    assert answer.content == content
    assert answer.headers["content-type"] == TYPES[name]
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    told = answer.headers["content-disposition"]
    assert told == f'attachment; filename="extent-{made.job["id"]}-{name}"'


@pytest.mark.parametrize("name", TYPES)
def test_heads_are_answered_without_a_body(made: Made, name: str) -> None:
    whole, head = made.get(name), made.lab.anna.head(made.job["links"][name])
    assert (head.status_code, head.content) == (200, b"")
    for header in ("content-length", "content-type", "content-disposition"):
        assert head.headers[header] == whole.headers[header]


@pytest.mark.parametrize("name", FILES)
def test_what_is_known_is_not_sent_again(made: Made, name: str) -> None:
    tag = made.get(name).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = made.get(name, **{"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert made.get(name, **{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=8-", 8, None), ("bytes=-5", -5, None), ("bytes=7-7", 7, 7)],
)
def test_parts_of_the_map(made: Made, wanted: str, first: int, last: int | None) -> None:
    whole = made.get("probability.tiff").content
    answer = made.get("probability.tiff", Range=wanted)
    assert answer.status_code == 206
    assert answer.content == whole[first : None if last is None else last + 1]
    start = first % len(whole)
    assert answer.headers["content-range"] == (
        f"bytes {start}-{start + len(answer.content) - 1}/{len(whole)}"
    )


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0", "bytes=99999999-100000000"])
def test_parts_beyond_the_end(made: Made, wanted: str) -> None:
    size = (made.folder / "probability.tiff").stat().st_size
    answer = made.get("probability.tiff", Range=wanted)
    refused(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "wanted", ["bytes=5-2", "bytes=", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b", "bytes=-", "²"]
)
def test_what_is_no_single_part_is_the_whole(made: Made, wanted: str) -> None:
    link = made.job["links"]["probability.tiff"]
    answer = made.lab.anna.get(link, headers=[(b"Range", wanted.encode())])
    assert answer.status_code == 200
    assert answer.content == (made.folder / "probability.tiff").read_bytes()


def test_a_part_of_what_has_changed_is_the_whole(made: Made) -> None:
    tag = made.get("probability.tiff").headers["etag"]
    part = {"Range": "bytes=0-9"}
    assert made.get("probability.tiff", **part, **{"If-Range": tag}).status_code == 206
    assert made.get("probability.tiff", **part, **{"If-Range": '"older"'}).status_code == 200


def test_the_sheet_names_the_slide_as_text(made: Made) -> None:
    answer = made.get("report.html")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["content-disposition"].startswith("inline")
    assert "MARKER &lt;b&gt;&amp;amp;name.png" in answer.text
    assert "region 100, 50, 900, 800" in answer.text
    assert made.job["model_digest"] in answer.text
    assert "Research use only" in answer.text


def test_the_picture_is_one(made: Made) -> None:
    with Image.open(io.BytesIO(made.get("overlay.png").content)) as picture:
        assert picture.mode == "RGB"
        assert min(picture.size) > 100


def test_nothing_is_found_beyond_the_region(made: Made) -> None:
    summary = made.get("summary.json").json()
    across, down = summary["map"]["downsample"]
    for region in summary["regions"]:
        left, top, right, bottom = region["bbox_level0"]
        assert left > 100 - across and top > 50 - down
        assert right < 1000 + across and bottom < 850 + down


@pytest.mark.parametrize("name", TYPES)
def test_results_are_their_groups_alone(made: Made, name: str) -> None:
    link = made.job["links"][name]
    assert made.lab.reader.get(link).status_code == 200
    foreign = refused(made.lab.stranger.get(link), 404)
    assert foreign == refused(made.lab.anna.get(f"/v1/jobs/{'0' * 32}/{name}"), 404)


def test_there_is_no_result_yet_or_never(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    with lab(Settings(tmp_path / "slides", tmp_path / "state")) as idle:
        for state, status in (("queued", 409), ("running", 409), ("failed", 404)):
            job = idle.add_job(state=state, attempt=1)
            for name in TYPES:
                refused(idle.anna.get(f"/v1/jobs/{job}/{name}"), status)


def test_deleted_results_are_gone(made: Made) -> None:
    copy = made.lab.add_job(state="succeeded", attempt=1, result_attempt=1, model="no such model")
    shutil.copytree(made.folder, folder_of(made.lab.settings, copy) / "result")
    sheet = made.lab.anna.get(f"/v1/jobs/{copy}/report.html")
    assert "no longer on this server" in sheet.text
    assert made.lab.anna.delete(f"/v1/jobs/{copy}/results").status_code == 204
    for name in TYPES:
        assert "deleted" in refused(made.lab.anna.get(f"/v1/jobs/{copy}/{name}"), 410)
    job = made.lab.anna.get(f"/v1/jobs/{copy}").json()
    assert job["deleted_at"] is not None
    assert not set(TYPES) & job["links"].keys()
    assert not (folder_of(made.lab.settings, copy)).exists()


def test_results_that_somebody_removed_from_the_disk_are_gone(made: Made) -> None:
    lost = made.lab.add_job(state="succeeded", attempt=1, result_attempt=1)
    for name in TYPES:
        detail = refused(made.lab.anna.get(f"/v1/jobs/{lost}/{name}"), 410)
        assert str(made.lab.settings.state) not in detail
