"""Hamamatsu's NDPA: shapes in nanometres from the middle of the glass; they need their slide."""

from xml.sax.xmlreader import AttributesImpl

import numpy as np
from shapely import Polygon

from annotations.drawn import Drawn, Pair, SlidePlane
from annotations.geometry import polygons_from_rings
from annotations.markup import Reader, read_xml
from annotations.notes import Notes
from annotations.shapes import Ring, ellipse, rectangle

ROOT = "annotations"
_STATE = "ndpviewstate"


class _NdpaReader(Reader):
    def __init__(self, notes: Notes) -> None:
        super().__init__(notes)
        self.shapes: list[tuple[str, str, Ring]] = []
        self.unit: str | None = None
        self._kind = ""
        self._texts: dict[str, str] = {}

    def start(self, name: str, attributes: "AttributesImpl[str]") -> None:
        if name == _STATE:
            self._texts = {}
        elif name == "annotation":
            self._kind = attributes.get("type", "").casefold()
            self._texts = {k: v for k, v in self._texts.items() if k.startswith(_STATE)}
        elif name == "point":
            self._texts.pop("point/x", None)
            self._texts.pop("point/y", None)

    def characters(self, content: str) -> None:
        key = "/".join(self.path[-2:])
        self._texts[key] = self._texts.get(key, "") + content

    def _text(self, key: str) -> str:
        return self._texts.get(key, "").strip()

    def end(self, name: str) -> None:
        if name == "point":
            self.add_point(self._text("point/x"), self._text("point/y"))
        elif name == "annotation":
            self._take(self._text(f"{_STATE}/title"))

    def _take(self, title: str) -> None:
        shape = self.notes.called(
            f"shape {len(self.shapes) + 1}", f"'{title}'", self._kind or "no type"
        )
        ring = self.take_ring(shape)
        unit = self._text(f"{_STATE}/coordformat")
        if unit not in ("", "nanometers", "nanometres"):
            stated = self.notes.quoted(unit) or " another unit"
            raise self.notes.error(
                f"{shape} is in{stated}, Extent reads nanometers only: export it again"
            )
        if self._kind == "circle":
            x, y, radius = (
                self.number(self._text(f"annotation/{key}"), shape) for key in ("x", "y", "radius")
            )
            ring = ellipse((x, y), (radius, radius))
        elif self._kind == "rectangle":
            ring = rectangle(ring)
        elif self._kind != "freehand" or self._text("annotation/closed") == "0":
            self.notes.add("pins, open lines and other shapes without an area, left out", shape)
            ring = np.empty((0, 2))
            shape = ""
        self.shapes.append((shape, title, ring))


def read_ndpa(data: bytes, notes: Notes, plane: SlidePlane | None) -> list[Drawn]:
    """The closed shapes of an NDPA file, in its order, their titles as names.

    x_px = (x_nm - XOffsetFromSlideCentre) / (1000 µm/px) + width / 2, y alike. Pins, pointers,
    rulers and open lines are left out (and noted).
    Raises OutlineError without a slide, its µm/px or its offset from the middle of the glass.
    """
    reader = _NdpaReader(notes)
    read_xml(data, reader)
    plane, mpp, offset_nm = _needed(plane, notes)
    scale = np.array(mpp) * 1000
    middle = np.array([plane.width, plane.height]) / 2
    drawn: list[Drawn] = []
    for shape, title, ring_nm in reader.shapes:
        if not shape:
            continue
        ring = (ring_nm - np.array(offset_nm)) / scale + middle
        polygons: list[Polygon] = polygons_from_rings([ring], shape, notes)
        drawn += [Drawn(shape, (title,), polygon) for polygon in polygons]
    return drawn


def _needed(plane: SlidePlane | None, notes: Notes) -> tuple[SlidePlane, Pair, Pair]:
    if plane is None:
        raise notes.error(
            "an NDPA file is in nanometers from the middle of the glass and cannot be read "
            "without its slide: name the slide (--slide)"
        )
    if plane.mpp is None:
        raise notes.error("an NDPA file needs the slide's µm/px, which is missing: give --mpp")
    if plane.centre_offset_nm is None:
        raise notes.error(
            "an NDPA file needs the slide's offset from the middle of the glass, which only "
            "Hamamatsu slides state: name the slide that it was drawn on"
        )
    return plane, plane.mpp, plane.centre_offset_nm
