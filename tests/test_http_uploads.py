import base64
import hashlib
import io
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from service.records.database import Records, now
from service.records.tables import Audit, Upload
from service.settings import Limits, Retention, Settings
from service.uploads.files import SINGLE_FILE
from tests.conftest import REPOSITORY, command
from tests.lab import NOBODY, lab
from tests.patience import SECONDS, wait_for
from tests.served import free_port, served

TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Desk:
    """A running server, and a slide to upload."""

    settings: Settings
    client: httpx.Client
    slide: bytes

    @property
    def url(self) -> str:
        return f"{self.client.base_url}/v1/uploads".replace("//v1", "/v1")

    def begin(self, name: str = "a slide.png", length: int | None = None, **headers: str) -> str:
        """Where a new upload's bytes go."""
        answer = self.create(name, length, **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def create(
        self, name: str = "a slide.png", length: int | None = None, **headers: str
    ) -> httpx.Response:
        sent = {
            **TUS,
            "Upload-Length": str(length or len(self.slide)),
            "Upload-Metadata": f"filename {_base64(name.encode())}",
        }
        return self.client.post("/v1/uploads", headers=sent | headers)

    def send(self, place: str, offset: int, content: Any, **headers: str) -> httpx.Response:
        sent = {
            **TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        return self.client.patch(place, headers=sent | headers, content=content)

    def offset(self, place: str) -> int:
        answer = self.client.head(place, headers=TUS)
        assert answer.status_code == 200
        return int(answer.headers["Upload-Offset"])

    def state(self, place: str) -> dict[str, Any]:
        return dict(self.client.get(place).json())

    def folders(self) -> list[Path]:
        return list(self.settings.uploads.glob("*"))

    def is_writing(self) -> bool:
        """Whether the server, which is in this process, has the upload's file open."""
        (folder,) = self.folders()
        (file,) = folder.iterdir()
        return any(link.resolve() == file.resolve() for link in Path("/proc/self/fd").iterdir())

    def stored(self) -> bytes:
        (folder,) = self.folders()
        (file,) = folder.iterdir()
        return file.read_bytes()


def _noise(width: int, height: int) -> bytes:
    """A PNG that no compression makes small."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "png")
    return file.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "data").mkdir()
    settings = Settings(tmp_path / "data", tmp_path / "state", readers=1, cluster=NOBODY)
    slide = _noise(500, 350)
    with served(settings) as client:
        yield Desk(settings, client, slide)


def test_what_the_server_can(desk: Desk) -> None:
    answer = desk.client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,checksum,expiration,termination"
    assert answer.headers["Tus-Checksum-Algorithm"].split(",") == ["sha1", "sha256"]
    assert int(answer.headers["Tus-Max-Size"]) == desk.settings.limits.upload_bytes


@pytest.mark.parametrize("checksum", [False, True])
def test_a_real_client_uploads_a_slide_in_pieces(desk: Desk, checksum: bool) -> None:
    uploader = TusClient(desk.url).uploader(
        file_stream=io.BytesIO(desk.slide),
        chunk_size=100_000,
        metadata={"filename": "C:\\fakepath\\Biopsie 7 🔬.png"},
        upload_checksum=checksum,
    )
    uploader.upload()
    slide_id = uploader.request.response_headers["extent-slide"]
    assert desk.stored() == desk.slide
    slide = desk.client.get(f"/v1/slides/{slide_id}").json()
    assert slide["name"] == "Biopsie 7 🔬.png"
    assert (slide["kind"], slide["size_level0"]) == ("upload", [500, 350])
    assert [item["id"] for item in desk.client.get("/v1/slides").json()["items"]] == [slide_id]
    place = httpx.URL(uploader.url).path
    assert desk.state(place)["slide"] == slide_id
    assert desk.state(place)["state"] == "ready"
    assert desk.client.head(place, headers=TUS).headers["Extent-Slide"] == slide_id
    assert desk.client.delete(place, headers=TUS).status_code == 409
    assert desk.client.delete(f"/v1/slides/{slide_id}").status_code == 204
    assert desk.client.get(place).status_code == 404
    assert desk.folders() == []


def test_a_real_slide_is_what_it_was(desk: Desk, data: Path) -> None:
    path = data / "slides" / "CMU-1-Small-Region.svs"
    uploader = TusClient(desk.url).uploader(
        file_stream=io.BytesIO(path.read_bytes()), metadata={"filename": path.name}
    )
    uploader.upload()  # in one request, as clients do that are not told otherwise
    slide_id = uploader.request.response_headers["extent-slide"]
    slide = desk.client.get(f"/v1/slides/{slide_id}").json()
    assert (slide["format"], slide["mpp"]) == ("Aperio SVS", [0.499, 0.499])
    tile = desk.client.get(f"/v1/slides/{slide_id}_files/8/0_0.jpeg")
    assert tile.status_code == 200
    assert desk.stored() == path.read_bytes()


def test_a_real_client_resumes(desk: Desk) -> None:
    first = TusClient(desk.url).uploader(
        file_stream=io.BytesIO(desk.slide), chunk_size=150_000, metadata={"filename": "a.png"}
    )
    first.upload_chunk()
    half = desk.client.get("/v1/slides").json()["items"]
    assert half == []  # no slide yet
    again = TusClient(desk.url).uploader(file_stream=io.BytesIO(desk.slide), url=first.url)
    assert again.offset == 150_000
    again.upload()
    assert desk.stored() == desk.slide


def test_a_request_that_breaks_off_keeps_what_came(desk: Desk) -> None:
    place = desk.begin()
    assert _broken_off(desk, place, desk.slide[:123_456]) == 123_456
    assert desk.send(place, 123_456, desk.slide[123_456:]).status_code == 204
    assert desk.stored() == desk.slide


def test_with_a_checksum_a_broken_request_keeps_nothing(desk: Desk) -> None:
    place = desk.begin()
    told = f"Upload-Checksum: sha1 {_base64(hashlib.sha1(desk.slide).digest())}\r\n"
    assert _broken_off(desk, place, desk.slide[:123_456], told) == 0
    assert desk.stored() == b""


def _broken_off(desk: Desk, place: str, content: bytes, more: str = "") -> int:
    """Announce the whole slide, send less, hang up; the offset after that."""
    port = desk.client.base_url.port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            (
                f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTus-Resumable: 1.0.0\r\n"
                f"Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n{more}"
                f"Content-Length: {len(desk.slide)}\r\n\r\n"
            ).encode()
            + content
        )
        wait_for(desk.is_writing)
        for _ in range(20):  # each time the server has its turns to read on
            desk.state(place)
    wait_for(lambda: desk.send(place, 1 << 40, b"x").status_code == 409)  # nobody is at it
    return desk.offset(place)


def test_two_at_one_upload(desk: Desk) -> None:
    place = desk.begin()
    may_go_on = threading.Event()
    answers: list[httpx.Response] = []

    def slowly() -> Iterator[bytes]:
        yield desk.slide[:1000]
        may_go_on.wait(SECONDS)
        yield desk.slide[1000:]

    first = threading.Thread(target=lambda: answers.append(desk.send(place, 0, slowly())))
    first.start()
    with httpx.Client(base_url=desk.client.base_url, timeout=SECONDS) as other:
        rival = Desk(desk.settings, other, desk.slide)
        wait_for(desk.is_writing)
        assert rival.send(place, 0, b"rival").status_code == 423
        assert rival.offset(place) == 0
        assert other.delete(place, headers=TUS).status_code == 423
        may_go_on.set()
        first.join()
    assert answers[0].status_code == 204
    assert desk.stored() == desk.slide


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums(desk: Desk, algorithm: str) -> None:
    place = desk.begin()
    good = _base64(hashlib.new(algorithm, desk.slide[:1000]).digest())
    answer = desk.send(place, 0, desk.slide[:999], **{"Upload-Checksum": f"{algorithm} {good}"})
    assert answer.status_code == 460
    assert answer.json()["title"] == "Checksum Mismatch"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert desk.offset(place) == 0
    assert desk.stored() == b""
    answer = desk.send(place, 0, desk.slide[:1000], **{"Upload-Checksum": f"{algorithm} {good}"})
    assert answer.status_code == 204
    assert answer.headers["Upload-Offset"] == "1000"
    for bad in ("md5 AAAA", "sha1", "sha1 !!!", f"sha1 {_base64(b'short')}", ""):
        answer = desk.send(place, 1000, b"x", **{"Upload-Checksum": bad})
        assert answer.status_code == 400, bad
    assert desk.offset(place) == 1000


def test_refusals_leave_the_upload_as_it_is(desk: Desk) -> None:
    place = desk.begin()
    desk.send(place, 0, desk.slide[:500])
    wrong = {
        409: desk.send(place, 499, b"x"),
        415: desk.send(place, 500, b"x", **{"Content-Type": "text/plain"}),
        412: desk.send(place, 500, b"x", **{"Tus-Resumable": "0.2.2"}),
        413: desk.send(place, 500, desk.slide),
        422: desk.send(place, -1, b"x"),
    }
    assert {status: answer.status_code for status, answer in wrong.items()} == {
        status: status for status in wrong
    }
    assert wrong[412].headers["Tus-Version"] == "1.0.0"
    assert desk.send(place, 500, iter([desk.slide])).status_code == 413  # of unknown length
    assert desk.offset(place) == 500
    assert desk.stored() == desk.slide[:500]
    assert desk.client.patch(place, headers=TUS, content=b"x").status_code in (415, 422)
    assert desk.client.head(place).status_code == 412
    assert desk.send("/v1/uploads/" + "0" * 32, 0, b"x").status_code == 404
    assert desk.send("/v1/uploads/..%2f..%2fx", 0, b"x").status_code in (400, 404, 422)


def test_names_that_are_refused(desk: Desk) -> None:
    for name in ("a.mrxs", "a.vms", "a.dcm", "a.exe", "noslide", "../.png"):
        answer = desk.create(name)
        assert answer.status_code == 422, name
        assert all(suffix in answer.json()["detail"] for suffix in SINGLE_FILE)
    assert desk.folders() == []


def test_beginnings_that_are_refused(desk: Desk) -> None:
    for headers, status in (
        ({"Upload-Metadata": ""}, 422),
        ({"Upload-Metadata": "filename"}, 422),
        ({"Upload-Metadata": "filename !!!"}, 400),
        ({"Upload-Metadata": f"filename {_base64(bytes([255]))}"}, 400),
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "9" * 30}, 422),
        ({"Upload-Length": str(desk.settings.limits.upload_bytes + 1)}, 413),
        ({"Tus-Resumable": "2.0.0"}, 412),
    ):
        answer = desk.create(**headers)
        assert answer.status_code == status, headers
        assert answer.json()["detail"]
    assert desk.folders() == []


def test_a_file_that_is_no_slide_is_refused_and_gone(desk: Desk) -> None:
    marker = b"SECRETMARKER"
    for name, content in (
        ("a.png", b"\x89PNG\r\n\x1a\n" + marker * 20),
        ("a.svs", b"II*\0" + marker * 20),
        ("a.svs", b"[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=/etc/passwd\n"),
    ):
        place = desk.begin(name, len(content))
        answer = desk.send(place, 0, content)
        assert answer.status_code == 422, answer.text
        for text in (answer.text, str(desk.state(place))):
            assert "SECRETMARKER" not in text
            assert str(desk.settings.state) not in text
        assert desk.state(place)["state"] == "refused"
        assert desk.state(place)["reason"]
        assert desk.client.head(place, headers=TUS).status_code == 410
        assert desk.send(place, len(content), b"").status_code == 410
        assert desk.client.delete(place, headers=TUS).status_code == 204
    assert desk.folders() == []
    assert desk.client.get("/v1/slides").json()["items"] == []


def test_an_upload_given_up_is_gone(desk: Desk) -> None:
    place = desk.begin()
    desk.send(place, 0, desk.slide[:1000])
    assert desk.client.delete(place, headers=TUS).status_code == 204
    assert desk.client.head(place, headers=TUS).status_code == 404
    assert desk.client.delete(place, headers=TUS).status_code == 404
    assert desk.folders() == []


def test_an_upload_expires(desk: Desk) -> None:
    answer = desk.create()
    place = answer.headers["Location"]
    days = desk.settings.retention.unfinished_uploads_days
    until = parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp()
    assert until == pytest.approx(now() + days * 86400, abs=60)
    client = TusClient(desk.url)
    records = Records(desk.settings.database_url)
    with records.begin() as session:
        session.get_one(Upload, place.rpartition("/")[2]).expires_at = now() - 1
    records.close()
    with pytest.raises(TusCommunicationError) as gone:
        client.uploader(file_stream=io.BytesIO(desk.slide), url=f"{desk.url}/{place[-32:]}")
    assert gone.value.status_code == 410
    assert desk.send(place, 0, desk.slide).status_code == 410


def test_clients_that_know_get_and_post_only(desk: Desk) -> None:
    place = desk.begin()
    sent = {
        **TUS,
        "X-HTTP-Method-Override": "PATCH",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    answer = desk.client.post(place, headers=sent, content=desk.slide[:1000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "1000")
    answer = desk.client.post(place, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 204
    assert desk.folders() == []


def test_a_full_disk_is_said_and_overcome(desk: Desk) -> None:
    """The system's limit on the size of files stands in for a full disk."""
    big = os.urandom(1 << 20) * 12
    place = desk.begin("big.tif", len(big))
    assert desk.send(place, 0, big[: 2 << 20]).status_code == 204
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, hard))
    try:
        answer = desk.send(place, 2 << 20, big[2 << 20 :])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answer.status_code == 507
    assert "full" in answer.json()["detail"]
    assert desk.offset(place) == 2 << 20
    assert desk.stored() == big[: 2 << 20]
    assert desk.send(place, 2 << 20, big[2 << 20 : 3 << 20]).status_code == 204
    assert desk.stored() == big[: 3 << 20]


