"""Jobs over HTTP: what is accepted, what is refused, and whose they are."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.records.database import now
from service.settings import Limits, Settings
from tests.conftest import draw_slide
from tests.lab import Lab, lab, refused
from tests.outlined import write_measured_slide
from tests.patience import wait_for

MODEL = "breast-idc"
UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def served_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("jobs")
    slides = folder / "slides"
    slides.mkdir()
    write_measured_slide(slides / "measured.tiff")
    draw_slide(slides / "plain.png")
    (slides / "broken.svs").write_bytes(b"II*\0 no slide")
    with lab(Settings(slides, folder / "state")) as served_lab:
        yield served_lab


def body(served_lab: Lab, **values: Any) -> dict[str, Any]:
    return {"slide": served_lab.slide("measured.tiff"), "model": MODEL, **values}


def test_a_job_is_accepted_and_found_where_the_answer_says(served_lab: Lab) -> None:
    asked = body(served_lab, region_level0=[10, 20, 300, 200], threshold=0.25, adaptive=True)
    answer = served_lab.anna.post("/v1/jobs", json=asked)
    assert answer.status_code == 202, answer.text
    assert int(answer.headers["retry-after"]) > 0
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    found = served_lab.anna.get(answer.headers["location"]).json()
    for name, value in {
        "slide": asked["slide"],
        "slide_name": "measured.tiff",
        "model": MODEL,
        "region_level0": [10, 20, 300, 200],
        "threshold": 0.25,
        "mpp": None,
        "adaptive": True,
        "outcome": None,
    }.items():
        assert job[name] == found[name] == value, name
    assert found["state"] in ("queued", "running", "succeeded")
    assert 0 <= job["share"] <= 1


def test_the_models_threshold_goes_where_none_is_asked_for(served_lab: Lab) -> None:
    answer = served_lab.anna.post("/v1/jobs", json=body(served_lab))
    card = served_lab.anna.get(f"/v1/models/{MODEL}").json()
    assert answer.json()["threshold"] == card["threshold"]
    assert answer.json()["model_digest"] == card["digest"]


def test_jobs_that_ended_before_there_were_intervals_still_tell_their_area(
    served_lab: Lab,
) -> None:
    figures = {"tumour_area_mm2": 1.5, "tissue_area_mm2": 3.0, "tumour_fraction": 0.5}
    ended = figures | {"max_diameter_mm": 2.0, "regions": 1}
    job = served_lab.add_job(state="succeeded", outcome=ended | {"threshold": 0.5, "bytes": 9})
    answer = served_lab.anna.get(f"/v1/jobs/{job}").json()
    unsaid = {"area_interval_mm2": None, "no_interval": "", "familiarity": None}
    assert answer["outcome"] == ended | unsaid | {"no_familiarity": ""}


def test_the_same_request_with_the_same_key_is_one_job(served_lab: Lab) -> None:
    asked, headers = body(served_lab, threshold=0.3), {"Idempotency-Key": "batch-7/slide-1"}

    def submit(_: int) -> tuple[int, str]:
        answer = served_lab.anna.post("/v1/jobs", json=asked, headers=headers)
        return answer.status_code, str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(submit, range(16)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 202
    spaced = f'{{ "model": "{MODEL}", "threshold": 0.30, "slide": "{asked["slide"]}" }}'
    again = served_lab.anna.post(
        "/v1/jobs", content=spaced, headers=headers | {"Content-Type": "application/json"}
    )
    assert again.json()["id"] == next(iter(answers))[1]


def test_a_used_key_with_another_request_is_refused(served_lab: Lab) -> None:
    headers = {"Idempotency-Key": "used"}
    assert served_lab.anna.post("/v1/jobs", json=body(served_lab), headers=headers).is_success
    other = body(served_lab, threshold=0.9)
    detail = refused(served_lab.anna.post("/v1/jobs", json=other, headers=headers), 422)
    assert "Idempotency-Key" in detail


def test_an_idempotency_key_is_its_owners(served_lab: Lab) -> None:
    headers = {"Idempotency-Key": "everyone's"}
    asked = body(served_lab)
    ids = {
        client.post("/v1/jobs", json=asked, headers=headers).json()["id"]
        for client in (served_lab.anna, served_lab.stranger)
    }
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "tab\there", "x" * 256, "é"])
def test_idempotency_keys_that_are_none(served_lab: Lab, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    answer = served_lab.anna.post("/v1/jobs", json=body(served_lab), headers=headers)
    assert "Idempotency-Key" in refused(answer, 400)


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"slide": UNKNOWN}, 404, "no such slide"),
        ({"slide": "../../etc/passwd"}, 422, "slide"),
        ({"model": "no-such-model"}, 404, "no such model"),
        ({"model": "../breast-idc"}, 404, "no such model"),
        ({"model": ""}, 422, "model"),
        ({"region_level0": [0, 0, 481, 10]}, 422, "480 x 360"),
        ({"region_level0": [0, 355, 10, 6]}, 422, "480 x 360"),
        ({"region_level0": [-1, 0, 10, 10]}, 422, "region_level0"),
        ({"region_level0": [0, 0, 0, 10]}, 422, "region_level0"),
        ({"region_level0": [0, 0, 10.5, 10]}, 422, "region_level0"),
        ({"region_level0": [0, 0, 10]}, 422, "region_level0"),
        ({"region_level0": [0, 0, 1e300, 10]}, 422, "region_level0"),
        ({"region_level0": "all of it"}, 422, "region_level0"),
        ({"mpp": 0.01}, 422, "mpp"),
        ({"mpp": 352.8}, 422, "mpp"),
        ({"threshold": 1}, 422, "threshold"),
        ({"threshold": -0.1}, 422, "threshold"),
        ({"treshold": 0.5}, 422, "treshold"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    served_lab: Lab, values: dict[str, Any], status: int, words: str
) -> None:
    answer = served_lab.anna.post("/v1/jobs", json=body(served_lab, **values))
    assert words in refused(answer, status)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none(served_lab: Lab, number: str) -> None:
    text = f'{{"slide": "{UNKNOWN}", "model": "{MODEL}", "threshold": {number}}}'
    headers = {"Content-Type": "application/json"}
    refused(served_lab.anna.post("/v1/jobs", content=text, headers=headers), 422)


def test_a_slide_without_resolution_needs_one(served_lab: Lab) -> None:
    asked = body(served_lab, slide=served_lab.slide("plain.png"))
    assert "`mpp`" in refused(served_lab.anna.post("/v1/jobs", json=asked), 422)
    answer = served_lab.anna.post("/v1/jobs", json=asked | {"mpp": 4.0})
    assert answer.status_code == 202
    assert answer.json()["mpp"] == 4.0


def test_a_slide_that_is_none_is_refused_without_its_name(served_lab: Lab) -> None:
    asked = body(served_lab, slide=served_lab.slide("broken.svs"))
    detail = refused(served_lab.anna.post("/v1/jobs", json=asked), 422)
    assert "cannot be read" in detail
    assert "broken" not in detail


def test_a_slide_that_went_is_gone(served_lab: Lab) -> None:
    path = served_lab.settings.data / "passing.png"
    draw_slide(path)
    slide_id = _eventually_listed(served_lab, path)
    path.unlink()
    refused(served_lab.anna.post("/v1/jobs", json=body(served_lab, slide=slide_id, mpp=1)), 410)


def _eventually_listed(served_lab: Lab, path: Path) -> str:
    listed: list[str] = []

    def is_listed() -> list[str]:
        with suppress(StopIteration):
            listed.append(served_lab.slide(path.name))
        return listed

    wait_for(is_listed)
    return listed[0]


def test_jobs_are_their_groups_alone(served_lab: Lab) -> None:
    job = served_lab.anna.post("/v1/jobs", json=body(served_lab)).json()["id"]
    assert served_lab.reader.get(f"/v1/jobs/{job}").json()["id"] == job
    for ask, path in (
        (served_lab.stranger.get, ""),
        (served_lab.stranger.delete, ""),
        (served_lab.stranger.delete, "/results"),
        (served_lab.stranger.get, "/events"),
    ):
        foreign = refused(ask(f"/v1/jobs/{job}{path}"), 404)
        unknown = refused(ask(f"/v1/jobs/{UNKNOWN}{path}"), 404)
        assert foreign == unknown
    listed = served_lab.stranger.get("/v1/jobs", params={"limit": 200}).json()["items"]
    assert job not in [item["id"] for item in listed]


def test_who_may_only_read_submits_and_cancels_nothing(served_lab: Lab) -> None:
    job = served_lab.anna.post("/v1/jobs", json=body(served_lab)).json()["id"]
    refused(served_lab.reader.post("/v1/jobs", json=body(served_lab)), 403)
    refused(served_lab.reader.delete(f"/v1/jobs/{job}"), 403)
    refused(served_lab.reader.delete(f"/v1/jobs/{job}/results"), 403)


def test_cancelled_once_and_then_never_again(served_lab: Lab) -> None:
    job = served_lab.add_job()
    answer = served_lab.anna.delete(f"/v1/jobs/{job}")
    assert answer.status_code == 202
    assert answer.json()["state"] == "cancelled"
    assert "cancelled" in refused(served_lab.anna.delete(f"/v1/jobs/{job}"), 409)


def test_only_finished_jobs_results_are_deleted(served_lab: Lab) -> None:
    job = served_lab.add_job()
    assert "cancel" in refused(served_lab.anna.delete(f"/v1/jobs/{job}/results"), 409)
    served_lab.anna.delete(f"/v1/jobs/{job}")
    for _ in range(2):
        assert served_lab.anna.delete(f"/v1/jobs/{job}/results").status_code == 204
    assert served_lab.anna.get(f"/v1/jobs/{job}").json()["deleted_at"] is not None


def test_trainings_are_no_map_jobs(served_lab: Lab) -> None:
    training = served_lab.add_job(kind="training", state="cancelled", slide_id=None, request={})
    for ask in (served_lab.anna.get, served_lab.anna.delete):
        refused(ask(f"/v1/jobs/{training}"), 404)
    refused(served_lab.anna.delete(f"/v1/jobs/{training}/results"), 404)
    listed = served_lab.anna.get("/v1/jobs", params={"limit": 200}).json()["items"]
    assert training not in [item["id"] for item in listed]


def test_a_list_has_every_job_once_newest_first(served_lab: Lab) -> None:
    began = now()
    slide = "7" * 32
    made = [
        served_lab.add_job(slide_id=slide, state=state, created_at=began + number // 2)
        for number, state in enumerate(["failed", "cancelled"] * 4)
    ]
    found: list[str] = []
    times: list[str] = []
    cursor = None
    while True:
        query = httpx.QueryParams(slide=slide, limit=3)
        query = query.set("cursor", cursor) if cursor else query
        page = served_lab.anna.get("/v1/jobs", params=query).json()
        found += [item["id"] for item in page["items"]]
        times += [item["created_at"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(found) == sorted(made)
    assert times == sorted(times, reverse=True)
    failed = served_lab.anna.get("/v1/jobs", params={"slide": slide, "state": "failed"}).json()
    assert {item["id"] for item in failed["items"]} == set(made[::2])


@pytest.mark.parametrize(
    "query", [{"state": "lost"}, {"limit": 0}, {"limit": 201}, {"slide": "x"}, {"cursor": "x"}]
)
def test_lists_that_there_are_none_of(served_lab: Lab, query: dict[str, Any]) -> None:
    answer = served_lab.anna.get("/v1/jobs", params=query)
    refused(answer, 400 if "cursor" in query else 422)


@pytest.mark.parametrize(
    ("phase", "done", "total", "least", "most"),
    [
        ("", 0, 0, 0, 0),
        ("reading", 0, 0, 0, 0.01),
        ("canvas", 50, 100, 0.4, 0.5),
        ("canvas", 100, 100, 0.89, 0.91),
        ("pyramid", 0, 100, 0.89, 0.91),
        ("publishing", 1, 1, 0.98, 1),
        ("a phase of tomorrow", 7, 5, 0, 0.1),
    ],
)
def test_the_share_that_is_done(
    served_lab: Lab, phase: str, done: int, total: int, least: float, most: float
) -> None:
    job = served_lab.add_job(state="failed", phase=phase, done=done, total=total)
    assert least <= served_lab.anna.get(f"/v1/jobs/{job}").json()["share"] <= most


def test_a_full_queue_says_when_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    settings = Settings(tmp_path / "slides", tmp_path / "state", limits=Limits(jobs_waiting=0))
    write_measured_slide(settings.data / "measured.tiff")
    with lab(settings) as full:
        answer = full.anna.post("/v1/jobs", json=body(full))
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
