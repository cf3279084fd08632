import base64
import os
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.http.principals import LOCAL, Principal, Scope
from service.http.problems import Problem
from service.http.tus import Checksum, metadata, metadata_of
from service.records.database import Records, new_id, now
from service.records.tables import Audit, Job, SlideRecord, Upload
from service.settings import DAY, Limits, Retention, Settings
from service.uploads.files import SINGLE_FILE, Tail, UploadFile, shown_name
from service.uploads.records import UploadRecords
from service.uploads.removal import remove_expired, remove_slide, remove_unknown

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(st.from_regex(r"\A[!-+\--~]{1,20}\Z"), TEXT, max_size=5))
def test_metadata_survives_the_journey(pairs: dict[str, str]) -> None:
    header = ",".join(f"{key} {_base64(value)}" for key, value in pairs.items())
    assert metadata_of(header) == {key: value.encode() for key, value in pairs.items()}


@given(TEXT)
def test_what_we_write_we_read(name: str) -> None:
    assert metadata_of(metadata(filename=name)) == {"filename": name.encode()}


@given(st.text())
@example("filename")
@example("filename a b")
@example("filename Zm9v,filename Zm9v")
@example(",,,")
@example(" Zm9v")
@example("filename Zm9v, other")
@example("é Zm9v")
@example("filename é")
@example("x" * 9000)
def test_any_metadata_is_read_or_refused(header: str) -> None:
    try:
        pairs = metadata_of(header)
    except Problem as problem:
        assert problem.status == 400
        assert problem.detail
    else:
        assert all(key and " " not in key and "," not in key for key in pairs)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@given(st.text())
def test_any_checksum_is_read_or_refused(header: str) -> None:
    with pytest.raises(Problem) as refusal:
        Checksum.of(header)
    assert refusal.value.status == 400


@given(st.binary() | TEXT.map(lambda t: f"{t}.svs".encode()))
@example(b"../../etc/passwd.svs")
@example(b"C:\\slides\\a.svs")
@example(b"a\0b.svs")
@example(b".svs")
@example(b"...svs")
@example("\u202egnp.svs".encode())
@example(b"a" * 5000 + b".TIFF")
@example(b"a.svs/")
def test_any_name_becomes_a_safe_one_or_is_refused(filename: bytes) -> None:
    try:
        name = shown_name(filename)
    except Problem as problem:
        assert problem.status in (400, 422)
        return
    assert 0 < len(name) <= 200
    assert not set("/\\\0\n\r") & set(name)
    assert not name.startswith((".", " "))
    assert not any(unicodedata.category(c)[0] == "C" for c in name)
    assert shown_name(name.encode()) == name
    path = UploadFile(Path("/uploads"), "f" * 32, name).path
    assert path.parent == Path("/uploads") / ("f" * 32)
    assert path.stem == "slide"
    assert path.suffix in SINGLE_FILE


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("Präparat  7.SVS", "Präparat 7.SVS"),
        ("/home/x/a b.tif", "a b.tif"),
        ("C:\\x\\🔬.ndpi", "🔬.ndpi"),
        ("..hidden.png", "hidden.png"),
    ],
)
def test_shown_names(filename: str, shown: str) -> None:
    assert shown_name(filename.encode()) == shown


@pytest.mark.parametrize(
    "filename",
    ["a.mrxs", "a.vms", "a.vmu", "a.dcm", "a.exe", "a", "", "a.svs.zip", "svs", "a.svs/"],
)
def test_kinds_that_are_refused(filename: str) -> None:
    with pytest.raises(Problem) as refusal:
        shown_name(filename.encode())
    assert refusal.value.status == 422
    assert ".svs" in refusal.value.detail


def test_a_tail_leaves_only_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    path.write_bytes(b"0123456789 what a crash left")
    tail = Tail(path, 10, None)
    tail.write(b"abc")
    tail.keep()
    tail.write(b"lost")
    tail.close()
    assert path.read_bytes() == b"0123456789abc"
    with pytest.raises(Problem) as refusal:
        tail.write(b"after the end")
    assert refusal.value.status == 503
    with pytest.raises(Problem) as refusal:
        Tail(path, 14, None)
    assert refusal.value.status == 410
    with pytest.raises(Problem) as refusal:
        Tail(tmp_path / "absent", 0, None)
    assert refusal.value.status == 410


