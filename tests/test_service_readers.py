"""Slides are decoded by processes that may die, and that see one slide each."""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import tifffile

from annotations.errors import SlideError
from service.http.problems import Problem
from service.readers import pool as pools
from service.readers.crew import TRIES
from service.readers.names import scrubbed
from service.readers.pool import ReaderPool, SlideRef
from service.readers.reader import Reader
from service.readers.slide_ref import own_files
from tests.conftest import REPOSITORY, draw_slide
from tests.made_slides import claim_jpeg_size, write_aperio, write_mirax, write_png_head, write_vms
from tests.patience import SECONDS

T = TypeVar("T")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
MODULE = "service.readers.child"


def with_pool(act: Callable[[ReaderPool], Awaitable[T]], *, most: int = 4) -> T:
    """What `act` returns of a pool that is open meanwhile."""

    async def run() -> T:
        pool = ReaderPool(most, patience=SECONDS)
        await pool.start()
        try:
            return await act(pool)
        finally:
            await pool.close()

    result = asyncio.run(run())
    assert not reader_processes(), "a reader outlived its pool"
    return result


def reader_processes(parent: int | None = None) -> list[psutil.Process]:
    """The readers of a process: this one unless it is named."""
    found = []
    for process in psutil.Process(parent).children():
        try:
            if MODULE in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def at_work(path: Path) -> psutil.Process:
    """The reader that has a file open."""
    [process] = [process for process in reader_processes() if path in opened_by(process.pid)]
    return process


