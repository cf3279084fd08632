"""ASAP's XML: polygons, rectangles and splines in groups; holes are exclusion groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr
from xml.sax.xmlreader import AttributesImpl

import numpy as np
import shapely
from shapely import Polygon, STRtree

from annotations.drawn import Drawn
from annotations.errors import OutlineError
from annotations.geometry import filled, hole_free_pieces, holes, parts, polygons_from_rings
from annotations.markup import Reader, read_xml
from annotations.notes import Notes
from annotations.outline import IGNORE, Outline
from annotations.palette import hex_colour
from annotations.shapes import Ring, closed_spline, rectangle

ROOT = "ASAP_Annotations"
_NO_GROUP = "None"
_EXCLUSION_GROUP = "Exclusion"
_DRAWN_TYPES = ("polygon", "rectangle", "spline")


@dataclass(frozen=True)
class _Annotation:
    name: str
    own_name: str
    group: str
    polygons: tuple[Polygon, ...]


class _AsapReader(Reader):
    def __init__(self, notes: Notes) -> None:
        super().__init__(notes)
        self.annotations: list[_Annotation] = []
        self.parents: dict[str, str] = {}
        self._attributes: Mapping[str, str] = {}
        self._orders: list[str | None] = []
        self._number = 0

    def start(self, name: str, attributes: "AttributesImpl[str]") -> None:
        if name == "Coordinate":
            self.add_point(attributes.get("X"), attributes.get("Y"))
            self._orders.append(attributes.get("Order"))
        elif name == "Annotation":
            self._attributes = dict(attributes.items())
            self._number += 1
        elif name == "Group":
            self.count(1)
            self.parents[attributes.get("Name", "")] = attributes.get("PartOfGroup", _NO_GROUP)

    def end(self, name: str) -> None:
        if name != "Annotation":
            return
        own_name = self._attributes.get("Name", "")
        kind = self._attributes.get("Type", "Polygon")
        shape = self.notes.called(f"annotation {self._number}", f"'{own_name}'", kind)
        ring = self._ordered(self.take_ring(shape), shape)
        if kind.casefold() not in _DRAWN_TYPES:
            self.notes.add("points, lines and other shapes without an area, left out", shape)
            return
        if kind.casefold() == "rectangle":
            ring = rectangle(ring)
        elif kind.casefold() == "spline":
            ring = closed_spline(ring)
        group = self._attributes.get("PartOfGroup", _NO_GROUP)
        polygons = polygons_from_rings([ring], shape, self.notes)
        self.annotations.append(_Annotation(shape, own_name, group, tuple(polygons)))

    def _ordered(self, ring: Ring, shape: str) -> Ring:
        """`Order` says in which order the points go, whatever the order in the file."""
        orders, self._orders = self._orders, []
        if all(order is None for order in orders):
            return ring
        return ring[np.argsort([self.number(order, shape) for order in orders], kind="stable")]

    def groups_around(self, group: str) -> tuple[str, ...]:
        """The group and those that it is part of, innermost first."""
        found: list[str] = []
        while group and group != _NO_GROUP and group not in found:
            found.append(group)
            group = self.parents.get(group, _NO_GROUP)
        return tuple(found)


def read_asap(data: bytes, notes: Notes) -> list[Drawn]:
    """The shapes of an ASAP file, in its order.

    The group says what a shape is; where no rule knows it, a group around it; where there is none,
    the shape's name. Dots, point sets and measurements are left out (and noted).
    """
    reader = _AsapReader(notes)
    read_xml(data, reader)
    return [
        Drawn(a.name, reader.groups_around(a.group), polygon, a.own_name)
        for a in reader.annotations
        for polygon in a.polygons
    ]


def asap_document(outlines: Sequence[Outline]) -> str:
    """An ASAP file of outlines; every group that it uses is declared.

    ASAP has no holes, and paints exclusions over everything. A hole is therefore written as an
    exclusion, less the islands in it, cut into simple polygons. Where a hole holds part of an
    outline that such an exclusion would wrong (one of another label, or one that reaches out of
    the hole), and for `ignore`, the outline around the hole is itself cut into simple polygons.
    """
    drawn: list[tuple[str, Polygon]] = []
    exclusions: dict[bytes, Polygon] = {}
    classes = [outline for outline in outlines if outline.label != IGNORE]
    tree = STRtree([outline.polygon for outline in classes])
    for outline in outlines:
        if outline.label == _NO_GROUP:
            raise OutlineError(f"ASAP cannot hold the label '{_NO_GROUP}': rename it")
        cuts = None if outline.label == IGNORE else _exclusions_of(outline, classes, tree)
        if cuts is None:
            drawn += [(outline.label, piece) for piece in hole_free_pieces(outline.polygon)]
        else:
            drawn.append((outline.label, filled(outline.polygon)))
            exclusions.update((cut.wkb, cut) for cut in cuts)
    drawn += [(_EXCLUSION_GROUP, cut) for cut in exclusions.values()]
    return _document(drawn)


def _exclusions_of(
    outline: Outline, classes: Sequence[Outline], tree: STRtree
) -> list[Polygon] | None:
    """Simple polygons that leave exactly the holes open, islands kept; None if there are none."""
    cuts: list[Polygon] = []
    for hole in holes(outline.polygon):
        islands = []
        for i in tree.query(hole, predicate="intersects").tolist():
            other = classes[i]
            if hole.touches(other.polygon):
                continue
            if other.label != outline.label or not hole.covers(other.polygon):
                return None
            islands.append(other.polygon)
        for piece in parts(hole.difference(shapely.union_all(islands))):
            cuts += hole_free_pieces(piece)
    return cuts


def _document(drawn: Sequence[tuple[str, Polygon]]) -> str:
    lines = ['<?xml version="1.0"?>', f"<{ROOT}>", "\t<Annotations>"]
    for number, (group, polygon) in enumerate(drawn):
        lines.append(
            f'\t\t<Annotation Name="Annotation {number}" Type="Polygon" '
            f'PartOfGroup={quoteattr(group)} Color="{hex_colour(group)}">'
        )
        lines.append("\t\t\t<Coordinates>")
        ring = shapely.get_coordinates(polygon.exterior)[:-1].tolist()
        lines += [
            f'\t\t\t\t<Coordinate Order="{order}" X="{x!r}" Y="{y!r}" />'
            for order, (x, y) in enumerate(ring)
        ]
        lines += ["\t\t\t</Coordinates>", "\t\t</Annotation>"]
    lines += ["\t</Annotations>", "\t<AnnotationGroups>"]
    lines += [
        f'\t\t<Group Name={quoteattr(group)} PartOfGroup="{_NO_GROUP}" '
        f'Color="{hex_colour(group)}"><Attributes /></Group>'
        for group in dict.fromkeys(group for group, _ in drawn)
    ]
    return "\n".join([*lines, "\t</AnnotationGroups>", f"</{ROOT}>", ""])
