"""Deep-zoom tiles and thumbnails over HTTP."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from defusedxml import ElementTree
from PIL import Image

from service.settings import Settings
from tests.made_slides import SIDE, TILE, write_aperio
from tests.patience import wait_for
from tests.served import served

TOP = 11  # 2 ** 11 = 2048


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("tiles") / "data"
    write_aperio(data / "MARKER slide.svs", AppMag="MARKER")
    (data / "MARKER broken.svs").write_bytes(b"MARKER")
    return data


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    with served(Settings(root, root.parent / "state")) as client:
        yield client


def slide_id(client: httpx.Client, name: str = "MARKER slide.svs") -> str:
    items = client.get("/v1/slides").raise_for_status().json()["items"]
    [found] = [item["id"] for item in items if item["name"] == name]
    return str(found)


def tile(
    client: httpx.Client, place: str, slide: str | None = None, **headers: str
) -> httpx.Response:
    slide = slide or slide_id(client)
    return client.get(f"/v1/slides/{slide}_files/{place}.jpeg", headers=headers)


def test_the_description_and_each_tile_it_promises(client: httpx.Client) -> None:
    answer = client.get(f"/v1/slides/{slide_id(client)}.dzi")
    assert answer.headers["content-type"].startswith("application/xml")
    image = ElementTree.fromstring(answer.content)
    assert (int(image.attrib["TileSize"]), int(image.attrib["Overlap"])) == (TILE, 0)
    assert (int(image[0].attrib["Width"]), int(image[0].attrib["Height"])) == (SIDE, SIDE)
    for level in range(TOP + 1):
        answer = tile(client, f"{level}/0_0")
        assert answer.headers["content-type"] == "image/jpeg"
        side = min(TILE, 2**level)
        with Image.open(BytesIO(answer.content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (side, side))


def test_a_browser_may_keep_a_tile_and_ask_whether_it_changed(client: httpx.Client) -> None:
    first = tile(client, f"{TOP}/0_0")
    assert "private" in first.headers["cache-control"]
    assert "Cookie" in first.headers["vary"]
    again = tile(client, f"{TOP}/0_0", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = tile(client, f"{TOP}/0_0", **{"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        (f"{TOP}/8_0", 404),
        (f"{TOP}/0_8", 404),
        ("12/0_0", 404),
        ("99/0_0", 422),
        ("-1/0_0", 422),
        ("1/0_-1", 422),
        ("x/0_0", 422),
        (f"1/{'9' * 5000}_0", 422),
    ],
)
def test_other_tiles_are_refused(client: httpx.Client, place: str, status: int) -> None:
    answer = tile(client, place)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [".dzi", "_files/0/0_0.jpeg", "/thumbnail"])
def test_slides_that_there_are_not(client: httpx.Client, path: str) -> None:
    assert client.get(f"/v1/slides/{'0' * 32}{path}").status_code == 404
    assert client.get(f"/v1/slides/none{path}").status_code in (404, 422)


@pytest.mark.parametrize("path", [".dzi", "_files/0/0_0.jpeg", "/thumbnail"])
def test_a_file_that_is_no_slide_has_a_sentence(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/v1/slides/{slide_id(client, 'MARKER broken.svs')}{path}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("The slide cannot be read: ")
    assert "MARKER" not in answer.text


def test_a_thumbnail_is_as_large_as_asked_for(client: httpx.Client) -> None:
    address = f"/v1/slides/{slide_id(client)}/thumbnail"
    for side in (16, 100, 512):
        with Image.open(BytesIO(client.get(address, params={"side": side}).content)) as picture:
            assert picture.size == (side, side)
    for refused in (0, 15, 2049, "x"):
        assert client.get(address, params={"side": refused}).status_code == 422


def test_pictures_hold_no_word_of_the_file(client: httpx.Client) -> None:
    for answer in (tile(client, f"{TOP}/1_1"), client.get(f"/v1/slides/{slide_id(client)}.dzi")):
        assert b"MARKER" not in answer.content
        assert "MARKER" not in str(answer.headers)


def test_many_ask_for_the_same_tiles_at_once(client: httpx.Client) -> None:
    slide = slide_id(client)
    places = [f"{TOP}/{column}_{row}" for column in range(4) for row in range(4)] * 6
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda place: tile(client, place, slide), places))
    assert {answer.status_code for answer in answers} == {200}
    assert len({(str(answer.url), answer.content) for answer in answers}) == 16


def test_who_goes_away_leaves_nothing_behind(client: httpx.Client) -> None:
    slide, host = slide_id(client), client.base_url.netloc.decode()
    address = ("127.0.0.1", client.base_url.port or 80)
    for column in range(8):
        path = f"/v1/slides/{slide}_files/{TOP}/{column}_7.jpeg"
        with socket.create_connection(address) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert tile(client, f"{TOP}/0_7", slide).status_code == 200


def test_a_slide_that_changes_or_goes_shows_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = write_aperio(data / "s.svs", seed=1)
    with served(Settings(data, tmp_path / "state")) as client:
        slide = slide_id(client, "s.svs")
        before = tile(client, f"{TOP}/0_0", slide)
        write_aperio(data / "s.svs.new", seed=2).replace(path)
        wait_for(lambda: tile(client, f"{TOP}/0_0", slide).content != before.content)
        path.unlink()
        wait_for(lambda: tile(client, f"{TOP}/0_0", slide).status_code in (404, 410))
