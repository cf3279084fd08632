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
KnownFormat = WritableFormat | Literal["ndpa"]

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
    data = content_of(path, notes)
    outlines = outlines_in(data, notes, plane=plane, rules=rules, origin_level0=origin_level0)
    notes.warn()
    return outlines


def outlines_in(
    data: bytes,
    notes: Notes,
    *,
    plane: SlidePlane | None = None,
    rules: LabelRules | None = None,
    origin_level0: tuple[float, float] = (0.0, 0.0),
) -> list[Outline]:
    """The same of a document in memory, not gzipped; what there is to warn of is left in `notes`.

    Raises OutlineError when it is malformed, of no known format, hostile, or of another slide.
    """
    rules, known = rules or LabelRules(), format_of(data, notes)
    outlines = outlines_from(_drawn(data, known, notes, rules, plane), rules, notes)
    outlines = outlines if known == "ndpa" else moved(outlines, origin_level0)
    if plane is not None:
        check_plane(outlines, plane, notes)
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
    notes = Notes(path.name)
    check_writable(outlines, notes)
    placed = moved(outlines, (-origin_level0[0], -origin_level0[1]))
    _publish(path, outline_document(placed, format, mpp=mpp).encode())


def outline_document(
    outlines: Sequence[Outline], format: WritableFormat, *, mpp: float | None = None
) -> str:
    """The text of an outline file; outlines are writable and in the file's own pixels.

    Raises OutlineError for a label that this format cannot hold.
    """
    match format:
        case "asap":
            return asap.asap_document(outlines)
        case "imagescope":
            return imagescope.imagescope_document(outlines, mpp)
        case "qupath":
            return "".join(qupath.geojson_lines(qupath.outline_features(outlines)))
        case _:
            raise OutlineError(f"cannot write '{format}': choose asap, imagescope or qupath")


def content_of(path: Path, notes: Notes) -> bytes:
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
    data: bytes, known: KnownFormat, notes: Notes, rules: LabelRules, plane: SlidePlane | None
) -> list[Drawn]:
    match known:
        case "qupath":
            return qupath.read_qupath(data, notes)
        case "asap":
            return asap.read_asap(data, notes)
        case "imagescope":
            return imagescope.read_imagescope(data, notes, rules, plane)
        case "ndpa":
            return ndpa.read_ndpa(data, notes, plane)


def format_of(data: bytes, notes: Notes) -> KnownFormat:
    """Which program wrote a document, from its first characters.

    Raises OutlineError when it is none whose outlines Extent reads.
    """
    start = _start(data)
    if start[:1] in ("{", "["):
        return "qupath"
    root = _ROOT.match(start, _PROLOGUE.match(start).end())  # type: ignore[union-attr]
    match root and root.group(1):
        case asap.ROOT:
            return "asap"
        case imagescope.ROOT:
            return "imagescope"
        case ndpa.ROOT:
            return "ndpa"
    what = (
        f"XML of another kind{notes.quoted(f'<{root.group(1)}>')}" if root else "no XML and no JSON"
    )
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


def check_writable(outlines: Sequence[Outline], notes: Notes) -> None:
    """Raises OutlineError for a label that no file can hold and for what is no valid polygon."""
    for number, outline in enumerate(outlines, 1):
        label, polygon = outline.label, outline.polygon
        named = notes.called(f"outline {number}", repr(label))
        if not label.strip() or _UNWRITABLE.search(label):
            raise notes.error(f"{named} has a label that no file can hold: rename it")
        if label.strip().casefold() == EXCLUSION:
            raise notes.error(f"{named} has a label that means a hole: rename it")
        if polygon.geom_type != "Polygon" or polygon.is_empty or not polygon.is_valid:
            raise notes.error(f"{named} is not a valid polygon: mend it first")


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
