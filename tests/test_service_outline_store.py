"""Reading outlines in a process of their own: what is found, and every way to be refused."""

import asyncio
import gzip
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from shapely import Polygon

from annotations import Outline, SlidePlane, write_outlines
from annotations.files import outlines_in
from annotations.notes import Notes
from service.http.preconditions import check_match, names
from service.http.principals import LOCAL
from service.http.problems import Problem
from service.outlines.process import OutlineProcess, Reading
from service.outlines.store import AT_ONCE, MOST_IN_MEMORY, OutlineStore
from service.outlines.task import Origin
from service.services import Services
from service.settings import Limits, Settings
from tests.attempts import halt
from tests.conftest import draw_slide
from tests.outlined import collection, feature, slide_ids, square
from tests.patience import SECONDS

MARK = "Zebedee-Marker"
PLANE = SlidePlane(2000, 1000, mpp=(0.5, 0.5), centre_offset_nm=(0.0, 0.0))
CROPPED = SlidePlane(2000, 1000, mpp=(0.5, 0.5), bounds_origin=(300.0, 70.0))


def read(
    body: bytes,
    plane: SlidePlane = PLANE,
    origin: Origin = "auto",
    limits: Limits | None = None,
) -> Reading:
    return OutlineProcess(limits or Limits()).read(body, plane, origin)


def refusal(
    body: bytes, plane: SlidePlane = PLANE, limits: Limits | None = None
) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        read(body, plane, limits=limits)
    assert MARK not in caught.value.detail
    return int(caught.value.status), caught.value.detail


def outlines_of(reading: Reading) -> list[Outline]:
    return outlines_in(gzip.decompress(reading.content), Notes("stored"))


def test_areas_leave_holes_out_and_count_what_overlaps_once() -> None:
    body = collection(
        feature(square(100, 100, 400), square(200, 200, 100)),
        feature(square(300, 300, 400)),
        feature(square(0, 0, 100), label="necrosis"),
    )
    reading = read(body)
    # 400² - 100² + 400² - 200² of overlap, and 100², of 0.25 µm² each
    assert reading.areas_mm2 == pytest.approx(
        {"tumour": (160_000 - 10_000 + 160_000 - 40_000) * 0.25e-6, "necrosis": 10_000 * 0.25e-6}
    )
    assert (reading.format, reading.count, reading.warnings) == ("qupath", 3, [])


def test_areas_are_unknown_without_a_resolution_and_it_is_said() -> None:
    reading = read(collection(feature(square(1, 1, 9))), SlidePlane(100, 100))
    assert reading.areas_mm2 is None
    assert any("µm/px" in warning for warning in reading.warnings)


@pytest.mark.parametrize("format", ["asap", "imagescope", "qupath"])
def test_every_format_comes_in_and_goes_out_with_its_holes(tmp_path: Path, format: Any) -> None:
    ring = Polygon(square(100, 100, 400), [square(200, 200, 100)])
    write_outlines(tmp_path / "a", [Outline("tumour", ring)], format=format)
    reading = read((tmp_path / "a").read_bytes())
    assert reading.format == format
    assert outlines_of(reading)[0].polygon.equals(ring)
    again = read(OutlineProcess(Limits()).write(reading.content, PLANE, format))
    assert again.format == format
    assert again.areas_mm2 == pytest.approx(reading.areas_mm2)


def test_gzip_is_undone_also_in_several_members() -> None:
    body = collection(feature(square(1, 1, 9)))
    assert read(gzip.compress(body)).count == 1
    assert read(gzip.compress(body[:50]) + gzip.compress(body[50:])).count == 1


def test_ndpa_is_placed_by_the_slide_and_refused_without_what_it_needs() -> None:
    points = "".join(
        f"<point><x>{x * 500}</x><y>{y * 500}</y></point>"
        for x, y in ((-100, -100), (100, -100), (100, 100), (-100, 100))
    )
    ndpa = (
        f'<annotations><ndpviewstate id="1"><title>tumour</title>'
        "<coordformat>nanometers</coordformat>"
        '<annotation type="freehand"><pointlist>'
        f"{points}</pointlist></annotation></ndpviewstate></annotations>"
    ).encode()
    reading = read(ndpa)
    assert reading.format == "ndpa"
    assert outlines_of(reading)[0].polygon.bounds == (900, 400, 1100, 600)
    assert refusal(ndpa, SlidePlane(2000, 1000, mpp=(0.5, 0.5)))[0] == 422


