"""From the shapes that a file holds to outlines: labels, exclusions, and the slide's plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import shapely
from shapely import Polygon, STRtree, box
from shapely.affinity import translate

from annotations.geometry import filled, holes, parts
from annotations.labels import EXCLUSION, LabelRules
from annotations.notes import Notes
from annotations.outline import IGNORE, Outline

Pair = tuple[float, float]

_SAME = 1e-9  # of an area: what two programs' rounding may differ by


@dataclass(frozen=True)
class SlidePlane:
    """What a reader of outlines may need of the slide.

    `width`, `height`: level-0 pixels of the full plane. `mpp`: µm per level-0 pixel, x and y.
    `centre_offset_nm`: from the middle of the glass to the middle of the image, nm
    (`hamamatsu.XOffsetFromSlideCentre` and Y). `bounds_origin`: where the scanned region begins,
    level-0 pixels (`openslide.bounds-x` and y).
    """

    width: int
    height: int
    mpp: Pair | None = None
    centre_offset_nm: Pair | None = None
    bounds_origin: Pair = (0.0, 0.0)


@dataclass(frozen=True)
class Drawn:
    """One shape of a file: `classes` and `own_name` as LabelRules.label_of wants them.

    `name` is how messages call it. The polygon is valid, in the file's pixels.
    """

    name: str
    classes: tuple[str, ...]
    polygon: Polygon
    own_name: str = ""


@dataclass(frozen=True)
class _Labelled:
    label: str
    name: str
    whole: Polygon
    parts: tuple[Polygon, ...]


def outlines_from(drawn: Sequence[Drawn], rules: LabelRules, notes: Notes) -> list[Outline]:
    """Outlines in the file's order: labels resolved, exclusions taken out of all but `ignore`."""
    labelled: list[_Labelled] = []
    exclusions: list[Polygon] = []
    for shape in drawn:
        label = rules.label_of(shape.classes, shape.own_name)
        if label is None:
            notes.add("shapes without a label, left out", shape.name)
        elif label == EXCLUSION:
            exclusions.append(shape.polygon)
        else:
            labelled.append(_Labelled(label, shape.name, shape.polygon, (shape.polygon,)))
    if exclusions:
        labelled = _without_repeated_islands(_excluded(labelled, exclusions, notes))
    return [Outline(shape.label, part) for shape in labelled for part in shape.parts]


def without(polygon: Polygon, cuts: Sequence[Polygon]) -> list[Polygon]:
    """What is left of `polygon` outside all `cuts`."""
    return parts(polygon.difference(shapely.union_all(list(cuts)))) if cuts else [polygon]


def _excluded(
    labelled: Sequence[_Labelled], exclusions: Sequence[Polygon], notes: Notes
) -> list[_Labelled]:
    tree = STRtree(list(exclusions))
    left: list[_Labelled] = []
    for shape in labelled:
        if shape.label == IGNORE:
            left.append(shape)
            continue
        hits = sorted(tree.query(shape.whole, predicate="intersects").tolist())
        rest = without(shape.whole, [exclusions[i] for i in hits])
        if not rest:
            notes.add("shapes that exclusions cover wholly, left out", shape.name)
        left.append(_Labelled(shape.label, shape.name, shape.whole, tuple(rest)))
    return left


def _without_repeated_islands(labelled: Sequence[_Labelled]) -> list[_Labelled]:
    """Islands once each.

    In ASAP a hole with an island is an exclusion of the hole less the island, and the island is a
    shape as well: what the exclusion leaves of the shape around it repeats the island. Such a part
    is dropped where shapes of the same label cover it, so no label's union changes.
    """
    kept = []
    for shape in labelled:
        islands = _islands(shape.parts)
        if islands:
            inner = [
                part
                for other in labelled
                if other.label == shape.label and other.whole.area < shape.whole.area
                for part in other.parts
            ]
            tree = STRtree(inner)
            shape = _Labelled(
                shape.label,
                shape.name,
                shape.whole,
                tuple(
                    part
                    for number, part in enumerate(shape.parts)
                    if number not in islands or not _covered(part, inner, tree)
                ),
            )
        kept.append(shape)
    return kept


def _islands(pieces: Sequence[Polygon]) -> set[int]:
    """Which pieces lie in a hole of another."""
    if len(pieces) < 2:
        return set()
    inner_rings = [hole for piece in pieces for hole in holes(piece)]
    if not inner_rings:
        return set()
    pairs = STRtree(inner_rings).query([filled(p) for p in pieces], predicate="covered_by")
    return {int(i) for i in pairs[0]}


def _covered(part: Polygon, others: Sequence[Polygon], tree: STRtree) -> bool:
    near = [others[i] for i in tree.query(part, predicate="intersects")]
    return bool(part.difference(shapely.union_all(near)).area <= _SAME * part.area)


def moved(outlines: Sequence[Outline], origin_level0: Pair) -> list[Outline]:
    """The outlines with the file's (0, 0) laid at `origin_level0` of the full plane."""
    if origin_level0 == (0.0, 0.0):
        return list(outlines)
    return [
        Outline(outline.label, part)
        for outline in outlines
        for part in valid_parts(translate(outline.polygon, *origin_level0))
    ]


def valid_parts(polygon: Polygon) -> list[Polygon]:
    """The polygon, mended where rounding has made it touch itself."""
    if polygon.is_valid:
        return [polygon]
    return parts(shapely.make_valid(polygon, method="structure", keep_collapsed=False))


def check_plane(outlines: Sequence[Outline], plane: SlidePlane, notes: Notes) -> None:
    """Note the outlines that lie wholly outside the slide.

    Raises OutlineError when there are outlines and all do: then they are of another slide.
    """
    slide = box(0, 0, plane.width, plane.height)
    outside = [
        notes.called(
            f"outline {number}",
            f"'{outline.label}'",
            f"from {outline.polygon.bounds[0]:.0f}, {outline.polygon.bounds[1]:.0f}",
        )
        for number, outline in enumerate(outlines, 1)
        if not outline.polygon.intersects(slide)
    ]
    size = f"{plane.width} x {plane.height} px"
    if outside and len(outside) == len(outlines):
        origin = " or give the origin that it was drawn from" if any(plane.bounds_origin) else ""
        raise notes.error(
            f"every outline lies outside the slide of {size}, the first at {outside[0]}: "
            f"it seems to be of another slide; name the right file{origin}"
        )
    for name in outside:
        notes.add(f"outlines wholly outside the slide of {size}", name)
