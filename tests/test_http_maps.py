"""A job's map over HTTP: growing while the job runs, exact and with its areas after."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.stored import StoredResult
from service.map_tiles import MAPS_KEPT_OPEN
from service.settings import Settings
from tests.attempts import looking
from tests.fabricated import write_result_folder
from tests.lab import Lab, canvas_of, folder_of, lab, refused
from tiling.canvas import Canvas
from tiling.canvas_view import CanvasFacts
from tiling.frame import Box, Frame
from tiling.synthetic_blocks import write_blocks_slide
from tiling.trace import to_level0, trace_regions

Map = NDArray[np.uint8]
FRAME = Frame((100.0, 50.0), (8.0, 8.0), (4.0, 4.0), 700, 300)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab in which nothing runs."""
    folder = tmp_path_factory.mktemp("maps")
    (folder / "slides").mkdir()
    with lab(Settings(folder / "slides", folder / "state")) as idle:
        yield idle


def picture(served_lab: Lab, job: str, level: int, column: int, row: int) -> Map:
    path = f"/v1/jobs/{job}/map_files/{level}/{column}_{row}.png"
    answer = served_lab.anna.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode == "L"
        return np.asarray(image)


def whole(served_lab: Lab, job: str) -> Map:
    """The finest level, put together from its tiles."""
    place = served_lab.anna.get(f"/v1/jobs/{job}/map").json()
    level, side = place["levels"] - 1, place["tile_size"]
    columns, rows = (-(-size // side) for size in place["size"])
    return np.vstack(
        [
            np.hstack([picture(served_lab, job, level, column, row) for column in range(columns)])
            for row in range(rows)
        ]
    )


def some_values() -> Map:
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (FRAME.height, FRAME.width)).astype(np.uint8)
    values[:, 600:] = 0
    return values


def finished(idle: Lab, values: Map) -> str:
    """A job that has succeeded with this map."""
    job = idle.add_job(state="succeeded", attempt=1, result_attempt=1, revision=9)
    folder = folder_of(idle.settings, job)
    write_result_folder(folder / "result", "slide", FRAME, values)
    return job


def under_way(idle: Lab, values: Map, share: float = 1.0) -> str:
    """A job with this much of its map in its canvas."""
    job = idle.add_job(state="running", attempt=1, revision=4)
    folder = canvas_of(idle.settings, job)
    CanvasFacts(FRAME, ("background", "tumour"), 1).save(folder)
    fill(folder, values, share)
    return job


def fill(folder: Path, values: Map, share: float) -> None:
    width = int(FRAME.width * share)
    with Canvas.open(folder, key="k", planes=2, width=FRAME.width, height=FRAME.height) as canvas:
        part = values[:, :width]
        canvas.write(Box(0, 0, width, FRAME.height), np.stack([255 - part, part]))


@pytest.mark.parametrize("state", ["finished", "under way"])
def test_where_the_map_lies(idle: Lab, state: str) -> None:
    job = (finished if state == "finished" else under_way)(idle, some_values())
    place = idle.anna.get(f"/v1/jobs/{job}/map").json()
    assert place == {
        "origin_level0": [100, 50],
        "downsample": [8, 8],
        "size": [700, 300],
        "tile_size": 256,
        "levels": 11,
        "revision": 9 if state == "finished" else 4,
        "finished": state == "finished",
        "threshold": 0.5,
        "class": "tumour",
    }
    image = ElementTree.fromstring(idle.anna.get(f"/v1/jobs/{job}/map.dzi").content)
    assert image.attrib == {"Format": "png", "Overlap": "0", "TileSize": "256"}
    assert image[0].attrib == {"Width": "700", "Height": "300"}


@pytest.mark.parametrize("make", [finished, under_way])
def test_the_finest_tiles_are_exact_and_the_coarsest_is_the_mean(idle: Lab, make: Any) -> None:
    values = some_values()
    job = make(idle, values)
    np.testing.assert_array_equal(whole(idle, job), values)
    overview = picture(idle, job, 8, 0, 0)
    assert overview.shape == (75, 175)
    assert abs(float(overview.mean()) - float(values.mean())) < 3
    assert picture(idle, job, 0, 0, 0).shape == (1, 1)


def test_a_tile_that_is_known_is_sent_again_when_the_map_has_grown(idle: Lab) -> None:
    values = some_values()
    job = under_way(idle, values, 0.2)
    path = f"/v1/jobs/{job}/map_files/10/0_0.png"
    first = idle.anna.get(path)
    tag = first.headers["etag"]
    same = idle.anna.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    fill(canvas_of(idle.settings, job), values, 1)
    for change in ({"revision": 5}, {"attempt": 1, "revision": 6}):
        idle.change_job(job, **change)
        grown = idle.anna.get(path, headers={"If-None-Match": tag})
        assert grown.status_code == 200
        assert grown.content != first.content


def test_a_tile_that_has_not_grown_is_not_sent_again(idle: Lab) -> None:
    values = some_values()
    job = under_way(idle, values, 0.4)  # its first column of tiles is whole
    path = f"/v1/jobs/{job}/map_files/10/0_0.png"
    tag = idle.anna.get(path).headers["etag"]
    fill(canvas_of(idle.settings, job), values, 1)
    idle.change_job(job, revision=5)
    assert idle.anna.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_areas_follow_from_the_counts(idle: Lab) -> None:
    values = some_values()
    for job in (finished(idle, values), under_way(idle, values)):
        areas = idle.anna.get(f"/v1/jobs/{job}/areas").json()
        assert areas["pixel_area_mm2"] == pytest.approx(16e-6)
        counted = np.bincount(values.reshape(-1), minlength=256)
        np.testing.assert_array_equal(areas["counts"], counted)


def test_areas_are_counted_anew_when_the_map_has_grown(idle: Lab) -> None:
    values = some_values()
    job = under_way(idle, values, 0.5)
    path = f"/v1/jobs/{job}/areas"
    first = idle.anna.get(path)
    assert idle.anna.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    fill(canvas_of(idle.settings, job), values, 1)
    assert idle.anna.get(path).json() == first.json()  # of the same revision
    idle.change_job(job, revision=5)
    grown = idle.anna.get(path).json()
    assert grown["revision"] == 5
    assert grown["counts"][0] < first.json()["counts"][0]


@pytest.mark.parametrize(
    ("tile", "status"),
    [
        ("11/0_0", 404),
        ("10/3_0", 404),
        ("10/0_2", 404),
        ("10/16777215_0", 404),
        ("10/-1_0", 422),
        ("33/0_0", 422),
        ("10/0_99999999", 422),
        ("10/a_b", 422),
    ],
)
def test_tiles_that_there_are_none_of(idle: Lab, tile: str, status: int) -> None:
    job = finished(idle, some_values())
    refused(idle.anna.get(f"/v1/jobs/{job}/map_files/{tile}.png"), status)


PATHS = ("map", "map.dzi", "map_files/0/0_0.png", "areas")


@pytest.mark.parametrize("path", PATHS)
def test_maps_that_have_not_begun(idle: Lab, path: str) -> None:
    for state in ("queued", "running"):
        job = idle.add_job(state=state, attempt=1 if state == "running" else 0)
        answer = idle.anna.get(f"/v1/jobs/{job}/{path}")
        refused(answer, 409)
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", PATHS)
def test_maps_that_never_came_to_be_or_are_no_more(idle: Lab, path: str) -> None:
    failed = idle.add_job(state="failed", attempt=1)
    assert "failed" in refused(idle.anna.get(f"/v1/jobs/{failed}/{path}"), 404)
    lost = idle.add_job(state="succeeded", attempt=1, result_attempt=1)
    assert str(idle.settings.state) not in refused(idle.anna.get(f"/v1/jobs/{lost}/{path}"), 410)
    deleted = finished(idle, some_values())
    assert idle.anna.get(f"/v1/jobs/{deleted}/{path}").status_code == 200
    idle.anna.delete(f"/v1/jobs/{deleted}/results")
    assert "deleted" in refused(idle.anna.get(f"/v1/jobs/{deleted}/{path}"), 410)


@pytest.mark.parametrize("path", PATHS)
def test_maps_are_their_groups_alone(idle: Lab, path: str) -> None:
    job = finished(idle, some_values())
    assert idle.reader.get(f"/v1/jobs/{job}/{path}").status_code == 200
    refused(idle.stranger.get(f"/v1/jobs/{job}/{path}"), 404)


def test_a_broken_map_is_told_of_without_its_path(idle: Lab) -> None:
    job = finished(idle, some_values())
    file = folder_of(idle.settings, job) / "result" / "probability.tiff"
    file.write_bytes(file.read_bytes()[:3000])
    answer = idle.anna.get(f"/v1/jobs/{job}/map_files/10/2_1.png")
    assert "probability" not in refused(answer, 410)


def test_more_maps_than_are_kept_open(idle: Lab) -> None:
    """Each is closed in the end: the process holds a bounded number of files."""
    values = some_values()
    jobs = [finished(idle, values) for _ in range(2 * MAPS_KEPT_OPEN)]
    for job in jobs * 2:
        np.testing.assert_array_equal(picture(idle, job, 10, 0, 0), values[:256, :256])
    held = [link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists()]
    maps = [path for path in held if path.name == "probability.tiff"]
    assert sum(path.is_relative_to(idle.settings.jobs) for path in maps) <= MAPS_KEPT_OPEN


def test_a_result_that_is_not_published_yet_is_shown(idle: Lab) -> None:
    values = some_values()
    job = idle.add_job(state="running", attempt=2)
    write_result_folder(folder_of(idle.settings, job, 2) / "result", "slide", FRAME, values)
    place = idle.anna.get(f"/v1/jobs/{job}/map").json()
    assert place["finished"] is False
    np.testing.assert_array_equal(whole(idle, job), values)


@dataclass(frozen=True)
class Run:
    """A real job and what was seen of its map while it ran."""

    lab: Lab
    job: dict[str, Any]
    partial: list[Map]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, random_model: Path) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    slides = folder / "slides"
    slides.mkdir()
    write_blocks_slide(slides / "large.tiff", 32768, 12288, mpp=4.0)
    settings = Settings(slides, folder / "state", models=random_model.parent, workers=1)
    with lab(settings, works=True) as working:
        asked = {"slide": working.slide("large.tiff"), "model": random_model.stem, "mpp": 4.0}
        job = working.anna.post("/v1/jobs", json=asked).json()
        seen: dict[bytes, Map] = {}
        while (now := working.job(job))["finished_at"] is None:
            with looking():
                answer = working.anna.get(f"{job['links']['map']}_files/8/0_0.png")
            if answer.status_code == 200:
                with Image.open(io.BytesIO(answer.content)) as image:
                    seen[answer.content] = np.asarray(image)
            else:
                refused(answer, 409)
            time.sleep(0.1)
        assert now["state"] == "succeeded", now["reason"]
        yield Run(working, now, list(seen.values()))


