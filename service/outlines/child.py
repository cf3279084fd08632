"""Outlines read and written in a process of their own, which may be hostile, vast or slow.

`python -m service.outlines.child`: the first line of its input is a `Task` as JSON, the rest the
document; the first line of its output is an answer, a `Refusal` or what was found, as JSON, the
rest the document that was made.
"""

import gzip
import json
import resource
import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import shapely

from annotations import Outline, SlidePlane, geojson_lines
from annotations.drawn import moved
from annotations.errors import OutlineError
from annotations.files import check_writable, format_of, outline_document, outlines_in
from annotations.notes import Notes
from annotations.origins import ORIGIN, stated_origin_level0
from annotations.qupath import outline_features

from ..http.json_depth import json_depth
from ..process import READING_NICENESS, bound, lower_priority
from .task import Bounds, Task

GZIP = b"\x1f\x8b"
LEAST_UNPACKED = 1 << 20  # what any gzip may expand to
LABELS, LABEL_LENGTH = 1_000, 200


class Refusal(Exception):  # noqa: N818  (what a client is told, not a fault)
    """The document is refused: the HTTP status and the sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def read(body: bytes, task: Task) -> tuple[dict[str, Any], bytes]:
    """What a document holds: {format, count, areas_mm2, warnings}, and gzipped GeoJSON of it.

    Raises:
        Refusal, OutlineError: it cannot be read, or is beyond the bounds.
    """
    notes = Notes("outlines", quoting=False)
    data = unpacked(body, task.bounds)
    if not data.strip():
        raise Refusal(422, "The body is empty: send the outlines, or a collection without any.")
    known = format_of(data, notes)
    if known == "qupath" and json_depth(data) > task.bounds.json_depth:
        raise Refusal(422, f"The JSON is nested more than {task.bounds.json_depth} deep.")
    origin, said = _origin(data, known, task)
    outlines = outlines_in(data, notes, plane=task.plane, origin_level0=origin)
    check_writable(outlines, notes)
    _check_bounds(outlines, task.bounds)
    found = {
        "format": known,
        "count": len(outlines),
        "areas_mm2": areas_mm2(outlines, task.plane),
        "warnings": [*said, *notes.messages(), *_remarks(outlines, task.plane)],
    }
    return found, _stored(outlines)


def write(stored: bytes, task: Task) -> tuple[dict[str, Any], bytes]:
    """Stored outlines as a program wants them; QuPath's begin where it crops the slide.

    Raises:
        OutlineError: a label that the format cannot hold.
    """
    notes = Notes("outlines", quoting=False)
    outlines = outlines_in(gzip.decompress(stored), notes)
    x, y = task.plane.bounds_origin
    if task.format == "qupath":
        return {}, _collection(moved(outlines, (-x, -y)), x, y)
    mpp = task.plane.mpp
    return {}, outline_document(outlines, task.format, mpp=mpp[0] if mpp else None).encode()


def _stored(outlines: Sequence[Outline]) -> bytes:
    """How outlines are kept: gzipped GeoJSON that says that it begins at the slide's corner."""
    return gzip.compress(_collection(outlines, 0.0, 0.0), compresslevel=4, mtime=0)


def _collection(outlines: Sequence[Outline], x: float, y: float) -> bytes:
    """GeoJSON of outlines whose (0, 0) lies at x, y of the slide's full plane, and that says so."""
    return "".join(geojson_lines(outline_features(outlines), members={ORIGIN: [x, y]})).encode()


EMPTY = _stored([])


def unpacked(body: bytes, bounds: Bounds) -> bytes:
    """The document, gzip undone, unless that expands beyond the bounds.

    Raises:
        Refusal: it does, or the gzip is damaged.
    """
    if not body.startswith(GZIP):
        return body
    most = min(bounds.bytes, max(LEAST_UNPACKED, bounds.gzip_ratio * len(body)))
    out, rest = bytearray(), body
    try:
        while rest.startswith(GZIP) and len(out) <= most:  # members may follow one another
            member = zlib.decompressobj(wbits=31)
            out += member.decompress(rest, most + 1 - len(out))
            if not member.eof and len(out) <= most:
                raise Refusal(422, "The gzip is cut short: send it again.")
            rest = member.unused_data
    except zlib.error:
        raise Refusal(422, "The gzip is damaged: send it again.") from None
    if len(out) > most:
        raise Refusal(413, f"The gzip expands to more than {most:,} bytes.")
    return bytes(out)


