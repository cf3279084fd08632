"""Small slide files made up for tests: sound ones, and ones that name or claim too much."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIDE, TILE = 2048, 256


def write_aperio(path: Path, *, seed: int = 0, **facts: str) -> Path:
    """An Aperio slide of 2048 x 2048 pixels, 0.5 µm/px unless `facts` say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(60, 255, (SIDE // 16, SIDE // 16, 3), np.uint8)
    said = {"AppMag": "20", "MPP": "0.5", **facts}
    tifffile.imwrite(
        path,
        coarse.repeat(16, 0).repeat(16, 1),
        tile=(TILE, TILE),
        photometric="rgb",
        compression="jpeg",
        description="Aperio Image|" + "|".join(f"{name} = {said[name]}" for name in said),
        metadata=None,
    )
    return path


def write_vms(index: Path, *, pictures: Path) -> Path:
    """A Hamamatsu VMS index whose two pictures lie in another folder, or beside it."""
    index.parent.mkdir(parents=True, exist_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (512, 1024, 3), np.uint8)
    picture = Image.fromarray(noise)
    whole, small = pictures / f"{index.stem}.jpg", pictures / f"{index.stem}_map.jpg"
    picture.save(whole, restart_marker_blocks=4)
    picture.resize((128, 64)).save(small, restart_marker_blocks=4)
    image, overview = (os.path.relpath(file, index.parent) for file in (whole, small))
    index.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
        f"ImageFile={image}\nMapFile={overview}\n"
        "SourceLens=20\nPhysicalWidth=512000\nPhysicalHeight=256000\n"
    )
    return index


MIRAX = """[GENERAL]
SLIDE_VERSION=01.02
SLIDE_ID=ABC
IMAGENUMBER_X=2
IMAGENUMBER_Y=2
OBJECTIVE_MAGNIFICATION=20
CameraImageDivisionsPerSide=1
[HIERARCHICAL]
INDEXFILE={elsewhere}/Index.dat
HIER_COUNT=1
NONHIER_COUNT=0
HIER_0_NAME=Slide zoom level
HIER_0_COUNT=1
HIER_0_VAL_0=ZoomLevel_0
HIER_0_VAL_0_SECTION=LEVEL_0
[LEVEL_0]
OVERLAP_X=0
OVERLAP_Y=0
MICROMETER_PER_PIXEL_X=0.5
MICROMETER_PER_PIXEL_Y=0.5
IMAGE_FORMAT=JPEG
IMAGE_FILL_COLOR_BGR=16777215
DIGITIZER_WIDTH=256
DIGITIZER_HEIGHT=256
IMAGE_CONCAT_FACTOR=0
[DATAFILE]
FILE_COUNT=1
FILE_0={elsewhere}/Data.dat
"""


def write_mirax(slide: Path, *, elsewhere: Path) -> Path:
    """A MIRAX slide whose index, in another folder, has the right head and nothing more."""
    folder = slide.with_suffix("")
    for made in (folder, elsewhere):
        made.mkdir(parents=True)
    slide.write_bytes(b"MIRAX")
    relative = os.path.relpath(elsewhere, folder)
    (folder / "Slidedat.ini").write_text(MIRAX.format(elsewhere=relative))
    (elsewhere / "Index.dat").write_bytes(b"01.02ABC" + bytes(500))
    (elsewhere / "Data.dat").write_bytes(bytes(100))
    return slide


def claim_jpeg_size(path: Path, side: int) -> None:
    """Have the first tile's JPEG of a TIFF claim to be of `side` x `side` pixels."""
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
        count = tiff.pages.first.databytecounts[0]
    whole = bytearray(path.read_bytes())
    frame = whole.index(b"\xff\xc0", start, start + count)  # marker, length, depth, height, width
    whole[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    path.write_bytes(whole)


def write_png_head(path: Path, side: int) -> Path:
    """A PNG that claims `side` x `side` pixels of RGB and holds none."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    return path