def test_the_origin_is_stated_asked_for_or_assumed_aloud() -> None:
    plain = collection(feature(square(100, 30, 100)))
    stated = collection(feature(square(100, 30, 100)), origin_level0=[0, 0])
    for body, origin, left, warned in (
        (plain, "auto", 400.0, True),
        (plain, "bounds", 400.0, False),
        (plain, "slide", 100.0, False),
        (stated, "auto", 100.0, False),
    ):
        reading = read(body, CROPPED, origin)  # type: ignore[arg-type]
        assert outlines_of(reading)[0].polygon.bounds[0] == left
        assert any("origin=slide" in warning for warning in reading.warnings) is warned
    shown = OutlineProcess(Limits()).write(read(stated, CROPPED).content, CROPPED, "qupath")
    assert json.loads(shown)["origin_level0"] == [300, 70]
    assert outlines_of(read(shown, CROPPED))[0].polygon.bounds[0] == 100


def test_what_was_mended_left_out_or_reaches_beyond_is_warned_of_without_names() -> None:
    bow = [[100, 100], [300, 300], [300, 100], [100, 300], [100, 100]]
    body = collection(
        feature(bow, label=MARK, name=MARK),
        feature([], label=MARK, name=MARK),
        feature(square(1900, 900, 300), label=MARK),
        feature(square(5000, 900, 300), label=MARK),
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}},
    )
    reading = read(body)
    text = "\n".join(reading.warnings)
    for said in ("mended: feature 1", "left out: feature 2", "beyond the slide", "outside the"):
        assert said in text
    assert MARK not in text
    assert {outline.label for outline in outlines_of(reading)} == {MARK}
    assert reading.areas_mm2 is not None and list(reading.areas_mm2) == [MARK]


