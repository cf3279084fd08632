"""Outline files from one program's format to another's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from annotations import SlidePlane, WritableFormat, read_outlines, write_outlines
from annotations.errors import UsageError
from annotations.origins import file_origin_level0
from tiling.frame import Pair
from tiling.plane import slide_plane
from tiling.resolution import Resolution
from tiling.slide import Slide

# By the end of the name; the first that fits
SUFFIXES: tuple[tuple[str, WritableFormat], ...] = (
    (".geojson", "qupath"),
    (".json", "qupath"),
    (".imagescope.xml", "imagescope"),
    (".xml", "asap"),
)


@dataclass(frozen=True)
class Conversion:
    """What was done: outlines and holes by label, the format written, the origins used.

    Origins are where the file's (0, 0) lies in level-0 pixels of the full plane.
    """

    outlines: Mapping[str, int]
    holes: int
    format: WritableFormat
    source_origin: Pair
    target_origin: Pair

    @property
    def message(self) -> str:
        """One line for people."""
        total = sum(self.outlines.values())
        each = ", ".join(f"{count} {label}" for label, count in sorted(self.outlines.items()))
        text = f"{total} outline{'s' * (total != 1)}"
        text += f" ({each})" if each else ""
        text += f", {self.holes} hole{'s' * (self.holes != 1)}, written for {self.format}"
        if self.source_origin != self.target_origin:
            moved = " to ".join(
                f"({x:g}, {y:g})" for x, y in (self.source_origin, self.target_origin)
            )
            text += f"; moved from origin {moved}"
        return text


def convert_outlines(
    source: Path,
    target: Path,
    *,
    slide: Path | None = None,
    to: str | None = None,
    resolution: Resolution | None = None,
) -> Conversion:
    """Read outlines of any known format and write them for another program.

    The format follows from `to`, else from the target's name. With `slide`, outlines outside it
    are named, NDPA can be read, ImageScope files state its µm/px, and QuPath's origin is known.

    Raises:
        OutlineError: the source cannot be read or the target written. SlideError: of the slide.
        UsageError: the target is a folder, or its format is unknown.
    """
    if target.is_dir():
        raise UsageError(f"{target}: is a folder; name the file to write")
    written = _format(target, to)
    plane = None if slide is None else _plane(slide, resolution)
    return convert_on(plane, source, target, written)


def convert_on(
    plane: SlidePlane | None, source: Path, target: Path, written: WritableFormat
) -> Conversion:
    """The same on a slide whose plane is known.

    QuPath crops slides that have bounds: on such a plane its files are read and written from the
    bounds' origin, but for our own `extent.geojson`, which says where it begins.
    """
    crop = (0.0, 0.0) if plane is None else plane.bounds_origin
    source_origin = file_origin_level0(source, plane)
    target_origin = crop if written == "qupath" else (0.0, 0.0)
    outlines = read_outlines(source, plane=plane, origin_level0=source_origin)
    mpp = plane.mpp[0] if plane is not None and plane.mpp is not None else None
    write_outlines(target, outlines, format=written, origin_level0=target_origin, mpp=mpp)
    return Conversion(
        outlines=Counter(outline.label for outline in outlines),
        holes=sum(len(outline.polygon.interiors) for outline in outlines),
        format=written,
        source_origin=source_origin,
        target_origin=target_origin,
    )


def _format(target: Path, to: str | None) -> WritableFormat:
    formats: tuple[WritableFormat, ...] = get_args(WritableFormat)
    for known in formats:
        if to == known:
            return known
    if to is not None:
        raise UsageError(f"--to {to}: choose one of {', '.join(formats)}")
    for suffix, known in SUFFIXES:
        if target.name.lower().endswith(suffix):
            return known
    raise UsageError(
        f"{target.name}: the name does not tell the format (.geojson, .xml, .imagescope.xml); "
        f"say it with --to {'|'.join(formats)}"
    )


def _plane(path: Path, resolution: Resolution | None) -> SlidePlane:
    with Slide.open(path, resolution) as slide:
        return slide_plane(slide)