def test_a_complete_upload_that_nobody_looked_at_is_looked_at(desk: Desk) -> None:
    """The server was killed between the last byte and the look."""
    place = desk.begin()
    desk.send(place, 0, desk.slide[:-1])
    (file,) = desk.folders()[0].iterdir()
    file.write_bytes(desk.slide)
    records = Records(desk.settings.database_url)
    with records.begin() as session:
        session.get_one(Upload, place.rpartition("/")[2]).offset = len(desk.slide)
    records.close()
    answer = desk.client.head(place, headers=TUS)
    assert answer.headers["Upload-Offset"] == str(len(desk.slide))
    assert desk.client.get(f"/v1/slides/{answer.headers['Extent-Slide']}").status_code == 200


def test_lost_bytes_are_said(desk: Desk) -> None:
    place = desk.begin()
    desk.send(place, 0, desk.slide[:1000])
    (file,) = desk.folders()[0].iterdir()
    file.write_bytes(b"")
    assert desk.send(place, 1000, desk.slide[1000:]).status_code == 410


def test_uploads_are_their_groups(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    slide = _noise(60, 50)
    with lab(Settings(tmp_path / "data", tmp_path / "state", readers=1)) as people:
        anna, reader, stranger = (
            Desk(people.settings, client, slide)
            for client in (people.anna, people.reader, people.stranger)
        )
        assert reader.create().status_code == 403
        place = anna.begin()
        assert reader.send(place, 0, slide).status_code == 403
        assert reader.state(place)["offset"] == 0
        for answer in (
            stranger.send(place, 0, slide),
            stranger.client.head(place, headers=TUS),
            stranger.client.get(place),
            stranger.client.delete(place, headers=TUS),
        ):
            assert answer.status_code == 404
        slide_id = anna.send(place, 0, slide).headers["Extent-Slide"]
        assert reader.client.get(f"/v1/slides/{slide_id}").status_code == 200
        assert reader.client.delete(f"/v1/slides/{slide_id}").status_code == 403
        assert stranger.client.get(f"/v1/slides/{slide_id}").status_code == 404
        assert stranger.client.delete(f"/v1/slides/{slide_id}").status_code == 404
        assert stranger.client.get("/v1/slides").json()["items"] == []
        assert httpx.post(f"{people.anna.base_url}/v1/uploads").status_code == 401


def test_nobody_else_can_tell_that_an_upload_is_under_way(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    slide = _noise(60, 50)
    may_go_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield slide[:1000]
        may_go_on.wait(SECONDS)
        yield slide[1000:]

    with lab(Settings(tmp_path / "data", tmp_path / "state", readers=1)) as people:
        anna = Desk(people.settings, people.anna, slide)
        place = anna.begin()
        stranger = Desk(people.settings, people.stranger, slide)
        sending = threading.Thread(target=lambda: anna.send(place, 0, slowly()))
        sending.start()
        second = httpx.Client(
            headers=people.anna.headers, base_url=people.anna.base_url, timeout=SECONDS
        )
        with second:
            rival = Desk(people.settings, second, slide)
            wait_for(anna.is_writing)
            assert rival.send(place, 0, b"x").status_code == 423
        assert stranger.send(place, 0, b"x").status_code == 404
        assert stranger.client.delete(place, headers=TUS).status_code == 404
        may_go_on.set()
        sending.join()
        assert anna.state(place)["state"] == "ready"


def test_limits_of_a_group(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settings = Settings(tmp_path / "data", tmp_path / "state", cluster=NOBODY)
    settings = replace(
        settings,
        limits=Limits(uploads_open=2),
        retention=Retention(quota_bytes=1000),
    )
    with served(settings) as client:
        desk = Desk(settings, client, b"x")
        desk.begin("a.png", 600)
        assert desk.create("a.png", 600).status_code == 403
        desk.begin("a.png", 100)
        answer = desk.create("a.png", 100)
        assert answer.status_code == 429
        assert "unfinished" in answer.json()["detail"]


def test_a_slide_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    limits = Limits(slide_pixels=64 * 48 - 1)
    settings = Settings(tmp_path / "data", tmp_path / "state", cluster=NOBODY, limits=limits)
    with served(settings) as client:
        desk = Desk(settings, client, _noise(64, 48))
        answer = desk.send(desk.begin(), 0, desk.slide)
        assert answer.status_code == 422
        assert "64 x 48 pixels" in answer.json()["detail"]


def test_the_audit_knows_of_both_ends(desk: Desk) -> None:
    desk.send(desk.begin(), 0, desk.slide)
    desk.send(desk.begin("a.png", 4), 0, b"oops")
    records = Records(desk.settings.database_url)
    with records.read() as session:
        rows = [(row.action, row.outcome) for row in session.query(Audit).order_by(Audit.id)]
    records.close()
    assert rows == [("slide upload", "accepted"), ("slide upload", "refused")]


@pytest.mark.slow
def test_killed_servers_lose_no_acknowledged_byte(tmp_path: Path) -> None:
    """kill -9 while bytes come in, four times; every resumption goes on where it was told."""
    (tmp_path / "data").mkdir()
    slide = _noise(900, 700)
    port = free_port()
    url, place, acknowledged = f"http://127.0.0.1:{port}/v1/uploads", None, 0
    for round_ in range(5):
        server = _serve(tmp_path, port)
        try:
            client = TusClient(url)
            uploader = client.uploader(
                file_stream=io.BytesIO(slide),
                chunk_size=len(slide) // 40,
                metadata={"filename": "a.png"},
                url=place,
            )
            place = place or uploader.create_url()
            uploader.set_url(place)
            assert uploader.offset >= acknowledged
            if round_ == 4:
                uploader.upload()
                break
            threading.Timer(0.05 * (round_ + 1), server.kill).start()
            with pytest.raises((TusUploadFailed, TusCommunicationError)):
                uploader.upload(stop_at=len(slide) - 1)
                while True:  # ask until the server is gone
                    uploader.get_offset()
            acknowledged = uploader.offset
        finally:
            server.kill()
            server.wait()
    (file,) = (tmp_path / "state" / "uploads").glob("*/*")
    assert file.read_bytes() == slide


def _serve(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    log = (folder / "log").open("ab")
    where = ("--data", folder / "data", "--state", folder / "state", "--port", port)
    server = subprocess.Popen(command("serve", *where), cwd=REPOSITORY, stdout=log, stderr=log)
    log.close()

    def answers() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/v1/slides").status_code == 200
        return False

    wait_for(answers)
    return server
