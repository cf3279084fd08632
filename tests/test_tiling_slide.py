"""Slides: which files open, which are refused and why, and where their pixels lie."""

import shutil
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from PIL import Image

from annotations.errors import ResolutionError, SlideError
from tests.conftest import data_dir
from tiling.frame import Box, Frame
from tiling.images import read_grey, write_png
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.slide_files import slide_digest
from tiling.tiff_tiles import TiffLevel, open_tiles
from tiling.tile_file import is_readable

RGB = npt.NDArray[np.uint8]
REAL = (
    "slides/packer_example.tif",
    "slides/CMU-1-Small-Region.svs",
    "slides/TCGA-CR-7395-01A-01-TS1.svs",
    "slides/fluorescence TRITC.ndpi",
    "slides/dicom_cmu1_small_region",
    "slides/boxes.tiff",
    "idc/8865.tiff",
    "idc/9124.tiff",
    "glas/train_1.png",
)
FILL = Resolution(0.62)  # for the files that do not say


@cache
def _opened(name: str) -> Slide:
    return Slide.open(data_dir() / name, FILL)


def _windows(frame: Frame, margin: int, seed: int) -> Iterator[Box]:
    rng = np.random.default_rng(seed)
    for _ in range(10):
        x0, x1 = np.sort(rng.integers(-margin, frame.width + margin, 2))
        y0, y1 = np.sort(rng.integers(-margin, frame.height + margin, 2))
        yield Box(int(x0), int(y0), int(x1 - x0) + 1, int(y1 - y0) + 1)
    for x in range(-1, 2):  # slivers on the far edges, where levels may be cut short
        yield Box(frame.width + x, 0, 1, frame.height)
        yield Box(0, frame.height + x, frame.width, 1)


@pytest.mark.parametrize("mpp", [16.0, 4.0, 3.7, 2.0, 1.1])
@pytest.mark.parametrize("name", REAL)
def test_a_pixel_has_the_same_value_in_every_window(data: Path, name: str, mpp: float) -> None:
    slide = _opened(name)
    if max(slide.known_mpp) > 1.5 * mpp:
        with pytest.raises(ResolutionError, match="too coarse"):
            slide.frame(mpp)
        return
    frame, margin = slide.frame(mpp), 20
    whole = slide.read(frame, frame.box.padded(margin))
    for box in _windows(frame, margin - 1, seed=int(mpp * 10)):
        x, y = box.x + margin, box.y + margin
        expected = whole[y : y + box.height, x : x + box.width]
        np.testing.assert_array_equal(slide.read(frame, box), expected, err_msg=str(box))


def test_shifted_origins_agree_where_openslide_interpolates(data: Path) -> None:
    """The level at 4.0058: OpenSlide's own pixels differ by 2 grey levels between origins."""
    slide = _opened("slides/packer_example.tif")
    frame = slide.frame(4.0)
    whole = slide.read(frame, frame.box)
    for shift in range(16):
        box = Box(shift, shift, frame.width - shift, frame.height - shift)
        np.testing.assert_array_equal(slide.read(frame, box), whole[shift:, shift:])


@pytest.mark.parametrize("name", REAL[:-1])
def test_pixels_are_those_that_openslide_returns(data: Path, name: str) -> None:
    slide = _opened(name)
    path = data / name
    file = max(path.iterdir(), key=lambda f: f.stat().st_size) if path.is_dir() else path
    with openslide.OpenSlide(file) as reference:
        for level in slide.levels:
            index = reference.level_dimensions.index(level.size)
            w, h = (min(1500, size) for size in level.size)
            rgba = np.asarray(reference.read_region((0, 0), index, (w, h)))
            assert rgba[..., 3].min() == 255
            np.testing.assert_array_equal(level.read(Box(0, 0, w, h)), rgba[..., :3])


