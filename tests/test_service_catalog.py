import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.errors import SlideError
from service.http.cursors import cursor_after, row_of
from service.http.principals import LOCAL, Principal, Scope
from service.http.problems import Problem
from service.readers.pool import ReaderPool, SlideRef
from service.records.database import Records, new_id, now
from service.records.tables import SlideRecord
from service.settings import Settings
from service.slides.catalog import Catalog
from service.slides.tree import SlideFolder
from tests.postgres import postgresql

OTHER = Principal("k2", "other", "other", Scope.WRITE, "key")


@dataclass
class Bench:
    """A catalog over an empty folder, scanned only when told."""

    settings: Settings
    records: Records
    catalog: Catalog

    @property
    def root(self) -> Path:
        return self.settings.data

    def put(self, name: str, content: bytes = b"slide") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def ids(self) -> dict[str, str]:
        self.catalog.scan()
        rows, following = self.catalog.page(LOCAL, limit=10_000)
        assert following is None
        return {row.path: row.id for row in rows}

    def one(self, name: str) -> SlideRecord:
        return self.catalog.get(LOCAL, self.ids()[name])


def started(settings: Settings, readers: Any = None) -> Bench:
    settings.data.mkdir(exist_ok=True)
    records = Records(settings.database_url)
    records.migrate()
    return Bench(settings, records, Catalog(settings, records, readers or ReaderPool(1)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = started(Settings(tmp_path / "data", tmp_path / "state"))
    yield bench
    bench.records.close()


def test_everything_below_the_root_is_listed_and_nothing_else(bench: Bench) -> None:
    for name in ("a.svs", "deep/er/b.TIFF", "c.png", "notes.txt", ".hidden.svs", ".git/d.svs"):
        bench.put(name)
    for name in ("dicom/1.dcm", "dicom/2.dcm", "dicom/sub/e.ndpi"):
        bench.put(name)
    for name in ("m.mrxs", "m/Data0.dat", "m/thumb.jpg", "mine.jpg"):
        bench.put(name)
    for name in ("v.vms", "v_macro.jpg", "v(0,1).jpg", "v.opt"):
        bench.put(name)
    (bench.root / "folder.svs").mkdir()
    os.mkfifo(bench.root / "pipe.svs")
    assert set(bench.ids()) == {
        *("a.svs", "deep/er/b.TIFF", "c.png", "dicom", "dicom/sub/e.ndpi"),
        *("m.mrxs", "mine.jpg", "v.vms"),
    }
    assert bench.one("dicom").bytes == 2 * len(b"slide")
    assert bench.one("deep/er/b.TIFF").name == "b.TIFF"


def test_the_state_folder_is_not_looked_into(tmp_path: Path) -> None:
    bench = started(Settings(tmp_path / "data", tmp_path / "data" / "state"))
    bench.put("a.svs")
    secret = bench.put("state/uploads/x/slide.svs")
    (bench.root / "link.svs").symlink_to(secret)
    assert set(bench.ids()) == {"a.svs"}


def test_dicom_right_in_the_root_is_named_after_it(bench: Bench) -> None:
    bench.put("1.dcm")
    assert bench.one(".").name == "data"
    assert bench.catalog.path(bench.one(".")) == bench.root


def test_ids_survive_restarts_and_absence(bench: Bench) -> None:
    a, b = bench.put("a.svs"), bench.put("b.svs")
    before = bench.ids()
    a.rename(bench.root / "away.txt")
    assert set(bench.ids()) == {"b.svs"}
    gone = bench.catalog.get(LOCAL, before["a.svs"])
    assert gone.missing_at is not None
    with pytest.raises(Problem) as refusal:
        bench.catalog.path(gone)
    assert refusal.value.status == 410
    again = started(bench.settings)
    (bench.root / "away.txt").rename(a)
    assert again.ids() == before
    assert again.catalog.path(again.one("b.svs")) == b
    again.records.close()


def test_links_out_of_the_root_are_not_slides(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("x.svs", "1.dcm", "Data0.dat"):
        (outside / name).write_bytes(b"secret")
    (bench.root / "out.svs").symlink_to(outside / "x.svs")
    (bench.root / "folder").symlink_to(outside)
    (bench.root / "loop").symlink_to(bench.root)
    (bench.root / "nowhere.svs").symlink_to("nowhere")
    (bench.root / "itself.svs").symlink_to("itself.svs")
    (bench.root / "m.mrxs").write_bytes(b"index")
    (bench.root / "m").symlink_to(outside)
    (bench.root / "dicom").mkdir()
    (bench.root / "dicom" / "1.dcm").symlink_to(outside / "1.dcm")
    bench.put(".annex/object", b"kept elsewhere inside")
    (bench.root / "in.svs").symlink_to(".annex/object")
    assert set(bench.ids()) == {"in.svs"}
    assert bench.catalog.path(bench.one("in.svs")) == bench.root / ".annex" / "object"


def test_a_file_swapped_for_a_link_is_refused_at_once(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret.svs").write_bytes(b"secret")
    (tmp_path / "1.dcm").write_bytes(b"secret")
    path, dicom = bench.put("a.svs"), bench.put("d/1.dcm")
    one, two = bench.one("a.svs"), bench.one("d")
    assert bench.catalog.sees(two) == (dicom, dicom.parent)
    path.unlink()
    path.symlink_to(tmp_path / "secret.svs")
    (dicom.parent / "2.dcm").symlink_to(tmp_path / "1.dcm")
    for record in (one, two):
        for use in (bench.catalog.path, bench.catalog.sees, bench.catalog.ref):
            with pytest.raises((Problem, SlideError)) as refusal:
                use(record)
            assert "secret" not in str(refusal.value)


def test_a_path_in_the_records_cannot_leave_the_root(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret.svs").write_bytes(b"secret")
    record = bench.catalog.get(LOCAL, _add(bench, path="../secret.svs"))
    with pytest.raises(Problem):
        bench.catalog.path(record)


def _add(bench: Bench, **columns: Any) -> str:
    row = {"id": new_id(), "kind": "disk", "path": "x", "name": "x", "bytes": 1} | columns
    with bench.records.begin() as session:
        session.add(SlideRecord(created_at=now(), **row))
    return str(row["id"])


def test_odd_names_are_listed_or_left_out_with_a_reason(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    listed = {"new\nline.svs", "🔬 'quoted\" ; --.svs", "n" * 251 + ".svs", "\x1b[31mred.svs"}
    for name in listed:
        bench.put(name)
    (bench.root / os.fsdecode(b"caf\xe9.svs")).write_bytes(b"slide")
    long = "/".join(["d" * 250] * 9)
    bench.put(f"{long}/too-long.svs")
    assert set(bench.ids()) == listed
    assert "a name that is no UTF-8 text (1)" in caplog.text
    assert "a path longer than 2000 bytes (1)" in caplog.text
    assert "caf" not in caplog.text
    assert "too-long" not in caplog.text


def test_an_unreadable_folder_does_not_stop_the_others(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(9):  # beyond what the system takes as one path, which root cannot read either
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    (tmp_path / "a.svs").write_bytes(b"x")
    handle = os.open(deep, os.O_RDONLY)
    for _ in range(12):
        os.mkdir("e" * 200, dir_fd=handle)
        inner = os.open("e" * 200, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    tree = SlideFolder(tmp_path).walk()
    assert [slide.path for slide in tree.slides] == ["a.svs"]
    assert tree.left_out
    assert SlideFolder(tmp_path / "absent").walk().left_out == {"a folder that cannot be read": 1}


@dataclass
class Told:
    """Readers that answer what they are told to, and count the questions."""

    answer: dict[str, Any] | SlideError
    asked: list[SlideRef] = field(default_factory=list)

    async def facts(self, ref: SlideRef) -> dict[str, Any]:
        self.asked.append(ref)
        if isinstance(self.answer, SlideError):
            raise self.answer
        return self.answer


def test_facts_are_kept_until_the_file_changes(tmp_path: Path) -> None:
    readers = Told({"format": "tiff"})
    bench = started(Settings(tmp_path / "data", tmp_path / "state"), readers)
    path = bench.put("a.svs")
    first = asyncio.run(bench.catalog.examined(bench.one("a.svs")))
    assert first.facts == {"format": "tiff"}
    assert readers.asked[0].path == path
    asyncio.run(bench.catalog.examined(bench.one("a.svs")))
    assert len(readers.asked) == 1
    os.utime(path, ns=(1, 1))  # same size, another time
    readers.answer = SlideError("the slide is broken")
    broken = asyncio.run(bench.catalog.examined(first))
    assert (broken.facts, broken.unusable) == (None, "the slide is broken")
    assert bench.one("a.svs").unusable == "the slide is broken"
    bench.put("a.svs", b"another, longer")
    after = bench.one("a.svs")  # the scan sees it, nobody has to ask
    assert (after.id, after.facts_of, after.unusable) == (first.id, None, None)
    assert after.bytes == len(b"another, longer")
    bench.records.close()


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    readers = Told(SlideError("The slide cannot be read: took too long"))
    bench = started(Settings(tmp_path / "data", tmp_path / "state"), readers)
    bench.put("a.svs")
    assert asyncio.run(bench.catalog.examined(bench.one("a.svs"))).unusable
    readers.answer = {"format": "tiff"}
    again = asyncio.run(bench.catalog.examined(bench.one("a.svs")))
    assert (again.facts, again.unusable) == ({"format": "tiff"}, None)
    bench.records.close()


def test_an_empty_file_is_listed_and_says_why_it_is_no_slide(bench: Bench) -> None:
    bench.put("patient name.svs", b"")
    empty = asyncio.run(bench.catalog.examined(bench.one("patient name.svs")))
    assert empty.unusable == "The slide cannot be read: the file is empty"


def test_another_groups_upload_is_unknown(bench: Bench) -> None:
    mine = _add(bench, kind="upload", group="local", path="u/slide.svs", name="u.svs")
    bench.put("a.svs")
    assert len(bench.ids()) == 2
    assert [row.name for row in bench.catalog.page(OTHER)[0]] == ["a.svs"]
    assert bench.catalog.get(LOCAL, mine).name == "u.svs"
    for slide_id in (mine, new_id(), "", "' OR 1=1"):
        with pytest.raises(Problem) as refusal:
            bench.catalog.get(OTHER, slide_id)
        assert refusal.value.status == 404


def test_pages_hold_while_slides_come_and_go(bench: Bench) -> None:
    for number in range(10):
        bench.put(f"{number}/same.svs")
        bench.put(f"s{number}.svs")
    everything = bench.ids()
    seen, cursor = [], None
    while True:
        rows, cursor = bench.catalog.page(LOCAL, cursor=cursor, limit=3)
        seen += [row.path for row in rows]
        if cursor is None:
            break
        bench.put(f"aa{len(seen)}.svs")
        with bench.records.begin() as session:
            session.query(SlideRecord).filter_by(path=seen[0]).delete()
        bench.catalog.scan()
    assert sorted(seen) == sorted(everything)


def test_search_takes_any_case_and_takes_wildcards_as_they_are(bench: Bench) -> None:
    _search(bench)


def test_the_same_on_postgresql(tmp_path: Path) -> None:
    with postgresql() as server:
        url = server.new_database("slides")
        settings = Settings(tmp_path / "data", tmp_path / "state", database=url)
        bench = started(settings)
        _search(bench)
        for name in ("a.svs", "B.svs", "ä.svs", "🔬.svs", "new\nline.svs"):
            bench.put(name)
        everything, seen, cursor = bench.ids(), [], None
        while True:
            rows, cursor = bench.catalog.page(LOCAL, cursor=cursor, limit=2)
            seen += [row.path for row in rows]
            if cursor is None:
                break
        assert sorted(seen) == sorted(everything)
        (bench.root / "a.svs").unlink()
        assert set(bench.ids()) == set(everything) - {"a.svs"}
        bench.put("a.svs", b"another")
        assert bench.ids() == everything
        bench.records.close()


def _search(bench: Bench) -> None:
    for name in ("PRÄPARAT 1.svs", "präparat_2.svs", "100%.svs", "a\\b.svs"):
        bench.put(name)
    bench.catalog.scan()

    def found(q: str) -> set[str]:
        return {row.name for row in bench.catalog.page(LOCAL, q)[0]}

    assert found("präPARAT") == {"PRÄPARAT 1.svs", "präparat_2.svs"}
    assert found("t_") == {"präparat_2.svs"}
    assert found("%") == {"100%.svs"}
    assert found("\\") == {"a\\b.svs"}
    assert found("nothing") == set()


@given(st.text())
def test_bad_cursors_are_refused(cursor: str) -> None:
    try:
        row = row_of(cursor, str, str)
    except Problem as problem:
        assert problem.status == 400
    else:
        assert row_of(cursor_after(*row), str, str) == row


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=500))
def test_cursors_survive_the_journey(name: str) -> None:
    assert row_of(cursor_after(name, "id"), str, str) == (name, "id")
    with pytest.raises(Problem):
        row_of(cursor_after(name, 3.0), str, str)


def test_listing_scans_when_the_last_scan_is_old(bench: Bench) -> None:
    bench.put("a.svs")
    assert [row.name for row in bench.catalog.page(LOCAL)[0]] == ["a.svs"]
    bench.put("b.svs")
    assert [row.name for row in bench.catalog.page(LOCAL)[0]] == ["a.svs"]


def test_three_thousand_slides_are_fast(bench: Bench) -> None:
    for folder in range(30):
        (bench.root / f"f{folder}").mkdir()
        for number in range(100):
            (bench.root / f"f{folder}" / f"slide {number}.svs").touch()
    begin = time.thread_time()  # whoever else computes meanwhile does not count
    bench.catalog.scan()
    first = time.thread_time() - begin
    begin = time.thread_time()
    bench.catalog.scan()
    again = time.thread_time() - begin
    begin = time.thread_time()
    rows, _ = bench.catalog.page(LOCAL, limit=200)
    listing = time.thread_time() - begin
    print(f"3,000 slides: first scan {first:.3f} s, again {again:.3f} s, page {listing:.3f} s")
    assert len(rows) == 200
    assert first < 5
    assert again < 2
    assert listing < 0.5