def opened_by(pid: int) -> list[Path]:
    """What a process has open just now; files that it closes meanwhile are left out."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(link.readlink())
    return found


async def asked_in_vain(pool: ReaderPool, slide: SlideRef) -> "asyncio.Task[bytes]":
    """A tile that was asked of a reader that is suspended."""
    asked = asyncio.create_task(pool.tile(slide, 11, 0, 0))
    while not pool.asking:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # now it is the reader's, too
    return asked


@pytest.fixture
def slide(tmp_path: Path) -> SlideRef:
    return SlideRef("a" * 32, write_aperio(tmp_path / "slide.svs"))


def refusal(act: Callable[[ReaderPool], Awaitable[object]]) -> str:
    with pytest.raises(SlideError) as caught:
        with_pool(act)
    return str(caught.value)


def opening(ref: SlideRef) -> Callable[[ReaderPool], Awaitable[object]]:
    return lambda pool: pool.facts(ref)


def test_facts_tiles_and_thumbnails_of_real_slides(data: Path) -> None:
    slides = {
        "CMU-1-Small-Region.svs": ("Aperio SVS", [2220, 2967], 240),
        "TCGA-CR-7395-01A-01-TS1.svs": ("Aperio SVS", [4443, 3567], 256),
        "fluorescence TRITC.ndpi": ("Hamamatsu", [3968, 4864], 256),
        "dicom_cmu1_small_region": ("DICOM whole-slide image", [2220, 2967], 240),
        "packer_example.tif": ("tiled TIFF", [1472, 690], 256),
    }

    async def act(pool: ReaderPool) -> None:
        for name, (form, size, tile) in slides.items():
            ref = SlideRef(name, data / "slides" / name)
            facts = await pool.facts(ref)
            assert (facts["format"], facts["size_level0"], facts["tile_size"]) == (form, size, tile)
            top = facts["dzi_levels"] - 1
            for picture in (await pool.tile(ref, top, 0, 0), await pool.thumbnail(ref, 64)):
                assert picture.startswith(b"\xff\xd8\xff")

    with_pool(act)


def test_facts_hold_no_text_of_the_file(tmp_path: Path) -> None:
    ref = SlideRef("a", write_aperio(tmp_path / "MARKER.svs", AppMag="MARKER", MPP="MARKER"))
    facts = with_pool(lambda pool: pool.facts(ref))
    assert facts["properties"]["openslide.vendor"] == "aperio"
    assert "MARKER" not in str(facts)


def test_a_resolution_fills_a_gap(tmp_path: Path) -> None:
    path = draw_slide(tmp_path / "flat.png")
    facts = with_pool(lambda pool: pool.facts(SlideRef("a", path, mpp=0.5)))
    assert facts["mpp"] == [0.5, 0.5]
    assert facts["format"] == "flat PNG image"


@pytest.mark.parametrize("name", ["none.svs", "empty.svs", "text.svs", "cut.svs", "folder"])
def test_what_is_no_slide_is_refused_without_its_name(
    data: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name != "none.svs":
        whole = (data / "slides/CMU-1-Small-Region.svs").read_bytes()
        path.write_bytes({"empty": b"", "text": b"hello" * 99, "cut": whole[:5000]}[path.stem])
    said = refusal(lambda pool: pool.facts(SlideRef("a", path)))
    assert said.startswith("The slide cannot be read: ")
    assert path.stem not in said.removeprefix("The slide cannot be read: ")
    assert str(tmp_path) not in said


def test_a_reader_that_is_killed_takes_nothing_with_it(slide: SlideRef) -> None:
    """Killed ever again while hundreds of tiles are asked for: each comes, and is the same."""
    places = [(11, column, row) for column in range(8) for row in range(8)]
    answered: list[bytes] = []

    async def tile(pool: ReaderPool, place: tuple[int, int, int]) -> bytes:
        answered.append(await pool.tile(slide, *place))
        return answered[-1]

    async def tiles(pool: ReaderPool) -> list[bytes]:
        return await asyncio.gather(*(tile(pool, place) for place in places))

    async def act(pool: ReaderPool) -> None:
        expected = await tiles(pool)
        for _ in range(3):
            asked = asyncio.gather(*(tiles(pool) for _ in range(5)))
            for _ in range(TRIES - 1):  # no request may lose its reader more often
                enough = len(answered) + 10
                while len(answered) < enough and not asked.done():
                    await asyncio.sleep(0.01)
                for process in reader_processes():
                    process.send_signal(signal.SIGKILL)
            assert all(got == expected for got in await asked)

    with_pool(act)


def test_a_decoder_that_fails_costs_one_request(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        await pool.facts(slide)
        process = at_work(slide.path)
        process.suspend()
        asked = await asked_in_vain(pool, slide)
        process.send_signal(signal.SIGSEGV)
        process.resume()
        with pytest.raises(SlideError, match="its decoder failed"):
            await asked
        assert await pool.tile(slide, 11, 0, 0)

    with_pool(act)


def test_a_decoder_that_hangs_costs_one_request(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        await pool.facts(slide)
        at_work(slide.path).suspend()
        pool.patience = 0.5
        with pytest.raises(SlideError, match="too long"):
            await pool.tile(slide, 11, 0, 0)
        pool.patience = SECONDS
        assert await pool.tile(slide, 11, 0, 0)

    with_pool(act)


def test_a_slide_that_stops_its_readers_again_and_again_is_left_alone(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        for _ in range(3):
            await pool.tile(slide, 11, 0, 0)
            process = at_work(slide.path)
            process.suspend()
            asked = await asked_in_vain(pool, slide)
            process.send_signal(signal.SIGABRT)
            process.resume()
            with pytest.raises(SlideError, match="its decoder failed"):
                await asked
        with pytest.raises(SlideError, match="left alone"):
            await pool.tile(slide, 11, 0, 0)
        while len(reader_processes()) > 1:  # the warm one
            await asyncio.sleep(0.01)

    with_pool(act)


def test_the_slide_that_was_idle_longest_makes_room(tmp_path: Path) -> None:
    refs = [SlideRef(str(n), write_aperio(tmp_path / f"{n}.svs")) for n in range(4)]

    async def act(pool: ReaderPool) -> None:
        for _ in range(2):
            for ref in refs:
                assert await pool.tile(ref, 11, 0, 0)
                assert len(reader_processes()) <= 2 + 1
        at_work(refs[2].path)
        at_work(refs[3].path)

    with_pool(act, most=2)


def test_more_slides_than_readers_at_once_all_get_their_turn(tmp_path: Path) -> None:
    refs = [SlideRef(str(n), write_aperio(tmp_path / f"{n}.svs")) for n in range(5)]

    async def act(pool: ReaderPool) -> None:
        asked = [pool.tile(ref, 11, n % 8, n // 8) for n in range(20) for ref in refs]
        assert all(await asyncio.gather(*asked))

    with_pool(act, most=2)


def test_too_many_requests_are_refused_at_once(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        await pool.facts(slide)
        at_work(slide.path).suspend()
        asked = [
            asyncio.create_task(pool.tile(slide, 11, 0, 0))
            for _ in range(pools.MOST_WAITING_OF_A_SLIDE + 20)
        ]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.exception() for task in done]
        assert any(isinstance(error, Problem) and error.status == 503 for error in refused)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    with_pool(act)


def test_what_nobody_waits_for_any_more_is_not_decoded(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        await pool.tile(slide, 11, 0, 0)
        process = at_work(slide.path)
        process.suspend()
        asked = [asyncio.create_task(pool.thumbnail(slide, 2000)) for _ in range(200)]
        while pool.asking < len(asked) / 2:
            await asyncio.sleep(0.01)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert pool.asking == 0
        before = sum(process.cpu_times()[:2])
        process.resume()
        await pool.tile(slide, 11, 0, 0)
        assert sum(process.cpu_times()[:2]) - before < 5  # 200 would take 20

    with_pool(act)


def test_a_slide_that_changes_is_read_anew(tmp_path: Path) -> None:
    ref = SlideRef("a", write_aperio(tmp_path / "s.svs", seed=1))

    async def act(pool: ReaderPool) -> None:
        stamp, before = await pool.stamp(ref), await pool.tile(ref, 11, 0, 0)
        write_aperio(tmp_path / "new.svs", seed=2).replace(ref.path)
        await asyncio.sleep(pools.SECONDS_UNCHECKED + 0.1)
        assert await pool.stamp(ref) != stamp
        assert await pool.tile(ref, 11, 0, 0) != before

    with_pool(act)


def test_a_forgotten_slide_is_closed(slide: SlideRef) -> None:
    async def act(pool: ReaderPool) -> None:
        await pool.facts(slide)
        process = at_work(slide.path)
        pool.forget(slide.id)
        await asyncio.to_thread(process.wait, SECONDS)

    with_pool(act)


def test_readers_end_with_the_server(slide: SlideRef) -> None:
    code = f"""
