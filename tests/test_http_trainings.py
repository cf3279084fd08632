"""Trainings over HTTP: from outlined slides to a model that maps."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from shapely.geometry import mapping

from service.http.keys import KeyStore
from service.http.principals import Scope
from service.records.database import Records
from service.settings import Limits, Settings
from tests.drawn import draw_case
from tests.outlined import collection, feature, slide_ids, square, write_measured_slide
from tests.patience import SECONDS, wait_for
from tests.served import served

SLIDES = 3
FINAL = ("succeeded", "failed", "cancelled")
NOBODY = "0" * 32


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("trainings")
    (folder / "data").mkdir()
    for number in range(SLIDES):
        draw_case(folder / "data", number)
    draw_case(folder / "data", 9)  # nobody outlines it
    write_measured_slide(folder / "data" / "measured.tiff")
    (folder / "data" / "broken.svs").write_bytes(b"II*\x00" + bytes(500))
    limits = Limits(training_slides=10)
    return Settings(folder / "data", folder / "state", limits=limits, workers=1)


@pytest.fixture(scope="module")
def keys(settings: Settings) -> dict[str, dict[str, str]]:
    """Headers: an admin, a writer and a reader of one group, and an admin of another."""
    records = Records(settings.database_url)
    records.migrate()
    store = KeyStore(records)
    people = {
        "admin": (Scope.ADMIN, "red"),
        "writer": (Scope.WRITE, "red"),
        "reader": (Scope.READ, "red"),
        "stranger": (Scope.ADMIN, "blue"),
    }
    made = {name: store.create(name, *rule, 1) for name, rule in people.items()}
    records.close()
    return {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}


@pytest.fixture(scope="module")
def client(settings: Settings, keys: dict[str, dict[str, str]]) -> Iterator[httpx.Client]:
    with served(settings) as client:
        client.headers.update(keys["admin"])
        yield client


@pytest.fixture(scope="module")
def slides(settings: Settings, client: httpx.Client) -> dict[str, str]:
    """Ids by name; s0, s1 and s2 are outlined."""
    ids = slide_ids(settings)
    for number in range(SLIDES):
        _, ellipse = draw_case(settings.data, number)
        ring = mapping(ellipse)["coordinates"][0]
        path = f"/v1/slides/{ids[f's{number}.png']}/outlines"
        saved = client.put(path, content=collection(feature(ring, label="Tumor")))
        assert saved.status_code == 200, saved.text
    return ids


def request(slides: dict[str, str], **more: Any) -> dict[str, Any]:
    chosen = [slides[f"s{number}.png"] for number in range(SLIDES)]
    return {"name": "ours", "slides": chosen, "config": "quick", "mpp": 4.0, **more}


def awaited(client: httpx.Client, path: str, *states: str) -> dict[str, Any]:
    """The job or training when it is in one of the states."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(path).json()
        if job["state"] in states:
            return job
        assert job["state"] not in FINAL, job["reason"]
        time.sleep(0.1)
    raise AssertionError(f"still {job['state']}")


def test_from_outlines_to_a_map(
    client: httpx.Client, slides: dict[str, str], keys: dict[str, dict[str, str]]
) -> None:
    asked = request(slides, patients={slides["s0.png"]: "pseudonym 1"}, hours=0.5)
    made = client.post("/v1/trainings", json=asked, headers={"Idempotency-Key": "once"})
    assert made.status_code == 202, made.text
    path = made.headers["Location"]
    assert made.headers["Retry-After"] and made.json()["state"] in ("queued", "running")
    again = client.post("/v1/trainings", json=asked, headers={"Idempotency-Key": "once"})
    assert again.status_code == 202 and again.json()["id"] == made.json()["id"]
    assert client.post("/v1/trainings", json=asked).status_code == 409  # the name is taken

    training = awaited(client, path, "succeeded")
    outcome = training["outcome"]
    assert outcome["model"] == "ours" and outcome["epochs"] == 4
    assert 0 <= outcome["best_dice"] <= 1
    assert outcome["patients"] == {"train": 2, "validation": 1, "test": 0}
    curves = client.get(f"{path}/curves").json()
    assert curves["epochs"] == [1, 2, 3, 4] and len(curves["series"]["train_loss"]) == 4
    picture = client.get(f"{path}/curves.png")
    assert picture.headers["Content-Type"] == "image/png" and len(picture.content) > 5_000
    events = client.get(f"{path}/events").text
    assert "event: job" in events and '"state":"succeeded"' in events
    listed = client.get("/v1/trainings").json()["items"]
    assert [item["id"] for item in listed] == [training["id"]]
    assert client.get("/v1/jobs").json()["items"] == []  # trainings have routes of their own
    assert client.get(f"/v1/jobs/{training['id']}").status_code == 404
    assert client.delete(path).status_code == 409

    model = client.get("/v1/models/ours").json()
    assert model["source"] == "trained" and not model["published"] and model["usable"]
    assert model["digest"] == outcome["digest"]
    assert "pseudonym" not in str(model)
    stranger = keys["stranger"]
    for foreign in (path, f"{path}/curves", f"{path}/events", "/v1/models/ours"):
        assert client.get(foreign, headers=stranger).status_code == 404
    assert client.get("/v1/trainings", headers=stranger).json()["items"] == []

    mapped = {"slide": slides["s0.png"], "model": "ours", "mpp": 4.0}
    assert client.post("/v1/jobs", json=mapped, headers=stranger).status_code == 404
    job = client.post("/v1/jobs", json=mapped)
    assert job.status_code == 202, job.text
    done = awaited(client, job.headers["Location"], "succeeded")
    assert done["model_digest"] == outcome["digest"]
    assert done["outcome"]["tissue_area_mm2"] > 0

    assert client.post("/v1/models/ours/publish").json()["published"]
    assert client.get("/v1/models/ours", headers=stranger).json()["usable"]


