"""Outlines over HTTP."""

import gzip
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.http.keys import KeyStore
from service.http.principals import Scope
from service.records.database import Records
from service.settings import Limits, Settings
from tests.conftest import draw_slide
from tests.outlined import collection, feature, slide_ids, square, write_measured_slide
from tests.served import served

MARK = "Zebedee-Marker"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("outlines")
    (folder / "data").mkdir()
    for name in ("known.tiff", "changed.tiff", "raced.tiff", "private.tiff"):
        write_measured_slide(folder / "data" / name)
    draw_slide(folder / "data" / "flat.png")
    (folder / "data" / "broken.svs").write_bytes(b"II*\x00" + bytes(500))
    return Settings(folder / "data", folder / "state", limits=Limits(outline_bytes=1 << 20))


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with served(settings) as client:
        yield client


@pytest.fixture(scope="module")
def path(settings: Settings, client: httpx.Client) -> dict[str, str]:
    """Where each slide's outlines are, by the slide's name."""
    return {
        name: f"/v1/slides/{slide_id}/outlines" for name, slide_id in slide_ids(settings).items()
    }


def test_without_any_there_is_an_empty_collection(
    client: httpx.Client, path: dict[str, str]
) -> None:
    answer = client.get(path["known.tiff"])
    assert answer.status_code == 200 and answer.headers["ETag"] == '"0"'
    assert answer.headers["Content-Type"] == "application/geo+json"
    assert answer.json()["features"] == [] and answer.json()["origin_level0"] == [0, 0]
    assert client.get(path["known.tiff"] + "/versions").json() == []
    for format in ("asap", "imagescope", "qupath"):
        empty = client.get(path["known.tiff"], params={"format": format})
        assert empty.status_code == 200
        assert client.put(path["flat.png"], content=empty.content).json()["count"] == 0


def test_what_is_saved_comes_back_in_versions(client: httpx.Client, path: dict[str, str]) -> None:
    first = client.put(
        path["changed.tiff"],
        content=collection(feature(square(10, 10, 100), label="Tumor")),
        headers={"If-Match": '"0"'},
    )
    assert first.status_code == 200, first.text
    saved = first.json()
    assert saved["version"] == 1 and saved["count"] == 1 and saved["warnings"] == []
    assert saved["areas_mm2"] == pytest.approx({"tumour": 10_000 * 4e-6})
    assert saved["author"] == "local" and saved["format"] == "qupath"
    assert first.headers["ETag"] == '"1"'
    # corrected: a hole, and a second label
    change = collection(
        feature(square(10, 10, 100), square(20, 20, 10)),
        feature(square(200, 200, 50), label="necrosis"),
    )
    second = client.put(path["changed.tiff"], content=change, headers={"If-Match": '"1"'}).json()
    assert second["areas_mm2"] == pytest.approx({"tumour": 9_900 * 4e-6, "necrosis": 2_500 * 4e-6})
    stale = client.put(path["changed.tiff"], content=change, headers={"If-Match": '"1"'})
    assert stale.status_code == 412 and stale.headers["ETag"] == '"2"'
    assert "Version 2" in stale.json()["detail"]
    last = client.get(path["changed.tiff"])
    assert last.headers["ETag"] == '"2"' and len(last.json()["features"]) == 2
    earlier = client.get(path["changed.tiff"], params={"version": 1})
    assert earlier.headers["ETag"] == '"1"' and len(earlier.json()["features"]) == 1
    versions = client.get(path["changed.tiff"] + "/versions").json()
    assert [row["version"] for row in versions] == [2, 1]
    assert versions[0]["areas_mm2"] == second["areas_mm2"]
    assert client.get(path["changed.tiff"], params={"version": 3}).status_code == 404
    known = client.get(path["changed.tiff"], headers={"If-None-Match": '"2"'})
    assert known.status_code == 304 and not known.content