import asyncio
from pathlib import Path
from service.readers.pool import ReaderPool, SlideRef
async def main():
    pool = ReaderPool(2)
    await pool.start()
    await pool.facts(SlideRef("a", Path({str(slide.path)!r})))
    print("open", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        readers = reader_processes(server.pid)
        assert readers
        server.kill()
    assert not psutil.wait_procs(readers, timeout=SECONDS)[1]


def test_an_index_that_names_a_file_elsewhere_gets_nothing(tmp_path: Path) -> None:
    """The same index opens where readers are not confined, so it is the jail that stops it."""
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "data"
    for index in (folder / "a.vms", folder / "disguised.svs"):
        write_vms(index, pictures=elsewhere)
        assert opened_unconfined(index) == "open"
        ref = SlideRef("a", index)
        assert refusal(opening(ref)).endswith("broken slide file")


def test_an_index_that_names_an_index_elsewhere_gets_nothing(tmp_path: Path) -> None:
    """Unconfined, MIRAX's reader takes bytes from elsewhere; confined, it cannot open them."""
    path = write_mirax(tmp_path / "data" / "s.mrxs", elsewhere=tmp_path / "elsewhere")
    assert "at beginning of data page" in opened_unconfined(path)
    confined = "from service.readers import jail; from service.readers.slide_ref import own_files;"
    confined += "jail.restrict([*own_files(Path(sys.argv[1])).sees, *jail.program()]);"
    assert "Index.dat: Permission denied" in opened_unconfined(path, before=confined)
    refusal(opening(SlideRef("a", path)))


def opened_unconfined(path: Path, before: str = "") -> str:
    """What a process of its own says of opening a slide."""
    code = f"import sys; from pathlib import Path; from tiling.slide import Slide; {before}"
    command = [
        sys.executable,
        "-c",
        f"{code} Slide.open(Path(sys.argv[1])); print('open')",
        str(path),
    ]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=ONE_THREAD, capture_output=True, text=True, check=False
    )
    said: str = done.stdout.strip() or done.stderr.splitlines()[-1]
    return said


def test_an_index_beside_its_pictures_is_read(tmp_path: Path) -> None:
    path = write_vms(tmp_path / "a.vms", pictures=tmp_path)
    facts = with_pool(lambda pool: pool.facts(SlideRef("a", path)))
    assert facts["format"] == "Hamamatsu"


