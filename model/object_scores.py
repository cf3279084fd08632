"""Objects against objects, as the GlaS challenge compares them (Sirinukunwattana et al. 2017).

An object's partner is the one of the other side that it shares the largest area with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon, STRtree

from tiling.frame import Frame

from .hausdorff import distance_um, nearest_um
from .metrics import Floats, Statistic, ratio

OVERLAP = 0.5  # of the expert's object, from which on it is found


@dataclass(frozen=True)
class ObjectSums:
    """What figures of objects are made of: of one slide, or added up over any; arrays of one shape.

    `expert`, `said`: how many objects there are; `found`: those of the map that cover at least half
    of their partner; `hit`: those of the expert so covered. `..._area` in µm²; `..._dice` and
    `..._distance` add up area times the Dice with the partner and area times the Hausdorff distance
    from it in µm. Distances take objects on both sides: `..._apart` are the areas where there are.
    """

    expert: Floats
    said: Floats
    found: Floats
    hit: Floats
    expert_area: Floats
    said_area: Floats
    expert_dice: Floats
    said_dice: Floats
    expert_apart: Floats
    said_apart: Floats
    expert_distance: Floats
    said_distance: Floats

    @classmethod
    def of(cls, expert: Sequence[Polygon], said: Sequence[Polygon], frame: Frame) -> Self:
        """Compare polygons in level-0 pixels; distances are taken on the pixels of `frame`."""
        one, other = _Side.of(expert, said, frame), _Side.of(said, expert, frame)
        paired = np.flatnonzero(other.partner >= 0)
        partner = other.partner[paired]
        covered = partner[other.shared_um2[paired] >= OVERLAP * one.areas_um2[partner]]
        both = float(bool(expert and said))
        values = (
            len(expert),
            len(said),
            len(covered),
            len(np.unique(covered)),
            *(side.areas_um2.sum() for side in (one, other)),
            *(side.areas_um2 @ side.dice(facing) for side, facing in ((one, other), (other, one))),
            *(side.areas_um2.sum() * both for side in (one, other)),
            *(side.areas_um2 @ side.distance_um for side in (one, other)),
        )
        return cls.of_array(np.array(values, np.float64))

    @classmethod
    def of_array(cls, sums: Floats) -> Self:
        """From what `array` gives, or sums of it; float64 [..., 12]."""
        return cls(*np.moveaxis(sums, -1, 0))

    @property
    def array(self) -> Floats:
        """The values in their order, float64 [..., 12]."""
        return np.stack(astuple(self), axis=-1)

    @property
    def f1(self) -> Floats:
        """2 found / (2 found + false alarms + missed)."""
        wrong = (self.said - self.found) + (self.expert - self.hit)
        return ratio(2 * self.found, 2 * self.found + wrong)

    @property
    def precision(self) -> Floats:
        """Of the map's objects, the share that cover half of their partner."""
        return ratio(self.found, self.said)

    @property
    def recall(self) -> Floats:
        """Of the expert's objects, the share that are covered so."""
        return ratio(self.hit, self.expert)

    @property
    def dice(self) -> Floats:
        """Mean of both sides' Dice with the partner, objects weighted by their area."""
        return 0.5 * (
            ratio(self.expert_dice, self.expert_area) + ratio(self.said_dice, self.said_area)
        )

    @property
    def hausdorff_um(self) -> Floats:
        """Mean of both sides' Hausdorff distance from the partner, weighted in the same way."""
        return 0.5 * (
            ratio(self.expert_distance, self.expert_apart)
            + ratio(self.said_distance, self.said_apart)
        )


OBJECT_MEASURES: Mapping[str, Callable[[ObjectSums], Floats]] = {
    "f1": lambda sums: sums.f1,
    "precision": lambda sums: sums.precision,
    "recall": lambda sums: sums.recall,
    "dice": lambda sums: sums.dice,
    "hausdorff_um": lambda sums: sums.hausdorff_um,
}


def of_objects(measure: Callable[[ObjectSums], Floats], sums: Floats) -> Statistic:
    """A measure of the objects of weighted patients; sums float64 [P, 12]."""
    return lambda weights: measure(ObjectSums.of_array(weights @ sums))


@dataclass(frozen=True)
class _Side:
    """The objects of one side [n]: `partner` among the other's, -1 where nothing overlaps.

    `distance_um`: from the partner; without one from whichever of the other side is least far.
    """

    areas_um2: Floats
    partner: npt.NDArray[np.int64]
    shared_um2: Floats
    distance_um: Floats

    @classmethod
    def of(cls, own: Sequence[Polygon], others: Sequence[Polygon], frame: Frame) -> Self:
        um2 = frame.mpp[0] * frame.mpp[1] / (frame.downsample[0] * frame.downsample[1])
        mine, yours = np.array(own, np.object_), np.array(others, np.object_)
        first, second = STRtree(yours).query(mine, predicate="intersects")
        common = shapely.area(shapely.intersection(mine[first], yours[second])) * um2
        partner, shared = np.full(len(own), -1), np.zeros(len(own))
        order = np.lexsort((-second, common))  # the largest last: it stays
        order = order[common[order] > 0]
        partner[first[order]], shared[first[order]] = second[order], common[order]
        distances = [
            distance_um(polygon, others[p], frame) if p >= 0 else nearest_um(polygon, others, frame)
            for polygon, p in zip(own, partner.tolist(), strict=True)
        ]
        return cls(shapely.area(mine) * um2, partner, shared, np.array(distances, np.float64))

    def dice(self, facing: "_Side") -> Floats:
        """Of each object with its partner; 0 without one."""
        total = self.areas_um2 + np.append(facing.areas_um2, 0.0)[self.partner]
        return ratio(2 * self.shared_um2, total)
