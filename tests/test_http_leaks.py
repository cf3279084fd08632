"""What identifies a patient leaves only where it belongs: marks are planted in everything."""

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

from service.app import create_app
from service.http.keys import KeyStore
from service.http.principals import Scope
from service.records.database import Records
from service.settings import Limits, Settings
from tests.conftest import write_random_model
from tests.patience import wait_for
from tests.served import served

IN_SLIDE = "MRNZZ4711"  # in every text of the slides' own metadata
ROOT = "ROOTZZ99"  # in the path of all that the server works on
FOLDER = "WARDZZ12"  # of slides, below the data root
FILE = "SURNAMEZZ88"  # in names of files
TEXT = "REMARKZZ77"  # in what outlines say
LABEL_RED = (255, 0, 0)  # of the label's and macro's pixels
MARKS = (IN_SLIDE, ROOT, FOLDER, FILE, TEXT)

NAMES_BELONG = re.compile(  # answers to who may see the slide, about that slide
    r"(stranger )?GET /v1/slides(/{slide_id})?|GET /v1/uploads/{upload_id}"
    r"|(GET|POST|DELETE) /v1/jobs(/{job_id})?(/events|/summary.json|/report.html)?"
)
OUTLINES_BELONG = re.compile(r"(GET|PUT) /v1/slides/{slide_id}/outlines(/versions)?")


@dataclass
class Seen:
    """Everything that left the server: by route and status, headers and body; and its talk."""

    answers: list[tuple[str, int, bytes]] = field(default_factory=list)
    talk: str = ""

    def add(self, route: str, answer: httpx.Response) -> None:
        headers = repr(sorted(answer.headers.items())).encode()
        self.answers.append((route, answer.status_code, headers + answer.content))

    def routes_with(self, mark: str) -> set[str]:
        return {route for route, _, content in self.answers if mark.encode() in content}


def write_marked_aperio(path: Path) -> None:
    """An Aperio slide whose texts, label and macro image would all tell who the patient is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    plane = random.integers(90, 200, (64, 64, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    red = np.full((200, 200, 3), LABEL_RED, np.uint8)
    said = f"Aperio Image\n{{}}|AppMag = 20|MPP = 0.5|Patient = {IN_SLIDE}|Filename = {IN_SLIDE}"
    tags = [(code, "s", 0, IN_SLIDE, True) for code in (271, 272, 315, 316, 33432)]
    with tifffile.TiffWriter(path) as file:
        for pixels, what in ((plane, "1024x1024"), (red, "label 200x200"), (red, "macro 200x200")):
            tiled = {"tile": (256, 256)} if pixels is plane else {"rowsperstrip": 200}
            file.write(
                pixels,
                photometric="rgb",
                compression="jpeg" if pixels is plane else None,
                description=said.format(what),
                software=IN_SLIDE,
                metadata=None,
                extratags=tags,
                **tiled,
            )


def marked_outlines() -> bytes:
    ring = [[100, 100], [700, 100], [700, 700], [100, 700], [100, 100]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "name": TEXT,
            "description": TEXT,
            "classification": {"name": TEXT},
        },
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp(ROOT)
    slides, models = root / "slides", root / "models"
    models.mkdir()
    write_marked_aperio(slides / FOLDER / f"{FILE}.svs")
    (slides / FOLDER / f"{FILE}-broken.svs").write_bytes(b"II*\0" + IN_SLIDE.encode() * 99)
    write_random_model(models / "random.safetensors")
    (models / "broken.safetensors").write_bytes(IN_SLIDE.encode() * 99)
    limits = Limits(requests_per_minute=10**7, anonymous_per_minute=10**7)
    return Settings(slides, root / "state", models=models, require_key=True, limits=limits)


@pytest.fixture(scope="module")
def seen(settings: Settings) -> Iterator[Seen]:
    """All that a user gets to see in a day's work, with mistakes, and a stranger besides."""
    found, talk = Seen(), io.StringIO()
    handler = logging.StreamHandler(talk)
    extent = logging.getLogger("extent")
    level = extent.level
    extent.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    records = Records(settings.database_url)
    records.migrate()
    keys = KeyStore(records)
    ours, theirs = keys.create("ours", Scope.ADMIN, "ours"), keys.create("x", Scope.ADMIN, "x")
    records.close()
    with served(settings, key=ours) as client:
        ids = work(client, found)
        look_at_everything(client, found, ids, settings)
        client.headers["Authorization"] = f"Bearer {theirs}"
        stranger = Seen()
        look_at_everything(client, stranger, ids, settings)
        found.answers += [(f"stranger {r}", s, c) for r, s, c in stranger.answers]
    logging.getLogger().removeHandler(handler)
    extent.setLevel(level)
    found.talk = talk.getvalue()
    yield found