def test_tiled_tiffs_are_read_through_their_own_tiles(data: Path) -> None:
    for name in ("slides/packer_example.tif", "slides/CMU-1-Small-Region.svs", "idc/8865.tiff"):
        assert all(isinstance(level, TiffLevel) for level in _opened(name).levels)


def test_beyond_a_slide_is_white_and_beyond_a_cut_out_its_reflection(data: Path) -> None:
    slide = _opened("slides/packer_example.tif")
    frame = slide.frame(2.0)
    beyond = slide.read(frame, Box(-30, -30, 30, frame.height + 60))
    assert (beyond == 255).all()
    assert (slide.read(frame, Box(frame.width, 0, 5, 5)) == 255).all()
    cut_out = _opened("glas/train_1.png")
    frame = cut_out.frame(1.0)
    inside = cut_out.read(frame, frame.box)
    padded = cut_out.read(frame, frame.box.padded(300))
    np.testing.assert_array_equal(
        padded, np.pad(inside, ((300, 300), (300, 300), (0, 0)), mode="reflect")
    )


@pytest.mark.parametrize("mpp", [0.5, 0.73, 1.0, 2.0, 7.915, 16.0])
@pytest.mark.parametrize("flat", [True, False])
def test_a_constant_slide_stays_constant(tmp_path: Path, mpp: float, flat: bool) -> None:
    pixels = np.broadcast_to(np.array([201, 137, 254], np.uint8), (517, 641, 3))
    path = tmp_path / ("constant.png" if flat else "constant.tiff")
    if flat:
        Image.fromarray(pixels).save(path)
    else:
        write_pyramid(path, [pixels, pixels[:33, :41]], (0.5, 0.5))
    with Slide.open(path, Resolution(0.5)) as slide:
        frame = slide.frame(mpp)
        assert (slide.read(frame, frame.box) == pixels[0, 0]).all()