def test_outlines_of_another_slide_are_refused() -> None:
    status, detail = refusal(collection(feature(square(5000, 5000, 100), label=MARK)))
    assert status == 422 and "another slide" in detail


ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BOMB = f'<!DOCTYPE x [<!ENTITY a0 "{MARK}">{ENTITIES}]><ASAP_Annotations>&a9;</ASAP_Annotations>'
OUTSIDE = f'<!DOCTYPE x SYSTEM "file:///{MARK}"><ASAP_Annotations/>'
ORDER = (
    f'<ASAP_Annotations><Annotations><Annotation Name="{MARK}" Type="Polygon"><Coordinates>'
    f'<Coordinate Order="{MARK}" X="1" Y="2"/></Coordinates></Annotation></Annotations>'
    "</ASAP_Annotations>"
)
BAD = {
    "nothing": (b"", "empty"),
    "blanks": (b" \n ", "empty"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "unknown format"),
    "text": (MARK.encode(), "unknown format"),
    "another XML": (f"<{MARK}/>".encode(), "XML of another kind"),
    "cut XML": (b"<ASAP_Annotations><Annotations>", "not well-formed"),
    "entities": (BOMB.encode(), "DTD or entities"),
    "a DTD": (OUTSIDE.encode(), "DTD or entities"),
    "an encoding": (f'<?xml version="1.0" encoding="{MARK}"?><Annotations/>'.encode(), "XML"),
    "no number": (ORDER.encode(), "annotation 1 has a coordinate that is no number"),
    "deep XML": (b"<ASAP_Annotations>" + b"<a>" * 100, "nested"),
    "cut JSON": (b'{"type": "FeatureCollection", "features": [', "not well-formed JSON"),
    "other JSON": (f'{{"{MARK}": 1}}'.encode(), "no GeoJSON feature"),
    "no features": (b'{"type": "FeatureCollection", "features": 3}', "no list of features"),
    "deep JSON": (b"[" * 100_000, "nested"),
    "deep names": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested"),
    "NaN": (collection(feature([[math.nan, 1], [2, 3], [4, 9]], name=MARK)), "lies on no slide"),
    "infinity": (collection(feature([[math.inf, 1], [2, 3], [4, 9]])), "lies on no slide"),
    "words": (collection(feature([[MARK, 1], [2, 3], [4, 9]], name=MARK)), "not two numbers"),  # type: ignore[list-item]
    "no ring": (collection(feature(3, name=MARK)), "without coordinates"),  # type: ignore[arg-type]
    "control": (collection(feature(square(1, 1, 9), label=MARK + "\x00")), "no file can hold"),
    "surrogate": (collection(feature(square(1, 1, 9), label=MARK + "\ud800")), "no file can hold"),
    "long label": (collection(feature(square(1, 1, 9), label=MARK * 100)), "labels"),
    "cut gzip": (gzip.compress(b"x" * 100)[:-9], "cut short"),
    "no gzip": (b"\x1f\x8b" + bytes(20), "damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_bad_kind_is_refused_with_a_sentence_that_repeats_nothing(kind: str) -> None:
    body, said = BAD[kind]
    status, detail = refusal(body)
    assert status == 422
    assert said in detail


def test_beyond_the_limits() -> None:
    many = collection(feature(*[square(10 * n, 5, 5) for n in range(30)]))
    assert refusal(many, limits=Limits(outline_vertices=100)) == (
        422,
        "More than 100 vertices: simplify the outlines.",
    )
    bomb = gzip.compress(b" " * (64 << 20))
    assert refusal(bomb, limits=Limits(outline_bytes=128 << 20, gzip_ratio=20))[0] == 413
    assert refusal(gzip.compress(many * 2000), limits=Limits(outline_bytes=1 << 20))[0] == 413


def test_a_tangle_is_given_up_in_time() -> None:
    """Twenty stars of 4,000 corners cross themselves millions of times."""
    corners = [[1000 + 400 * math.cos(1.9 * n), 500 + 400 * math.sin(1.9 * n)] for n in range(4000)]
    status, detail = refusal(collection(*[feature(corners, name=MARK)] * 20))
    assert status == 422 and ("crosses itself" in detail or "time" in detail)


@pytest.mark.slow
def test_two_million_vertices_are_read() -> None:
    side = 999  # corners a side of a saw
    saw = [[n, 20 + 10 * (n % 2)] for n in range(side)] + [[side, 0], [0, 0], [0, 20]]
    rings = [[[x, y + 40 * row] for x, y in saw] for row in range(24)]
    reading = read(collection(*[feature(ring) for ring in rings * 80]))
    assert reading.count == 24 * 80


def test_the_best_known_version_is_named_by_its_tag() -> None:
    assert names('"3"', 3) and names('W/"3"', 3) and names('"1", "3"', 3) and names("*", 3)
    assert not names('"3"', 4) and not names(None, 3) and not names("*", 0) and not names("3", 3)
    check_match(None, 5)
    with pytest.raises(Problem) as caught:
        check_match('"4"', 5)
    assert caught.value.status == 412 and caught.value.headers == {"ETag": '"5"'}


@pytest.fixture
def store(tmp_path: Path) -> tuple[OutlineStore, str]:
    """A store, and the id of the only slide."""
    from service.readers.pool import ReaderPool
    from service.records.database import Records
    from service.slides.catalog import Catalog

    (tmp_path / "data").mkdir()
    draw_slide(tmp_path / "data" / "a.png")
    settings = Settings(tmp_path / "data", tmp_path / "state")
    records = Records(settings.database_url)
    records.migrate()
    catalog = Catalog(settings, records, ReaderPool(1))
    return OutlineStore(settings, records, catalog), slide_ids(settings)["a.png"]


def test_of_several_who_change_one_version_one_wins(store: tuple[OutlineStore, str]) -> None:
    outlines, slide_id = store
    reading = Reading("qupath", 0, {}, [], b"")
    outlines.save(LOCAL, slide_id, reading, None)
    done: list[int] = []

    def save() -> None:
        try:
            outlines.save(LOCAL, slide_id, reading, '"1"')
            done.append(200)
        except Problem as problem:
            done.append(int(problem.status))

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [200] + [412] * 7
    assert [saved.version for saved in outlines.history(LOCAL, slide_id)] == [2, 1]


@pytest.mark.parametrize("format", ["asap", "imagescope", "qupath", "ndpa"])
def test_the_largest_real_file_of_each_format_is_read(data: Path, format: str) -> None:
    files = [path for path in (data / "outlines" / format).iterdir() if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    plane = SlidePlane(400_000, 400_000, mpp=(0.25, 0.25), centre_offset_nm=(0.0, 0.0))
    reading = read(largest.read_bytes(), plane)
    assert reading.format == format and reading.count > 0
    assert reading.areas_mm2 is not None and min(reading.areas_mm2.values()) > 0
    assert not any(largest.name in warning for warning in reading.warnings)


async def _thread_is_free(outlines: OutlineStore, threads: int) -> bool:
    """Whether one of so many threads is, while more outlines are to be read."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    body = collection(feature(square(1, 1, 9)))
    asking = [asyncio.create_task(outlines.read(body, PLANE, "slide")) for _ in range(threads + 1)]
    held: list[psutil.Process] = []
    while len(held := [child for child in children() if halt(child)]) < AT_ONCE:
        await asyncio.sleep(0.01)
    try:
        await asyncio.wait_for(asyncio.to_thread(int), SECONDS)
        return True
    except TimeoutError:
        return False
    finally:
        for child in held:
            child.resume()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


def children() -> list[psutil.Process]:
    """The processes that read outlines for this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if "service.outlines.child" in child.cmdline() else []
    return found


def test_outlines_that_wait_take_nobodys_thread(tmp_path: Path) -> None:
    outlines = Services.of(Settings(tmp_path / "data", tmp_path / "state")).outlines
    assert asyncio.run(_thread_is_free(outlines, AT_ONCE + 1))


def test_documents_in_memory_are_counted(tmp_path: Path) -> None:
    outlines = Services.of(Settings(tmp_path / "data", tmp_path / "state")).outlines
    for _ in range(2):  # they come and go
        with ExitStack() as held:
            for _ in range(MOST_IN_MEMORY):
                held.enter_context(outlines.in_memory())
            with pytest.raises(Problem) as caught, outlines.in_memory():
                pass
            assert caught.value.status == 503 and caught.value.headers["Retry-After"]