def test_a_chosen_format_goes_out_under_a_plain_name(
    client: httpx.Client, path: dict[str, str]
) -> None:
    client.put(path["known.tiff"], content=collection(feature(square(10, 10, 100))))
    slide_id = path["known.tiff"].split("/")[3]
    for format, ending, kind in (
        ("geojson", "geojson", "application/geo+json"),
        ("qupath", "qupath.geojson", "application/geo+json"),
        ("asap", "asap.xml", "application/xml"),
        ("imagescope", "imagescope.xml", "application/xml"),
    ):
        answer = client.get(path["known.tiff"], params={"format": format})
        assert answer.headers["Content-Type"] == kind
        version = answer.headers["ETag"].strip('"')
        assert answer.headers["Content-Disposition"] == (
            f'attachment; filename="outlines-{slide_id}-{version}.{ending}"'
        )
        back = client.put(path["flat.png"], content=answer.content)
        assert back.json()["count"] == 1
    plain = client.get(path["known.tiff"], headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.json() == client.get(path["known.tiff"]).json()
    assert 'MicronsPerPixel="2' in client.get(path["known.tiff"] + "?format=imagescope").text


def test_the_content_tells_the_format_whatever_its_type(
    client: httpx.Client, path: dict[str, str]
) -> None:
    body = collection(feature(square(10, 10, 100)))
    for kind in ("text/plain", "application/xml", "image/png", "multipart/form-data; boundary=x"):
        assert client.put(path["flat.png"], content=body, headers={"Content-Type": kind}).is_success
    packed = gzip.compress(body)
    assert client.put(path["flat.png"], content=packed).json()["count"] == 1
    sent = {"Content-Encoding": "gzip"}
    assert client.put(path["flat.png"], content=packed, headers=sent).json()["count"] == 1


def test_without_a_resolution_areas_are_null(client: httpx.Client, path: dict[str, str]) -> None:
    saved = client.put(path["flat.png"], content=collection(feature(square(1, 1, 9)))).json()
    assert saved["areas_mm2"] is None
    assert any("µm/px" in warning for warning in saved["warnings"])


def test_of_two_who_save_at_once_one_wins(client: httpx.Client, path: dict[str, str]) -> None:
    def save(side: float) -> httpx.Response:
        body = collection(feature(square(10, 10, side)))
        return client.put(path["raced.tiff"], content=body, headers={"If-Match": '"0"'})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(save, (20, 30, 40, 50)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    assert len(client.get(path["raced.tiff"] + "/versions").json()) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"no outlines", 422),
        (f"<{MARK}/>".encode(), 422),
        (f"<!DOCTYPE a [<!ENTITY b '{MARK}'>]><Annotations>&b;</Annotations>".encode(), 422),
        (collection(feature([[1, float("nan")], [2, 2], [3, 1]], name=MARK)), 422),
        (b"[" * 1000, 422),
        (gzip.compress(bytes(9 << 20)), 413),
        (b" " * (2 << 20), 413),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    client: httpx.Client,
    path: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    status: int,
) -> None:
    before = client.get(path["known.tiff"]).headers["ETag"]
    with caplog.at_level(logging.DEBUG):
        answer = client.put(path["known.tiff"], content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert MARK not in answer.text and MARK not in caplog.text
    assert "/" not in answer.json()["detail"].replace("µm/px", "")
    assert client.get(path["known.tiff"]).headers["ETag"] == before


def test_labels_stay_out_of_the_log(
    client: httpx.Client, path: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    bow = [[10, 10], [30, 30], [30, 10], [10, 30], [10, 10]]
    with caplog.at_level(logging.DEBUG):
        saved = client.put(path["known.tiff"], content=collection(feature(bow, label=MARK)))
    assert list(saved.json()["areas_mm2"]) == [MARK]  # the owner's own word
    assert MARK in client.get(path["known.tiff"]).text
    assert saved.json()["warnings"] and MARK not in str(saved.json()["warnings"])
    assert MARK not in caplog.text


def test_unknown_slides_and_slides_that_cannot_be_read(
    client: httpx.Client, path: dict[str, str]
) -> None:
    nowhere = f"/v1/slides/{'0' * 32}/outlines"
    body = collection(feature(square(1, 1, 9)))
    assert client.get(nowhere).status_code == 404
    assert client.get(nowhere + "/versions").status_code == 404
    assert client.put(nowhere, content=body).status_code == 404
    assert client.get("/v1/slides/..%2fetc/outlines").status_code in (404, 422)
    refused = client.put(path["broken.svs"], content=body)
    assert refused.status_code == 422 and "cannot be read" in refused.json()["detail"]
    assert client.get(path["known.tiff"], params={"format": "svg"}).status_code == 422


def test_groups_have_their_own_outlines(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_measured_slide(tmp_path / "data" / "a.tiff")
    settings = Settings(tmp_path / "data", tmp_path / "state", require_key=True)
    records = Records(settings.database_url)
    records.migrate()
    keys = KeyStore(records)
    ours, theirs, readers = (
        {"Authorization": f"Bearer {keys.create(name, scope, group, 1)}"}
        for name, scope, group in (
            ("ann", Scope.WRITE, "red"),
            ("ben", Scope.WRITE, "blue"),
            ("cleo", Scope.READ, "red"),
        )
    )
    records.close()
    with served(settings) as client:
        path = f"/v1/slides/{slide_ids(settings)['a.tiff']}/outlines"
        body = collection(feature(square(1, 1, 9)))
        assert client.put(path, content=body).status_code == 401
        assert client.put(path, content=body, headers=readers).status_code == 403
        saved = client.put(path, content=body, headers=ours)
        assert saved.json()["author"] == "ann"
        shown = client.get(path, headers=readers)
        assert shown.headers["ETag"] == '"1"'
        assert shown.headers["Cache-Control"] == "no-store"  # two groups' tags may be the same
        assert client.get(path, headers=theirs).headers["ETag"] == '"0"'
        assert client.get(path, params={"version": 1}, headers=theirs).status_code == 404
        assert client.put(path, content=body, headers=theirs).json()["version"] == 1
        assert json.loads(client.get(path, headers=theirs).text)["features"]


def test_a_real_slides_own_outlines(data: Path, tmp_path: Path) -> None:
    """With decimal commas, as ASAP wrote them, on the slide that they were drawn on."""
    settings = Settings(data / "slides", tmp_path / "state")
    with served(settings) as client:
        path = f"/v1/slides/{slide_ids(settings)['packer_example.tif']}/outlines"
        drawn = (data / "slides" / "packer_example.xml").read_bytes()
        saved = client.put(path, content=drawn).json()
        assert saved["format"] == "asap" and saved["count"] > 0
        assert all(area > 0 for area in saved["areas_mm2"].values())
        again = client.put(path, content=client.get(path, params={"format": "asap"}).content).json()
        assert again["areas_mm2"] == pytest.approx(saved["areas_mm2"])