def work(client: httpx.Client, seen: Seen) -> dict[str, str]:
    """Upload, outline and map, each also wrongly; returns ids by path parameter."""
    slides = {item["name"]: item["id"] for item in client.get("/v1/slides").json()["items"]}
    slide = next(id_ for name, id_ in slides.items() if name.endswith(f"{FILE}.svs"))
    broken = next(id_ for name, id_ in slides.items() if name.endswith("broken.svs"))
    outlines = f"/v1/slides/{slide}/outlines"
    seen.add("PUT /v1/slides/{slide_id}/outlines", client.put(outlines, content=marked_outlines()))
    for wrong in (
        marked_outlines()[:-9],
        marked_outlines().replace(b"100, 100", b'"' + TEXT.encode() + b'"'),
        f"<Annotations><{TEXT}></Annotations>".encode(),
        f"<!DOCTYPE a [<!ENTITY b '{TEXT}'>]><a>&b;</a>".encode(),
        TEXT.encode(),
    ):
        seen.add("wrong outlines", client.put(outlines, content=wrong))
    for name in (f"{FILE}.svs", f"{FILE}.exe", f"../{FILE}.svs", f"{FILE}/x.svs"):
        seen.add("wrong upload", upload(client, name, IN_SLIDE.encode() * 999))
    for slide_id in (broken, FILE, f"../{FILE}", "0" * 32):
        for model in ("random", "broken", FILE):
            body = {"slide": slide_id, "model": model, FILE: TEXT, "region_level0": [TEXT]}
            seen.add("wrong job", client.post("/v1/jobs", json=body))
            seen.add("wrong job", client.post("/v1/jobs", json={**body, FILE: None}))
        body = {"slide": slide_id, "model": "random"}
        seen.add("wrong job", client.post("/v1/jobs", json=body))
        for path in ("", ".dzi", "/thumbnail", "_files/9/0_0.jpeg", "/outlines"):
            name = f"GET /v1/slides/{{slide_id}}{path}"
            seen.add(name, client.get(f"/v1/slides/{slide_id}{path}"))
    body = {"slide": slide, "model": "broken"}
    seen.add("wrong job", client.post("/v1/jobs", json=body))
    seen.add("wrong training", client.post("/v1/trainings", json={"name": FILE, "slides": [TEXT]}))
    job = client.post("/v1/jobs", json={"slide": slide, "model": "random"})
    seen.add("POST /v1/jobs", job)
    assert job.status_code == 202, job.text
    job_id = job.json()["id"]

    def state() -> str:
        return str(client.get(f"/v1/jobs/{job_id}").json()["state"])

    wait_for(lambda: state() not in ("queued", "running"))
    assert state() == "succeeded"
    return {"slide_id": slide, "job_id": job_id, "name": "random"}


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    metadata = base64.b64encode(name.encode()).decode()
    tus = {"Tus-Resumable": "1.0.0"}
    begun = client.post(
        "/v1/uploads",
        headers={
            **tus,
            "Upload-Length": str(len(content)),
            "Upload-Metadata": f"filename {metadata}",
        },
    )
    if begun.status_code != 201:
        return begun
    return client.patch(
        begun.headers["location"],
        content=content,
        headers={**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
    )


def look_at_everything(
    client: httpx.Client, seen: Seen, ids: dict[str, str], settings: Settings
) -> None:
    """Every route that reads, with the ids of what is there."""
    values = {"level": "9", "column": "0", "row": "0", **ids}
    routes: Any = create_app(settings).routes
    for route in routes:
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda part: values.get(part[1], FILE), route.path)
        for method in route.methods & {"GET", "HEAD", "OPTIONS"}:
            for query in ({}, {"limit": TEXT, FILE: 1}):
                name = f"{method} {route.path}"
                seen.add(name, client.request(method, path, params=query))  # type: ignore[arg-type]


def test_the_day_was_one(seen: Seen) -> None:
    statuses = {(route, status) for route, status, _ in seen.answers}
    for route in (
        "PUT /v1/slides/{slide_id}/outlines",
        "GET /v1/slides/{slide_id}",
        "GET /v1/slides/{slide_id}/thumbnail",
        "GET /v1/jobs/{job_id}/report.html",
        "GET /v1/jobs/{job_id}/probability.tiff",
        "GET /v1/audit",
        "GET /metrics",
    ):
        assert (route, 200) in statuses, route
    assert {status for route, status in statuses if route == "wrong upload"} <= {400, 415, 422}
    assert {status for route, status in statuses if route == "wrong outlines"} == {422}
    assert not [pair for pair in statuses if pair[1] >= 500]


@pytest.mark.parametrize("mark", [IN_SLIDE, ROOT])
def test_metadata_and_paths_are_nowhere(seen: Seen, mark: str) -> None:
    assert seen.routes_with(mark) == set()


def test_names_are_where_the_slide_is_meant(seen: Seen) -> None:
    for mark in (FILE, FOLDER):
        strays = {route for route in seen.routes_with(mark) if not NAMES_BELONG.fullmatch(route)}
        assert not strays


def test_what_outlines_say_is_where_outlines_are_meant(seen: Seen) -> None:
    strays = {r for r in seen.routes_with(TEXT) if not OUTLINES_BELONG.fullmatch(r)}
    assert not strays


def test_no_problem_names_anything(seen: Seen) -> None:
    for route, status, content in seen.answers:
        if status >= 400:
            assert not [mark for mark in MARKS if mark.encode() in content], (route, content)


def test_no_log_names_anything(seen: Seen) -> None:
    assert "extent.requests" in seen.talk or "GET /v1/slides" in seen.talk
    lines = [line for line in seen.talk.splitlines() if any(mark in line for mark in MARKS)]
    assert not lines


def test_label_and_macro_images_stay_behind(seen: Seen) -> None:
    pictures = [c for r, s, c in seen.answers if s == 200 and ("thumbnail" in r or ".jpeg" in r)]
    assert pictures
    for content in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(content[content.index(b"\xff\xd8\xff") :])), int)
        assert (np.abs(pixels - LABEL_RED).sum(-1) > 60).all()