def test_the_map_is_seen_while_it_is_made(run: Run) -> None:
    partial = [values for values in run.partial if values.any()]
    assert len(partial) >= 5
    filled = [int((values > 0).sum()) for values in partial]
    assert filled == sorted(filled)
    assert filled[0] < filled[-1] / 2


def test_the_areas_are_those_of_the_outlines_at_every_threshold(run: Run) -> None:
    result = StoredResult.read(folder_of(run.lab.settings, run.job["id"]) / "result")
    answer = run.lab.anna.get(run.job["links"]["areas"]).json()
    counts, pixel = answer["counts"], answer["pixel_area_mm2"]
    assert answer["finished"] is True

    def area(threshold: float) -> float:
        return float(pixel * sum(n for v, n in enumerate(counts) if v / 255 > threshold))

    assert area(run.job["threshold"]) == pytest.approx(result.tumour_area_mm2, rel=1e-6)
    mpp = result.mpp_level0[0] * result.mpp_level0[1] / 1e6
    with result.open_map() as stored:
        for threshold in (128 / 255, 0.9):
            regions = trace_regions(stored.read, stored.size, threshold)
            polygons = to_level0([found.polygon for found in regions], result.frame)
            traced = sum(polygon.area * mpp for polygon in polygons)
            assert area(threshold) == pytest.approx(traced, rel=1e-6)
        stored_values = stored.read(Box(0, 0, *stored.size))
    np.testing.assert_array_equal(whole(run.lab, run.job["id"]), stored_values)