def test_a_link_out_of_the_slides_folder_is_refused(data: Path, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "dicom", tmp_path / "elsewhere"
    shutil.copytree(data / "slides/dicom_cmu1_small_region", folder)
    elsewhere.mkdir()
    largest = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    hidden = elsewhere / "hidden.dcm"
    shutil.move(largest, hidden)
    largest.symlink_to(hidden)
    said = refusal(lambda pool: pool.facts(SlideRef("a", folder)))
    assert "outside its folder" in said


def test_a_link_swapped_in_is_not_followed(tmp_path: Path) -> None:
    """Between the check of a slide's files and their opening, one becomes a link elsewhere."""
    path = write_aperio(tmp_path / "data" / "s.svs")
    hidden = write_aperio(tmp_path / "elsewhere" / "hidden.svs")

    async def act() -> None:
        files = own_files(path)
        path.unlink()
        path.symlink_to(hidden)
        reader = await Reader.start()
        try:
            with pytest.raises(SlideError):
                await reader.open(files, None, jailed=True, within=SECONDS)
        finally:
            await reader.end()

    asyncio.run(act())


def test_a_reader_cannot_open_the_slide_next_to_its_own(tmp_path: Path) -> None:
    own, other = (write_aperio(tmp_path / name) for name in ("own.svs", "other.svs"))

    async def act(see: Path) -> None:
        files = own_files(other)
        reader = await Reader.start()
        try:
            allowed = type(files)(files.path, (see,), files.stamp)
            await reader.open(allowed, None, jailed=True, within=SECONDS)
        finally:
            await reader.end()

    asyncio.run(act(other))
    with pytest.raises(SlideError):
        asyncio.run(act(own))


def test_without_a_jail_only_formats_of_one_file_are_read(data: Path, tmp_path: Path) -> None:
    index = write_vms(tmp_path / "index.svs", pictures=tmp_path)
    single = write_aperio(tmp_path / "s.svs")

    async def act(pool: ReaderPool) -> None:
        pool.jailed = False
        for path in (index, data / "slides/dicom_cmu1_small_region"):
            with pytest.raises(SlideError, match="can name other files"):
                await pool.facts(SlideRef(path.name, path))
        assert await pool.facts(SlideRef("s", single))

    with_pool(act)


def test_tiles_larger_than_memory_are_refused(tmp_path: Path) -> None:
    path = write_aperio(tmp_path / "bomb.svs")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileWidth", "TileLength", "ImageWidth", "ImageLength"):
            tiff.pages.first.tags[name].overwrite(65_520)

    assert "tiles of 65520 x 65520 pixels" in refusal(opening(SlideRef("a", path)))


def test_a_tile_that_claims_to_be_larger_than_memory_costs_one_request(tmp_path: Path) -> None:
    ref = SlideRef("a", write_aperio(tmp_path / "bomb.svs"))
    claim_jpeg_size(ref.path, 65_500)

    async def act(pool: ReaderPool) -> None:
        with pytest.raises(SlideError, match="The slide cannot be read"):
            await pool.tile(ref, 11, 0, 0)
        assert await pool.tile(ref, 11, 1, 0)

    with_pool(act)


@pytest.mark.parametrize("side", [10_001, 50_000, 2_000_000_000])
def test_pictures_that_claim_too_many_pixels_are_refused(tmp_path: Path, side: int) -> None:
    path = write_png_head(tmp_path / "bomb.png", side)
    assert "over 100 megapixels" in refusal(opening(SlideRef("a", path)))


@pytest.mark.parametrize(
    ("text", "scrub"),
    [
        ("/data/in/Smith 1.svs: broken", "the slide: broken"),
        ("Smith 1.svs: broken", "the slide: broken"),
        ("Couldn't open /data/in/Smith 1/Index.dat: denied", "Couldn't open the slide"),
        ("read ../x of /etc/passwd", "a file"),
        ("tile 1 of level 1 is broken", "tile 1 of level 1 is broken"),
        ("Blacksmith 1", "Blacksmith 1"),
        ("0.5 x 0.5 µm/px", "0.5 x 0.5 µm/px"),
    ],
)
def test_names_are_scrubbed(text: str, scrub: str) -> None:
    said = scrubbed(text, Path("/data/in/Smith 1.svs"))
    assert scrub in said
    assert not re.search(r"\.\.|etc|Index|(?<!Black)Smith", said, re.IGNORECASE)
