"""Aperio ImageScope's XML: regions in layers; holes are negative regions without a parent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr
from xml.sax.xmlreader import AttributesImpl

import numpy as np
import shapely
from shapely import Polygon, STRtree

from annotations.drawn import Drawn, SlidePlane, without
from annotations.geometry import filled, hole_free_pieces, holes, polygons_from_rings
from annotations.labels import EXCLUSION, LabelRules
from annotations.markup import Reader, read_xml
from annotations.notes import Notes
from annotations.outline import IGNORE, Outline
from annotations.palette import colour
from annotations.shapes import Ring, ellipse_in_box, rectangle

ROOT = "Annotations"
_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"
_SAME_MPP = 0.02


@dataclass(frozen=True)
class _Region:
    name: str
    layer: int
    layer_name: str
    text: str
    polygon: Polygon


class _ImageScopeReader(Reader):
    def __init__(self, notes: Notes) -> None:
        super().__init__(notes)
        self.positives: list[_Region] = []
        self.negatives: list[_Region] = []
        self.mpp: str | None = None
        self._layer = 0
        self._layer_name = ""
        self._region: Mapping[str, str] = {}

    def start(self, name: str, attributes: "AttributesImpl[str]") -> None:
        if name == "Vertex":
            self.add_point(attributes.get("X"), attributes.get("Y"))
        elif name == "Region":
            self._region = dict(attributes.items())
        elif name == "Annotation":
            self._layer += 1
            self._layer_name = attributes.get("Name", "")
        elif name == ROOT:
            self.mpp = attributes.get("MicronsPerPixel")

    def end(self, name: str) -> None:
        if name != "Region":
            return
        text, kind = self._region.get("Text", ""), self._region.get("Type", _FREEHAND)
        identifier, named = self._region.get("Id", ""), self._layer_name or text
        number = identifier if re.fullmatch(r"\d{1,6}", identifier) else "?"
        shape = f"region {number} of layer {self._layer}"
        shape = self.notes.called(shape, f"'{named}'" if named else "")
        ring = self.take_ring(shape)
        if kind not in (_FREEHAND, _RECTANGLE, _ELLIPSE):
            self.notes.add("arrows, rulers and other shapes without an area, left out", shape)
            return
        negative = self._region.get("NegativeROA") == "1"
        found = self.negatives if negative else self.positives
        for polygon in polygons_from_rings([_drawn_ring(kind, ring)], shape, self.notes):
            found.append(_Region(shape, self._layer, self._layer_name, text, polygon))


def _drawn_ring(kind: str, ring: Ring) -> Ring:
    if kind == _RECTANGLE:
        return rectangle(ring)
    # some files keep an edited ellipse's type but hold all its vertices
    return ellipse_in_box(ring) if kind == _ELLIPSE and len(ring) in (2, 4) else ring


def read_imagescope(
    data: bytes, notes: Notes, rules: LabelRules, plane: SlidePlane | None
) -> list[Drawn]:
    """The regions of an ImageScope file, in its order.

    The layer's name says what a region is; the region's own text where the layer has none, or
    where the text says exclusion or ignore. A colour never does. A negative region is a hole in
    the smallest region of its layer that contains it (else of the file; else in the one that it
    overlaps most). A region drawn inside another one of its layer stays an outline of its own, and
    is noted, because some files draw holes that way. Arrows and rulers are left out (and noted).
    """
    reader = _ImageScopeReader(notes)
    read_xml(data, reader)
    _check_mpp(reader.mpp, notes, plane)
    cuts: dict[int, list[Polygon]] = {}
    tree = STRtree([region.polygon for region in reader.positives])
    for negative in reader.negatives:
        parent = _parent(negative, reader.positives, tree, notes)
        if parent is None:
            notes.add("negative regions outside every other region, left out", negative.name)
        else:
            cuts.setdefault(parent, []).append(negative.polygon)
    drawn: list[tuple[int, Drawn]] = []
    for number, region in enumerate(reader.positives):
        left = without(region.polygon, cuts.get(number, []))
        if not left:
            notes.add("regions that negative regions cover wholly, left out", region.name)
        classes = _classes(region, rules)
        drawn += [(region.layer, Drawn(region.name, classes, part)) for part in left]
    _note_nested(drawn, notes)
    return [shape for _, shape in drawn]


def _classes(region: _Region, rules: LabelRules) -> tuple[str, ...]:
    if rules.known(region.text) in (EXCLUSION, IGNORE):
        return (region.text,)
    return (region.layer_name,) if region.layer_name.strip() else (region.text,)


def _check_mpp(text: str | None, notes: Notes, plane: SlidePlane | None) -> None:
    if plane is None or plane.mpp is None or not text:
        return
    try:
        mpp = float(text.replace(",", "."))
    except ValueError:
        return
    if mpp > 0 and abs(mpp / plane.mpp[0] - 1) > _SAME_MPP:
        notes.add(
            f"drawn at {mpp:g} µm/px but the slide has {plane.mpp[0]:g}; they may not match",
            "the whole file",
        )


def _parent(
    negative: _Region, positives: Sequence[_Region], tree: STRtree, notes: Notes
) -> int | None:
    """Which positive region the negative one is a hole of."""
    hole = negative.polygon
    near: list[int] = sorted(tree.query(hole, predicate="intersects").tolist())
    own = [i for i in near if positives[i].layer == negative.layer]
    for candidates in (own, near):
        around = [i for i in candidates if positives[i].polygon.covers(hole)]
        if around:
            return min(around, key=lambda i: positives[i].polygon.area)
    for candidates in (own, near):
        overlaps = {i: positives[i].polygon.intersection(hole).area for i in candidates}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        if best is not None and overlaps[best] > 0:
            notes.add("negative regions that reach out of the one that they are in", negative.name)
            return best
    return None


def _note_nested(drawn: Sequence[tuple[int, Drawn]], notes: Notes) -> None:
    if not drawn:
        return
    polygons = [shape.polygon for _, shape in drawn]
    layers = np.array([layer for layer, _ in drawn])
    inner, outer = STRtree(polygons).query(polygons, predicate="covered_by")
    inside = np.unique(inner[(inner != outer) & (layers[inner] == layers[outer])]).tolist()
    for i in inside:
        notes.add(
            "regions drawn inside another of their layer (some files draw holes that way; they "
            "stay outlines here: make them negative if they are holes)",
            drawn[i][1].name,
        )


def imagescope_document(outlines: Sequence[Outline], mpp: float | None) -> str:
    """An ImageScope file of outlines, a layer a label, holes as negative regions.

    A negative region belongs to the smallest region around it. Where that would be another one
    than the outline whose hole it is, the outline is cut into simple polygons instead.
    """
    resolution = "" if mpp is None else f' MicronsPerPixel="{mpp!r}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{ROOT}{resolution}>"]
    for layer, label in enumerate(dict.fromkeys(o.label for o in outlines), 1):
        red, green, blue = colour(label)
        lines.append(
            f'<Annotation Id="{layer}" Name={quoteattr(label)} ReadOnly="0" Visible="1" '
            f'LineColor="{red + 256 * green + 65536 * blue}" Type="4"><Regions>'
        )
        regions = _regions([o.polygon for o in outlines if o.label == label])
        for number, (polygon, negative) in enumerate(regions, 1):
            lines.append(
                f'<Region Id="{number}" Type="{_FREEHAND}" Text="" '
                f'NegativeROA="{int(negative)}" Area="{polygon.area!r}"><Vertices>'
            )
            ring = shapely.get_coordinates(polygon.exterior)[:-1].tolist()
            lines += [f'<Vertex X="{x!r}" Y="{y!r}" Z="0"/>' for x, y in ring]
            lines.append("</Vertices></Region>")
        lines.append("</Regions></Annotation>")
    return "\n".join([*lines, f"</{ROOT}>", ""])


def _regions(polygons: Sequence[Polygon]) -> list[tuple[Polygon, bool]]:
    """Each region of a layer, and whether it is negative."""
    positives = [[filled(polygon)] for polygon in polygons]
    while split := [i for i in range(len(polygons)) if _loses_a_hole(i, polygons, positives)]:
        for i in split:
            positives[i] = hole_free_pieces(polygons[i])
    regions: list[tuple[Polygon, bool]] = []
    for polygon, written in zip(polygons, positives, strict=True):
        regions += [(piece, False) for piece in written]
        if len(written) == 1:
            regions += [(hole, True) for hole in holes(polygon)]
    return regions


def _loses_a_hole(
    number: int, polygons: Sequence[Polygon], positives: Sequence[Sequence[Polygon]]
) -> bool:
    """Whether a hole of an outline would be taken for one of another outline's."""
    gaps = holes(polygons[number])
    if not gaps or len(positives[number]) > 1:
        return False
    area = positives[number][0].area
    others = [p for i, own in enumerate(positives) if i != number for p in own if p.area <= area]
    return bool(STRtree(others).query(gaps, predicate="covered_by").size)