@dataclass
class Bench:
    settings: Settings
    records: Records

    @property
    def uploads(self) -> UploadRecords:
        return UploadRecords(self.settings, self.records)

    def slide(self, **columns: Any) -> SlideRecord:
        """A slide that was uploaded, with its file."""
        folder = self.settings.uploads / new_id()
        folder.mkdir(parents=True)
        (folder / "slide.svs").write_bytes(b"slide")
        defaults = {"id": new_id(), "kind": "upload", "group": LOCAL.group, "key_id": "k"}
        row = {**defaults, "path": f"{folder.name}/slide.svs", "name": "a", "bytes": 5, **columns}
        with self.records.begin() as session:
            session.add(slide := SlideRecord(created_at=now(), **row))
        return slide

    def folders(self) -> set[str]:
        return {folder.name for folder in self.settings.uploads.iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    settings = Settings(tmp_path / "data", tmp_path / "state")
    settings.uploads.mkdir(parents=True)
    records = Records(settings.database_url)
    records.migrate()
    yield Bench(settings, records)
    records.close()


@pytest.mark.parametrize("kind", ["map", "training"])
@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_slide_in_use_stays(bench: Bench, kind: str, state: str) -> None:
    slide = bench.slide(expires_at=now() - 1)
    job = Job(id=new_id(), kind=kind, group="local", key_id="k", model="m", created_at=now())
    job.state = state
    job.slide_id = slide.id if kind == "map" else None
    job.request = {"cases": [{"slide": slide.id}]} if kind == "training" else {}
    with bench.records.begin() as session:
        session.add(job)
    with pytest.raises(Problem) as refusal:
        remove_slide(bench.settings, bench.records, LOCAL, slide.id)
    assert refusal.value.status == 409
    remove_expired(bench.settings, bench.records)
    assert len(bench.folders()) == 1
    with bench.records.begin() as session:
        session.get_one(Job, job.id).state = "succeeded"
    remove_expired(bench.settings, bench.records)
    assert bench.folders() == set()
    with bench.records.read() as session:
        assert [(row.action, row.outcome) for row in session.query(Audit)] == [
            ("slide delete", "expired")
        ]


def test_what_expires_goes_and_the_rest_stays(bench: Bench) -> None:
    young = bench.uploads.create(LOCAL, "young.svs", 10)
    old = bench.uploads.create(LOCAL, "old.svs", 10)
    forever, due = bench.slide(), bench.slide(expires_at=now() - 1)
    with bench.records.begin() as session:
        session.get_one(Upload, old.id).expires_at = now() - 1
    with pytest.raises(Problem) as refusal:
        bench.uploads.going_on(LOCAL, old.id)
    assert refusal.value.status == 410
    remove_expired(bench.settings, bench.records)
    assert bench.folders() == {young.id, forever.path.partition("/")[0]}
    with pytest.raises(Problem) as refusal:
        bench.uploads.get(LOCAL, old.id)
    assert refusal.value.status == 404
    with bench.records.read() as session:
        assert session.get(SlideRecord, due.id) is None


def test_folders_that_nobody_knows_go_when_they_are_old(bench: Bench) -> None:
    known = bench.uploads.create(LOCAL, "known.svs", 10)
    slide = bench.slide()
    for name in ("new", "old"):
        (bench.settings.uploads / name).mkdir()
    for folder in bench.settings.uploads.iterdir():
        if folder.name != "new":
            os.utime(folder, (time.time() - 2 * DAY,) * 2)
    remove_unknown(bench.settings, bench.records)
    assert bench.folders() == {known.id, slide.path.partition("/")[0], "new"}


def test_quota_number_and_room(bench: Bench) -> None:
    bench.settings = replace(
        bench.settings,
        limits=Limits(uploads_open=2, upload_bytes=1000),
        retention=Retention(quota_bytes=900, free_bytes=0),
    )
    other = Principal("k2", "other", "other", Scope.WRITE, "key")

    def refused(principal: Principal, length: int) -> int:
        with pytest.raises(Problem) as refusal:
            bench.uploads.create(principal, "a.svs", length)
        return refusal.value.status

    assert refused(LOCAL, 1001) == 413
    bench.uploads.create(LOCAL, "a.svs", 800)
    assert refused(LOCAL, 200) == 403
    bench.uploads.create(other, "a.svs", 800)
    bench.uploads.create(LOCAL, "a.svs", 50)
    assert refused(LOCAL, 1) == 429
    assert len(bench.folders()) == 3
    bench.settings = replace(bench.settings, retention=Retention(free_bytes=1 << 60))
    assert refused(other, 1) == 503
    bench.settings = replace(
        bench.settings, limits=Limits(upload_bytes=1 << 60), retention=Retention(free_bytes=0)
    )
    assert refused(other, 1 << 59) == 507
    assert len(bench.folders()) == 3


def test_an_offset_that_moved_is_not_moved_again(bench: Bench) -> None:
    upload = bench.uploads.create(LOCAL, "a.svs", 10)
    with bench.records.begin() as session:
        session.get_one(Upload, upload.id).offset = 5
    tail = Tail(bench.uploads.file(upload).path, 0, None)
    tail.write(b"abc")
    with pytest.raises(Problem) as refusal:
        bench.uploads.keep(upload, tail)
    assert refusal.value.status == 409
    tail.close()