def test_a_training_is_cancelled_and_another_can_have_its_name(
    client: httpx.Client, slides: dict[str, str], keys: dict[str, dict[str, str]]
) -> None:
    asked = request(slides, name="stopped", epochs=1000)
    path = client.post("/v1/trainings", json=asked).headers["Location"]
    wait_for(lambda: client.get(f"{path}/curves").json()["epochs"])  # seen while it runs
    assert client.get(path).json()["phase"] == "training"
    assert client.delete(path, headers=keys["writer"]).status_code == 403
    assert client.delete(path, headers=keys["stranger"]).status_code == 404
    assert client.delete(path).status_code == 202
    assert awaited(client, path, "cancelled")["outcome"] is None
    assert client.get("/v1/models/stopped").status_code == 404
    again = client.post("/v1/trainings", json=asked)
    assert again.status_code == 202
    client.delete(again.headers["Location"])


def test_what_takes_too_long_fails(client: httpx.Client, slides: dict[str, str]) -> None:
    asked = request(slides, name="slow", epochs=1000, hours=2 / 3600)
    path = client.post("/v1/trainings", json=asked).headers["Location"]
    training = awaited(client, path, "failed")
    assert "longer than" in training["reason"] and "allowed" in training["reason"]


def test_what_cannot_be_learned_fails_with_a_reason(
    client: httpx.Client, slides: dict[str, str]
) -> None:
    asked = request(slides, name="dry", foreground_label="necrosis")
    path = client.post("/v1/trainings", json=asked).headers["Location"]
    training = awaited(client, path, "failed")
    assert "no training slide has an outline of necrosis" in training["reason"]


def test_requests_that_make_no_sense(client: httpx.Client, slides: dict[str, str]) -> None:
    outlined, bare = slides["s0.png"], slides["s9.png"]
    broken, measured = slides["broken.svs"], slides["measured.tiff"]
    client.put(f"/v1/slides/{measured}/outlines", content=collection(feature(square(9, 9, 99))))
    for change, status, said in (
        ({"slides": [outlined, bare]}, 422, "no outlines of your group: save some"),
        ({"slides": [outlined, bare]}, 422, bare),
        ({"slides": [outlined, broken]}, 422, broken),
        ({"slides": [outlined, measured], "mpp": None}, 422, "µm/px: give `mpp`, or leave"),
        ({"slides": [outlined, outlined]}, 422, "more than once"),
        ({"slides": [outlined, NOBODY]}, 404, "no such slide"),
        ({"slides": [f"{n:032x}" for n in range(11)]}, 422, "At most 10"),
        ({"slides": []}, 422, "slides"),
        ({"patients": {NOBODY: "p"}}, 422, NOBODY),
        ({"patients": {outlined: " "}}, 422, "patients"),
        ({"config": "../demo"}, 422, "`config` is one of breast-idc"),
        ({"name": "../../x"}, 422, "name"),
        ({"name": "breast-idc"}, 409, "choose another"),
        ({"foreground_label": "exclusion"}, 422, "foreground_label"),
        ({"foreground_label": "hole"}, 422, "foreground_label"),
        ({"hours": -1}, 422, "hours"),
        ({"epochs": 0}, 422, "epochs"),
        ({"colour": "red"}, 422, "colour"),
    ):
        answer = client.post("/v1/trainings", json=request(slides, name="wrong") | change)
        assert answer.status_code == status, (change, answer.text)
        assert said in answer.json()["detail"], answer.text
        assert "s9.png" not in answer.text and "broken.svs" not in answer.text
    assert client.get(f"/v1/trainings/{NOBODY}").status_code == 404


def test_only_an_admin_trains(
    client: httpx.Client, slides: dict[str, str], keys: dict[str, dict[str, str]]
) -> None:
    asked = request(slides, name="forbidden")
    for who in ("writer", "reader"):
        assert client.post("/v1/trainings", json=asked, headers=keys[who]).status_code == 403
    assert client.get("/v1/trainings", headers=keys["reader"]).status_code == 200
    # another group has no outlines of these slides
    assert client.post("/v1/trainings", json=asked, headers=keys["stranger"]).status_code == 422


def test_a_model_that_lost_its_name_meanwhile_gets_another(
    tmp_path: Path, random_model: Path
) -> None:
    from service.engine.attempt import AttemptEnd
    from service.jobs.finished import finished
    from service.records.database import new_id, now
    from service.records.tables import Job, TrainedModel

    settings = Settings(tmp_path / "data", tmp_path / "state")
    records = Records(settings.database_url)
    records.migrate()
    names = []
    for _ in range(2):
        job = Job(
            id=new_id(),
            kind="training",
            group="red",
            key_id="k",
            model="ours",
            request={},
            state="succeeded",
            created_at=now(),
        )
        result = settings.jobs / job.id / "1" / "result"
        result.mkdir(parents=True)
        (result / "model.safetensors").write_bytes(random_model.read_bytes())
        with records.begin() as session:
            session.add(job)
            finished(session, settings, job, AttemptEnd(job.id, 1, "done", outcome={"digest": "d"}))
        names.append(job.model)
        assert (settings.trained / f"{job.model}.safetensors").is_file()
    with records.read() as session:
        assert all(session.get(TrainedModel, name) is not None for name in names)
    assert names[0] == "ours" and names[1] == f"ours-{job.id[:8]}"
    records.close()
