"""The picture of an explanation, and what it comes to in words."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.card import ModelCard
from model.explain import MOST_CORRELATION, Explanation
from model.panels import Panel, Scene, write_panels

from .wording import number

STRONGEST = 99.5  # percentile of the values that has the strongest colour
LEAST_LIMIT = 1e-6


def draw(path: Path, slide: str, found: Explanation, card: ModelCard) -> None:
    """Write the picture; equal input gives equal bytes."""
    site, name = found.site, card.classes[card.foreground]
    gradients, haematoxylin, eosin, shuffled = (
        found.shown(values)
        for values in (
            found.stains.sum(axis=0),
            found.stains[0],
            found.stains[1],
            found.shuffled[0],
        )
    )
    limit = _limit(gradients, haematoxylin, eosin)
    unit = "log-odds a patch"
    panels = [
        Panel("The slide"),
        Panel("Occlusion: stroma in its place", found.influence, _limit(found.influence), unit),
        Panel("Gradients, integrated from stroma", gradients, limit, unit),
        Panel("Haematoxylin's part of C", haematoxylin, limit, unit),
        Panel("Eosin's part of C", eosin, limit, unit),
        Panel("Check: C with shuffled weights", shuffled, _limit(shuffled), unit),
    ]
    scene = Scene(
        tissue=site.pixels,
        region=site.region,
        probability=site.probability,
        outline_at=card.threshold,
        marks=[site.frame.from_level0(p.x_level0, p.y_level0) for p in found.places],
        inset=site.stand_in.texture,
        um_per_pixel=site.frame.mpp[0],
    )
    write_panels(path, _title(slide, found, card), panels, scene, _legend(found, card, name))


def _limit(*pictures: NDArray[np.floating]) -> float:
    strongest = max(float(np.percentile(np.abs(p), STRONGEST)) for p in pictures)
    return max(strongest, LEAST_LIMIT)


def _title(slide: str, found: Explanation, card: ModelCard) -> str:
    probability = float(found.site.probability[found.site.counted].mean())
    name = card.classes[card.foreground]
    return f"{slide}: why {card.name} says {name} with a mean probability of {probability:.2f} here"


def sentences(found: Explanation, card: ModelCard) -> list[str]:
    """What was found, in words."""
    name = card.classes[card.foreground]
    haematoxylin, eosin, neither = found.stains.sum(axis=(1, 2))
    return [
        f"Mean log-odds of {name} in the region: {found.score:+.2f}; if all were stroma: "
        f"{found.replaced:+.2f}. Of the difference, haematoxylin makes {haematoxylin:+.2f}, "
        f"eosin {eosin:+.2f}, what is neither {neither:+.2f}.",
        f"{found.inside_share:.0%} of the influence lies within the region, 90% within "
        f"{number(found.reach_um)} µm of it.",
        _verdict(found),
    ]


def _verdict(found: Explanation) -> str:
    """What the check with shuffled weights says."""
    each = ", ".join(f"{value:+.2f}" for value in found.correlations)
    holds = max(map(abs, found.correlations)) < MOST_CORRELATION
    return f"Check: rank correlation with networks whose weights were shuffled is {each}: " + (
        "the picture hangs on what the network learned."
        if holds
        else "too high. The picture may show the tissue rather than what the network learned."
    )


def _legend(found: Explanation, card: ModelCard, name: str) -> list[str]:
    patch_um = found.patches.step * found.site.frame.mpp[0]
    stroma = found.site.stand_in.probability
    return [
        *sentences(found, card),
        f"A: white box: the region; yellow: the outline of {name} as predicted; numbers: the "
        "places with most influence, strongest first; dashed: the stroma near by that takes the "
        f"place of what is hidden (its own mean probability is {stroma:.2f}). Nothing beyond the "
        "picture can change what is said of the region.",
        f"Red speaks for {name} in the region, blue against it. B: by how much the region's mean "
        f"log-odds fall when stroma takes the place of a patch of {patch_um:.0f} µm. C: the same "
        "by integrated gradients, finer, and as a sum over all that lies between stroma and this "
        "tissue. D, E: what of C is due to each stain. F: C of a network whose weights were "
        "shuffled: it must not look like C.",
    ]
