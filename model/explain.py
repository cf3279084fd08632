"""Why here: what in and around a region speaks for the foreground class and what against it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage, stats

from tiling.frame import Box, Pair
from tiling.slide import Slide

from .attribution import (
    NODES,
    TURNS,
    Floats,
    Patches,
    density_of,
    integrated_gradients,
    occlusion,
    planes_of,
    randomised,
    stand_ins_of,
)
from .checkpoint import Checkpoint
from .network import Network
from .site import Score, Site, as_planes
from .torch_predictor import folded

RANDOM_NETWORKS = 3
SMOOTH = 6.0  # pixels, the Gaussian by which gradients are smoothed to be looked at
MOST_PLACES = 5
LEAST_PLACE = 0.1  # of the strongest influence
MOST_CORRELATION = 0.5  # with shuffled networks, for a picture to count
REACH = 0.9  # of the influence, for the distance within which so much of it lies

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Place:
    """A place with influence: where, by how much the log-odds fall without it, how far away.

    `outside_um` is the distance from the region; 0 within it.
    """

    x_level0: float
    y_level0: float
    effect: float
    outside_um: float


@dataclass(frozen=True)
class Explanation:
    """What speaks for the foreground in a region; effects are in log-odds, their mean over it.

    `effects` [ny, nx]: by how much these fall when stroma takes a patch's place. `stains`
    [3, h, w]: integrated gradients of haematoxylin, eosin and what is neither, a pixel of the
    window; their sum is `score` less `replaced`, the score when all is stroma. `shuffled`: such
    gradients [h, w], all stains, of networks with shuffled weights.
    """

    site: Site
    score: float
    replaced: float
    patches: Patches
    effects: Floats
    stains: Floats
    shuffled: tuple[Floats, ...]

    @cached_property
    def influence(self) -> Floats:
        """`effects` as a picture [h, w]."""
        return self.patches.spread(self.effects)

    def shown(self, gradients: Floats) -> Floats:
        """Gradients [h, w] smoothed, in log-odds a patch, as `effects` are."""
        smooth: Floats = ndimage.gaussian_filter(gradients, SMOOTH, mode="constant")
        return smooth * self.patches.step**2

    @cached_property
    def outside_um(self) -> Floats:
        """How far each pixel lies from the region; 0 within it; [h, w]."""
        region, frame = self.site.region, self.site.frame
        outside = np.ones((frame.height, frame.width), np.bool_)
        outside[region.y : region.bottom, region.x : region.right] = False
        away: Floats = ndimage.distance_transform_edt(outside, sampling=frame.mpp[::-1])
        return away

    @property
    def inside_share(self) -> float:
        """The share of the influence, whatever its sign, that lies within the region; 0-1."""
        strength = np.abs(self.influence)
        return float(strength[self.outside_um == 0].sum() / max(strength.sum(), 1e-12))

    @property
    def reach_um(self) -> float:
        """How far from the region one must go for REACH of the influence, whatever its sign."""
        order = np.argsort(self.outside_um, axis=None, kind="stable")
        sums = np.abs(self.influence).ravel()[order].cumsum()
        return float(self.outside_um.ravel()[order[np.searchsorted(sums, REACH * sums[-1])]])

    @property
    def places(self) -> list[Place]:
        """The patches with most influence, strongest first, none beside another."""
        strength = np.abs(self.effects)
        found: list[tuple[int, int]] = []
        least = LEAST_PLACE * strength.max()
        for flat in np.argsort(-strength, axis=None, kind="stable"):
            at = np.unravel_index(flat, strength.shape)
            if len(found) == MOST_PLACES or not strength[at] > least:
                break
            if all(max(abs(at[0] - y), abs(at[1] - x)) > 1 for y, x in found):
                found.append((int(at[0]), int(at[1])))
        return [self._place(y, x) for y, x in found]

    def _place(self, row: int, column: int) -> Place:
        frame, (x, y) = self.site.frame, self.centre(row, column)
        away = self.outside_um[min(int(y), frame.height - 1), min(int(x), frame.width - 1)]
        return Place(*frame.to_level0(x, y), float(self.effects[row, column]), float(away))

    def centre(self, row: int, column: int) -> Pair:
        """The middle of a patch, x and y in the window's pixels."""
        return (column + 0.5) * self.patches.step, (row + 0.5) * self.patches.step

    @property
    def left_over(self) -> float:
        """What the gradients' sum lacks of what it should be, as a share of that."""
        due = self.score - self.replaced
        return float(abs(self.stains.sum() - due) / max(abs(due), 1e-12))

    @property
    def agreement(self) -> float:
        """Spearman's rank correlation of occlusion and gradients over the patches."""
        return _rank_correlation(self.effects, self._gathered)

    @property
    def correlations(self) -> list[float]:
        """The same of the network's gradients and those of each network with shuffled weights."""
        pictures = (self.patches.gathered(picture) for picture in self.shuffled)
        return [_rank_correlation(self._gathered, picture) for picture in pictures]

    @property
    def _gathered(self) -> Floats:
        return self.patches.gathered(self.stains.sum(axis=0))


def explain(
    slide: Slide, checkpoint: Checkpoint, region_level0: Box, progress: Progress
) -> Explanation:
    """Ask what the network's answer about a region, in level-0 pixels, hangs on.

    In fp32 on the CPU, so that the same inputs give the same values.

    Raises:
        what Site.read raises.
    """
    site = Site.read(slide, checkpoint, region_level0)
    height, width = site.frame.height, site.frame.width
    patches = Patches.over(height, width)
    tick = _counter(len(list(patches.batches())) + NODES * (TURNS + RANDOM_NETWORKS), progress)
    network = _ready(checkpoint.network)
    score = Score.of(site, network, checkpoint.card)
    density = density_of(as_planes(site.pixels))
    stand_ins = stand_ins_of(site.stand_in, height, width)
    shuffled = (randomised(network, seed) for seed in range(RANDOM_NETWORKS))
    return Explanation(
        site=site,
        score=float(score(planes_of(density))),
        replaced=float(score(planes_of(stand_ins)).mean()),
        patches=patches,
        effects=occlusion(score, density, stand_ins[:1], patches, tick),
        stains=integrated_gradients(score, density, stand_ins, tick),
        shuffled=tuple(
            integrated_gradients(
                Score.of(site, other, checkpoint.card), density, stand_ins[:1], tick
            ).sum(axis=0)
            for other in shuffled
        ),
    )


def _ready(network: Network) -> Network:
    """A copy that computes fast and takes no gradients of its weights."""
    ready = folded(network).requires_grad_(False)
    return ready.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _counter(steps: int, progress: Progress) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    progress(0, steps)
    return tick


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; 0 where one of them is the same everywhere."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])
