"""Small slide files made up for tests: of one file, and of an index that names its pictures."""

import os
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
