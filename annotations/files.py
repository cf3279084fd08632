"""Outline files in and out: recognised by their content, capped, written whole or not at all."""

import contextlib
import gzip
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from annotations import asap, imagescope, ndpa, qupath
from annotations.drawn import Drawn, SlidePlane, check_plane, moved, outlines_from
from annotations.errors import OutlineError
from annotations.labels import EXCLUSION, LabelRules
from annotations.notes import Notes
from annotations.outline import Outline

MAX_BYTES = 256 * 1024**2
"""Of one file, after decompression; two million vertices need about 150 MB."""

WritableFormat = Literal["asap", "imagescope", "qupath"]

_GZIP = b"\x1f\x8b"
_PROLOGUE = re.compile(r"(?s:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\]\s*)?>)*")
_ROOT = re.compile(r"<([A-Za-z_][\w.:-]*)")
# What XML 1.0 cannot hold, and what UTF-8 cannot.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def read_outlines(
    path: Path,
    *,
    plane: SlidePlane | None = None,
    rules: LabelRules | None = None,
    origin_level0: tuple[float, float] = (0.0, 0.0),
) -> list[Outline]:
    """The outlines in an ASAP, ImageScope, QuPath or NDPA file, gzipped or not.

    Valid polygons in level-0 pixels of the slide's full plane, in the file's order, exclusions
    taken out. An empty list means a file in which nothing is outlined.
    `plane`: the slide; NDPA needs it, and with it outlines outside the slide are named.
    `rules`: what labels mean; LabelRules() when None.
    `origin_level0`: where the file's (0, 0) lies in the full plane; added. QuPath crops slides
    that have bounds, so that there it is the bounds' origin. Not for NDPA, whose frame is the
    glass.

    Warns (OutlineWarning) of all that was mended or left out. Raises OutlineError when the file is
    missing, malformed, of no known format, too large, hostile, or of another slide.
    """
    notes = Notes(path.name)
    data = _content(path, notes)
    drawn, is_ndpa = _drawn(data, notes, rules or LabelRules(), plane)
    outlines = outlines_from(drawn, rules or LabelRules(), notes)
    outlines = outlines if is_ndpa else moved(outlines, origin_level0)
    if plane is not None:
        check_plane(outlines, plane, notes)
    notes.warn()
    return outlines


def write_outlines(
    path: Path,
    outlines: Sequence[Outline],
    *,
    format: WritableFormat,
    origin_level0: tuple[float, float] = (0.0, 0.0),
    mpp: float | None = None,
) -> None:
    """Write outlines (level-0 pixels of the full plane) so that reading gives them back.

    `origin_level0`: where the file's (0, 0) lies in the full plane; subtracted. `mpp`: level-0
    µm/px, stated in ImageScope files. Same outlines, same bytes; the file appears whole or not at
    all. Raises OutlineError for a label or polygon that the format cannot hold and when the file
    cannot be written.
    """
    for number, outline in enumerate(outlines, 1):
        _check_writable(outline, f"{path.name}: outline {number}")
    placed = moved(outlines, (-origin_level0[0], -origin_level0[1]))
    match format:
        case "asap":
            text = asap.asap_document(placed)
        case "imagescope":
            text = imagescope.imagescope_document(placed, mpp)
        case "qupath":
            features = qupath.outline_features(placed)
            text = qupath.geojson_text(qupath.to_feature_collection(features))
        case _:
            raise OutlineError(f"cannot write '{format}': choose asap, imagescope or qupath")
    _publish(path, text.encode())


def _content(path: Path, notes: Notes) -> bytes:
    """The file's bytes, decompressed; reads no more than MAX_BYTES of either."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data.startswith(_GZIP):
            with gzip.open(path) as packed:
                data = packed.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise notes.error(f"its gzip is damaged ({error}): export it again") from error
    except OSError as error:
        raise OutlineError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise notes.error(
            f"larger than {MAX_BYTES // 1024**2} MiB: simplify the outlines in the program that "
            "drew them, or split the file"
        )
    if not data.strip():
        raise notes.error("it is empty: export the outlines again")
    return data


def _drawn(
    data: bytes, notes: Notes, rules: LabelRules, plane: SlidePlane | None
) -> tuple[list[Drawn], bool]:
    """The shapes, and whether the file is NDPA."""
    start = _start(data)
    if start[:1] in ("{", "["):
        return qupath.read_qupath(data, notes), False
    root = _ROOT.match(start, _PROLOGUE.match(start).end())  # type: ignore[union-attr]
    match root and root.group(1):
        case asap.ROOT:
            return asap.read_asap(data, notes), False
        case imagescope.ROOT:
            return imagescope.read_imagescope(data, notes, rules, plane), False
        case ndpa.ROOT:
            return ndpa.read_ndpa(data, notes, plane), True
    what = f"XML of another kind, <{root.group(1)}>" if root else "no XML and no JSON"
    raise notes.error(
        f"unknown format, {what}: Extent reads outlines of ASAP (XML), ImageScope (XML), QuPath "
        "(GeoJSON) and NDP.view (NDPA)"
    )


def _start(data: bytes) -> str:
    """The first characters, for telling formats apart."""
    head = data[: 64 * 1024]
    utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = head.decode("utf-16" if utf16 else "utf-8", errors="replace")
    return text.lstrip("\ufeff").lstrip()


def _check_writable(outline: Outline, named: str) -> None:
    label, polygon = outline.label, outline.polygon
    if not label.strip() or _UNWRITABLE.search(label):
        raise OutlineError(f"{named} has the label {label!r}, which no file can hold: rename it")
    if label.strip().casefold() == EXCLUSION:
        raise OutlineError(f"{named} has the label '{label}', which means a hole: rename it")
    if polygon.geom_type != "Polygon" or polygon.is_empty or not polygon.is_valid:
        raise OutlineError(f"{named} ('{label}') is not a valid polygon: mend it first")


def _publish(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutlineError(
            f"{path}: cannot be written: {error.strerror}; choose another folder or free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
