"""The viewer's page and files over HTTP."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.routes.viewer import BUNDLE, page_of
from service.settings import Settings
from tests.lab import NOBODY
from tests.served import served


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "data").mkdir()
    settings = Settings(folder / "data", folder / "state", cluster=NOBODY, require_key=True)
    with served(settings) as client:
        yield client


def test_the_page_and_its_files_need_no_key(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Cache-Control"] == "no-cache"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    again = client.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304 and not again.content
    if not (BUNDLE / "index.html").is_file():
        pytest.skip("the viewer is not built: make viewer")
    loaded = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
    assert len(loaded) == 2
    for path in loaded:
        file = client.get(path)
        assert file.is_success and "immutable" in file.headers["Cache-Control"]
        known = {"If-None-Match": file.headers["ETag"]}
        assert client.get(path, headers=known).status_code == 304


def test_the_page_holds_no_inline_script_or_style(client: httpx.Client) -> None:
    text = client.get("/").text
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"https?://", text)  # all of it comes from this server


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "../index.html", "%2e%2e/index.html", "..%2findex.html", "a/b.js"]
)
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    assert client.get(f"/assets/{name}").status_code in (400, 404)


def test_without_a_bundle_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    page = page_of(tmp_path).decode()
    assert "make viewer" in page and "/v1/openapi.json" in page