def write_pyramid(path: Path, levels: list[RGB], mpp: tuple[float, float]) -> None:
    """A tiled lossless TIFF pyramid as OpenSlide's generic-tiff reads it."""
    with tifffile.TiffWriter(path) as tiff:
        for index, level in enumerate(levels):
            tiff.write(
                level,
                tile=(64, 64),
                photometric="rgb",
                compression="deflate",
                subfiletype=int(index > 0),
                resolution=(1e4 / mpp[0], 1e4 / mpp[1]),
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def _drawn(size: tuple[int, int], step: tuple[float, float], rectangle: Box) -> RGB:
    """A black level-0 rectangle on white at `step` level-0 pixels per pixel, exact means."""

    def covered(first: int, last: int, count: int, step: float) -> npt.NDArray[np.float64]:
        left = np.arange(count) * step
        inside = np.minimum(left + step, last) - np.maximum(left, first)
        share: npt.NDArray[np.float64] = np.clip(inside, 0, None) / step
        return share

    across = covered(rectangle.x, rectangle.right, size[0], step[0])
    down = covered(rectangle.y, rectangle.bottom, size[1], step[1])
    grey = np.round(255 * (1 - np.outer(down, across))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _extent(pixels: RGB) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the dark rectangle in pixels, from its profile."""
    dark = 1 - pixels[..., 0] / 255.0
    across, down = dark.max(axis=0), dark.max(axis=1)
    columns, rows = np.arange(across.size) + 0.5, np.arange(down.size) + 0.5
    x, y = (across @ columns) / across.sum(), (down @ rows) / down.sum()
    w, h = across.sum(), down.sum()
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


@pytest.mark.parametrize("step", [(15.83, 15.83), (4.0, 4.0), (15.83, 7.9)])
@pytest.mark.parametrize("mpp", [(0.25, 0.25), (0.25, 0.36)])
@pytest.mark.parametrize("wanted", [0.25, 0.3, 1.0, 3.7, 3.9575, 4.0, 8.0])
def test_what_is_drawn_lies_where_it_should(
    tmp_path: Path, step: tuple[float, float], mpp: tuple[float, float], wanted: float
) -> None:
    rectangle, size = Box(917, 402, 1211, 633), (3166, 1580)
    small = (round(size[0] / step[0]), round(size[1] / step[1]))
    exact = (size[0] / small[0], size[1] / small[1])
    path = tmp_path / "odd.tiff"
    write_pyramid(path, [_drawn(size, (1, 1), rectangle), _drawn(small, exact, rectangle)], mpp)
    with Slide.open(path) as slide:
        assert slide.known_mpp == pytest.approx(mpp, rel=1e-4)
        frame = slide.frame(wanted)
        found = _extent(slide.read(frame, frame.box))
        corners = (
            *frame.from_level0(rectangle.x, rectangle.y),
            *frame.from_level0(rectangle.right, rectangle.bottom),
        )
    assert found == pytest.approx(corners, abs=1.0)


def test_a_square_stays_a_square_where_pixels_are_not(tmp_path: Path) -> None:
    rectangle = Box(160, 100, 400, 200)  # 100 x 100 µm at 0.25 x 0.5 µm/px
    path = tmp_path / "anisotropic.tiff"
    write_pyramid(path, [_drawn((800, 500), (1, 1), rectangle)], (0.25, 0.5))
    with Slide.open(path) as slide:
        frame = slide.frame(1.0)
        assert frame.mpp == (1.0, 1.0)
        assert _extent(slide.read(frame, frame.box)) == pytest.approx((40, 50, 140, 150), abs=0.2)


def test_resolution_missing_or_absurd_names_the_way_out(data: Path, tmp_path: Path) -> None:
    white = np.full((70, 90, 3), 255, np.uint8)
    Image.fromarray(white).save(tmp_path / "flat.png")
    with tifffile.TiffWriter(tmp_path / "zero.tiff") as tiff:
        tiff.write(white, tile=(64, 64), photometric="rgb", resolution=((0, 1), (0, 1)))
    for path in (
        tmp_path / "flat.png",
        tmp_path / "zero.tiff",
        data / "slides/TCGA-CR-7395-01A-01-TS1.svs",
        data / "slides/boxes.tiff",
    ):
        with Slide.open(path) as slide, pytest.raises(ResolutionError, match="--mpp") as caught:
            slide.frame(4.0)
        assert path.name in str(caught.value)


@pytest.mark.parametrize("mpp", [0.0, -0.5, 0.01, 352.8, float("nan"), float("inf")])
def test_no_one_can_state_an_absurd_resolution(mpp: float) -> None:
    with pytest.raises(ResolutionError, match="--mpp"):
        Resolution(mpp)


def test_a_stated_resolution_fills_gaps_and_overrides_only_by_force(data: Path) -> None:
    svs = data / "slides/CMU-1-Small-Region.svs"
    for resolution, expected in (
        (Resolution(), 0.499),
        (Resolution(0.25), 0.499),
        (Resolution(0.25, force=True), 0.25),
    ):
        with Slide.open(svs, resolution) as slide:
            assert slide.known_mpp == (expected, expected)
    with Slide.open(data / "slides/boxes.tiff", Resolution(0.5)) as slide:
        assert slide.known_mpp == (0.5, 0.5)


def _bomb_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _refused(path: Path) -> str:
    with pytest.raises(SlideError) as caught, Slide.open(path, Resolution(0.5)) as slide:
        frame = slide.frame(0.5)
        slide.read(frame, frame.box)
    return str(caught.value)


def test_hostile_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("not a slide")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "bomb.png").write_bytes(_bomb_png())
    (tmp_path / "folder").mkdir()
    for name in ("missing.svs", "empty.svs", "text.svs", "text.png", "bomb.png", "folder"):
        assert name in _refused(tmp_path / name)
    assert "too many" in _refused(tmp_path / "bomb.png")


def test_flat_images_deeper_than_8_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert "8 bits" in _refused(tmp_path / "deep.png")


def test_a_large_flat_image_opens_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (9500, 9500)).save(tmp_path / "large.png")
    assert read_grey(tmp_path / "large.png").shape == (9500, 9500)


def test_real_broken_slides_are_refused_by_name(data: Path) -> None:
    for name in ("broken.svs", "kidney-48-5.tif"):
        assert name in _refused(data / "slides" / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "name", ["slides/CMU-1-Small-Region.svs", "slides/packer_example.tif", "glas/train_1.png"]
)
def test_truncated_files_are_refused_by_name(
    data: Path, tmp_path: Path, name: str, share: float
) -> None:
    whole = (data / name).read_bytes()
    cut = tmp_path / f"cut{Path(name).suffix}"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert cut.name in _refused(cut)


def test_a_dicom_folder_and_each_of_its_files_are_one_slide(data: Path) -> None:
    folder = data / "slides/dicom_cmu1_small_region"
    with Slide.open(folder) as slide:
        frame = slide.frame(4.0)
        expected = slide.read(frame, frame.box)
    for file in sorted(folder.iterdir()):
        with Slide.open(file) as slide:
            assert slide.name == folder.name
            assert slide.frame(4.0) == frame
            np.testing.assert_array_equal(slide.read(frame, frame.box), expected)
        assert slide_digest(file) == slide_digest(folder)


@pytest.mark.parametrize("name", ["with space.svs", "zebra 🦓 fish.svs", "ünï,'\"&.svs"])
def test_odd_file_names(data: Path, tmp_path: Path, name: str) -> None:
    odd = tmp_path / name
    shutil.copyfile(data / "slides/CMU-1-Small-Region.svs", odd)
    with Slide.open(odd) as slide:
        frame = slide.frame(4.0)
        reference = _opened("slides/CMU-1-Small-Region.svs")
        np.testing.assert_array_equal(
            slide.read(frame, frame.box), reference.read(frame, frame.box)
        )
        assert slide.name == odd.stem


def test_nothing_that_can_name_a_patient_is_shown(data: Path) -> None:
    shown = _opened("slides/CMU-1-Small-Region.svs").properties
    assert shown["openslide.vendor"] == "aperio"
    assert not {"aperio.Filename", "aperio.User", "aperio.Date", "openslide.comment"} & set(shown)


def test_an_overview_covers_the_scanned_part(data: Path) -> None:
    slide = _opened("slides/CMU-1-Small-Region.svs")
    picture, downsample = slide.overview(100)
    assert max(picture.shape[:2]) == 100
    assert downsample == pytest.approx((29.67, 29.67))


def test_tiles_too_large_for_memory_are_not_decoded_as_tiles(tmp_path: Path) -> None:
    """A page that claims tiles of 65,536 x 65,536 pixels is left to OpenSlide, or refused."""
    path = tmp_path / "bomb.tif"
    pixels = np.full((256, 256, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileWidth", "TileLength", "ImageWidth", "ImageLength"):
            tiff.pages.first.tags[name].overwrite(65_536)
    with tifffile.TiffFile(path) as tiff:
        assert not is_readable(tiff.pages.first)
    assert open_tiles(path, ((65_536, 65_536),)) is None


def test_a_digest_covers_all_files_of_a_slide(tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    for name in ("a.DCM", "b.dcm"):
        (folder / name).write_bytes(name.encode())
    whole = slide_digest(folder)
    assert slide_digest(folder / "a.DCM") == whole
    (folder / "b.dcm").write_bytes(b"other")
    assert slide_digest(folder) != whole
    (tmp_path / "s.mrxs").write_bytes(b"index")
    (tmp_path / "s").mkdir()
    alone = slide_digest(tmp_path / "s.mrxs")
    (tmp_path / "s" / "Data0001.dat").write_bytes(b"pixels")
    assert slide_digest(tmp_path / "s.mrxs") != alone


def test_labels_of_more_than_a_byte_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(path)
    with pytest.raises(SlideError, match=r"deep\.png"):
        read_grey(path)
    write_png(path, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SlideError, match="one value a pixel"):
        read_grey(path)
