"""What a slide file holds: its format's name and its levels."""

from dataclasses import dataclass

from .slide import Slide

FORMATS = {
    "aperio": "Aperio SVS",
    "dicom": "DICOM whole-slide image",
    "generic-tiff": "tiled TIFF",
    "hamamatsu": "Hamamatsu",
    "leica": "Leica SCN",
    "mirax": "MIRAX",
    "philips": "Philips TIFF",
    "sakura": "Sakura",
    "synthetic": "OpenSlide test pattern",
    "trestle": "Trestle",
    "ventana": "Ventana",
    "zeiss": "Zeiss CZI",
}


@dataclass(frozen=True)
class LevelFacts:
    """One stored resolution; `read` tells whether its pixels lie on an exact grid, so that Extent
    reads it."""

    width: int
    height: int
    downsample: float
    read: bool


def format_name(slide: Slide) -> str:
    """The format, for people."""
    if slide.flat:
        return f"flat {slide.path.suffix[1:].upper()} image"
    vendor = slide.properties.get("openslide.vendor", "unknown")
    return FORMATS.get(vendor, vendor)


def stored_levels(slide: Slide) -> list[LevelFacts]:
    """The levels that the file holds; of a flat image its one."""
    used = {level.size for level in slide.levels}
    facts = []
    for number in range(int(slide.properties.get("openslide.level-count", 0))):
        key = f"openslide.level[{number}]."
        size = (int(slide.properties[key + "width"]), int(slide.properties[key + "height"]))
        downsample = float(slide.properties[key + "downsample"])
        facts.append(LevelFacts(*size, downsample, size in used))
    return facts or [LevelFacts(*slide.size_level0, 1.0, True)]
