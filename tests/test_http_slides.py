import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.principals import LOCAL
from service.records.database import Records, new_id, now
from service.records.tables import Audit, OutlineVersion, SlideRecord
from service.settings import Settings
from tests.conftest import draw_slide
from tests.lab import NOBODY
from tests.patience import wait_for
from tests.served import served


@dataclass
class Lab:
    """A running server, and its database."""

    settings: Settings
    client: httpx.Client
    records: Records

    def slides(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get("/v1/slides", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def uploaded(self, name: str = "mine.png", group: str = LOCAL.group) -> str:
        """An upload as the upload routes leave it."""
        row = SlideRecord(id=new_id(), kind="upload", path=f"{new_id()}/slide.png", name=name)
        file = self.settings.uploads / row.path
        file.parent.mkdir(parents=True)
        row.bytes = draw_slide(file).stat().st_size
        row.group, row.key_id, row.created_at = group, "k", now()
        with self.records.begin() as session:
            session.add(row)
        return row.id


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    settings = Settings(tmp_path / "data", tmp_path / "state", readers=1, cluster=NOBODY)
    settings.data.mkdir()
    draw_slide(settings.data / "b drawn.png", 480, 360)
    (settings.data / "a broken.svs").write_bytes(b"II*\0 not really")
    (settings.data / "notes.txt").write_text("no slide")
    with served(settings) as client:
        records = Records(settings.database_url)
        yield Lab(settings, client, records)
        records.close()


def test_the_list_is_cheap_and_knows_what_was_looked_at(lab: Lab) -> None:
    broken, drawn = lab.slides()
    assert (broken["name"], drawn["name"]) == ("a broken.svs", "b drawn.png")
    assert drawn["usable"] is True
    assert drawn["size_level0"] is None
    assert drawn["outline_version"] == 0
    detail = lab.client.get(f"/v1/slides/{drawn['id']}").json()
    assert detail["size_level0"] == [480, 360]
    assert detail["bounds_level0"] == [0, 0, 480, 360]
    assert detail["mpp"] is None
    assert detail["levels"] == [{"width": 480, "height": 360, "downsample": 1.0}]
    assert detail["links"]["dzi"] == f"/v1/slides/{drawn['id']}.dzi"
    assert lab.slides()[1]["size_level0"] == [480, 360]


def test_a_file_that_is_no_slide_says_why_without_its_name(lab: Lab) -> None:
    broken = lab.slides()[0]
    detail = lab.client.get(f"/v1/slides/{broken['id']}").json()
    assert detail["usable"] is False
    assert detail["reason"]
    assert "broken" not in detail["reason"]
    assert str(lab.settings.data) not in detail["reason"]
    assert (detail["levels"], detail["size_level0"]) == (None, None)
    assert lab.slides()[0]["usable"] is False


def test_real_slides(data: Path, tmp_path: Path) -> None:
    with served(Settings(data / "slides", tmp_path / "state", cluster=NOBODY)) as client:
        listed = {item["name"]: item["id"] for item in client.get("/v1/slides").json()["items"]}
        assert "packer_example.tif" in listed
        assert "dicom_cmu1_small_region" in listed
        assert "packer_example.xml" not in listed
        seen = {name: client.get(f"/v1/slides/{key}").json() for name, key in listed.items()}
    assert seen["CMU-1-Small-Region.svs"]["format"] == "Aperio SVS"
    assert seen["CMU-1-Small-Region.svs"]["mpp"] == [0.499, 0.499]
    assert seen["dicom_cmu1_small_region"]["usable"]
    assert not seen["broken.svs"]["usable"]


def test_pages_and_search(lab: Lab) -> None:
    for number in range(5):
        shutil.copy(lab.settings.data / "b drawn.png", lab.settings.data / f"Ä{number}.png")
    wait_for(lambda: len(lab.slides()) >= 7)  # seen once the last look at the folder is old
    lab.uploaded("ä-mine.png")
    lab.uploaded("ä-theirs.png", group="others")
    names: list[str] = []
    query: dict[str, Any] = {"q": "ä", "limit": 2}
    while True:
        page = lab.client.get("/v1/slides", params=query).json()
        names += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert sorted(names) == [*(f"Ä{number}.png" for number in range(5)), "ä-mine.png"]


def test_bad_questions(lab: Lab) -> None:
    questions: list[tuple[dict[str, Any], int]] = [
        ({"cursor": "nonsense"}, 400),
        ({"cursor": "WzEsMl0"}, 400),
        ({"limit": 0}, 422),
        ({"limit": 10_000}, 422),
        ({"q": "x" * 201}, 422),
        ({"q": "\0"}, 400),
    ]
    for query, status in questions:
        answer = lab.client.get("/v1/slides", params=query)
        assert answer.status_code == status, query
        assert answer.headers["content-type"].startswith("application/problem+json")


def test_unknown_slides_and_other_groups(lab: Lab) -> None:
    theirs = lab.uploaded(group="others")
    for slide_id in (new_id(), theirs):
        assert lab.client.get(f"/v1/slides/{slide_id}").status_code == 404
        assert lab.client.delete(f"/v1/slides/{slide_id}").status_code == 404
    for odd in ("..", "%2e%2e%2fetc", "A" * 32, "x"):
        assert lab.client.get(f"/v1/slides/{odd}").status_code in (404, 422)


def test_a_slide_whose_file_went(lab: Lab) -> None:
    drawn = lab.slides()[1]
    (lab.settings.data / "b drawn.png").unlink()
    answer = lab.client.get(f"/v1/slides/{drawn['id']}")
    assert answer.status_code == 410
    assert "drawn" not in answer.text


def test_only_uploads_can_be_deleted(lab: Lab) -> None:
    answer = lab.client.delete(f"/v1/slides/{lab.slides()[0]['id']}")
    assert answer.status_code == 403
    assert len(list(lab.settings.data.iterdir())) == 3


def test_deleting_takes_file_and_outlines(lab: Lab) -> None:
    slide_id, kept = lab.uploaded(), lab.uploaded()
    assert lab.client.get(f"/v1/slides/{slide_id}").json()["size_level0"] == [480, 360]
    with lab.records.begin() as session:
        for of in (slide_id, kept):
            session.add(_outlines(of))
    assert {item["outline_version"] for item in lab.slides() if item["kind"] == "upload"} == {1}
    assert lab.client.delete(f"/v1/slides/{slide_id}").status_code == 204
    assert lab.client.get(f"/v1/slides/{slide_id}").status_code == 404
    assert lab.client.delete(f"/v1/slides/{slide_id}").status_code == 404
    assert len(list(lab.settings.uploads.iterdir())) == 1
    with lab.records.read() as session:
        assert [version.slide_id for version in session.query(OutlineVersion)] == [kept]
        assert [row.action for row in session.query(Audit)] == ["slide delete"]


def _outlines(slide_id: str) -> OutlineVersion:
    return OutlineVersion(
        id=new_id(),
        slide_id=slide_id,
        group=LOCAL.group,
        version=1,
        author="a",
        key_id="k",
        created_at=now(),
        format="qupath",
        count=0,
        areas_mm2=None,
        content=b"",
    )