def areas_mm2(outlines: Sequence[Outline], plane: SlidePlane) -> dict[str, float] | None:
    """mm² by label, holes left out, what several outlines of one label cover counted once.

    None where the slide has no µm/px.
    """
    if plane.mpp is None:
        return None
    of_label: dict[str, list[shapely.Polygon]] = defaultdict(list)
    for outline in outlines:
        of_label[outline.label].append(outline.polygon)
    mm2 = plane.mpp[0] * plane.mpp[1] / 1e6
    return {
        label: float(shapely.union_all(polygons).area) * mm2 for label, polygons in of_label.items()
    }


def _origin(data: bytes, known: str, task: Task) -> tuple[tuple[float, float], list[str]]:
    """Where the document's (0, 0) lies, and what to say where that had to be assumed."""
    crop = task.plane.bounds_origin
    if known == "ndpa" or task.origin == "slide" or not any(crop):
        return (0.0, 0.0), []
    if task.origin == "bounds":
        return crop, []
    if known != "qupath":
        return (0.0, 0.0), []
    stated = stated_origin_level0(data)
    if stated is not None:
        return stated, []
    return crop, [
        f"the slide's scanned region begins at ({crop[0]:g}, {crop[1]:g}), where QuPath begins to "
        "count: the outlines were moved by that much; send them with ?origin=slide if they count "
        "from the slide's own corner"
    ]


def _check_bounds(outlines: Sequence[Outline], bounds: Bounds) -> None:
    vertices = sum(int(shapely.get_num_coordinates(outline.polygon)) for outline in outlines)
    if vertices > bounds.vertices:
        raise Refusal(422, f"More than {bounds.vertices:,} vertices: simplify the outlines.")
    labels = {outline.label for outline in outlines}
    if len(labels) > LABELS or any(len(label) > LABEL_LENGTH for label in labels):
        raise Refusal(
            422, f"More than {LABELS:,} labels, or one of more than {LABEL_LENGTH} characters."
        )


def _remarks(outlines: Sequence[Outline], plane: SlidePlane) -> list[str]:
    said = []
    if plane.mpp is None:
        said.append("the slide does not say its µm/px, so no areas in mm² are known")
    slide = shapely.box(0, 0, plane.width, plane.height)
    beyond = [
        f"outline {number}"
        for number, outline in enumerate(outlines, 1)
        if outline.polygon.intersects(slide) and not slide.covers(outline.polygon)
    ]
    if beyond:
        more = f" and {len(beyond) - 5} more" if len(beyond) > 5 else ""
        said.append(f"outlines that reach beyond the slide: {', '.join(beyond[:5])}{more}")
    return said


def main() -> None:
    """Answer one task."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    task = Task.from_json(source.readline().decode())
    bound(
        {
            resource.RLIMIT_CPU: task.bounds.cpu_seconds,
            resource.RLIMIT_AS: task.bounds.memory_bytes,
            resource.RLIMIT_FSIZE: 0,
        }
    )
    lower_priority(READING_NICENESS)
    content = b""
    try:
        answer, content = (read if task.do == "read" else write)(source.read(), task)
    except Refusal as refusal:
        answer = {"refused": refusal.status, "detail": refusal.detail}
    except OutlineError as error:
        answer = {"refused": 422, "detail": str(error)}
    except (MemoryError, shapely.errors.GEOSException):
        answer = {"refused": 422, "detail": "The outlines are too intricate: simplify them."}
    target.write(json.dumps(answer).encode() + b"\n" + content)


if __name__ == "__main__":
    main()
