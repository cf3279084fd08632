"""The gate of the drawn slides: colour alone must not find their tumour.

A random forest sees each pixel's colour smoothed at three scales (sigma 2, 8 and 32 pixels),
learns from some sites with the truth at hand, takes the threshold that suits its training sites
best, and is measured on sites that it has not seen. Its pooled Dice must stay at or below 0.60.

The default cohort is the demo's.

    python -m benchmarks.drawn_gate [--sites 4] [--slides-per-site 3] [--seed 1] [--folds 4]
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestClassifier

from tiling.frame import Box
from tiling.slide import Slide
from tiling.synthetic import SlideRecipe
from tiling.synthetic_cohort import CohortPlan
from tiling.synthetic_files import write_drawn_slide

LIMIT = 0.60
SIGMAS = (2, 8, 32)  # pixels
STEP = 8  # every 8th pixel of every 8th row is looked at
LEARNT = 7  # every 7th of those is learnt from
THRESHOLDS = np.linspace(0.05, 0.95, 91)


@dataclass(frozen=True)
class Sampled:
    """Pixels of one slide: `features` float32 [N, 9], `truth` bool [N]."""

    site: int
    features: NDArray[np.float32]
    truth: NDArray[np.bool_]


def sample_slide(path: Path, recipe: SlideRecipe) -> Sampled:
    """Smoothed colours and truth on a lattice over the slide's file, glass and all."""
    box = Box(0, 0, recipe.width, recipe.height)
    with Slide.open(path) as slide:
        rgb = slide.read(slide.frame(recipe.mpp), box).astype(np.float32)
    smoothed = [
        gaussian_filter(rgb[..., c], sigma)[::STEP, ::STEP].reshape(-1)
        for sigma in SIGMAS
        for c in range(3)
    ]
    truth = recipe.drawn().truth(box)[::STEP, ::STEP].reshape(-1)
    return Sampled(recipe.site, np.stack(smoothed, axis=1), truth)


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|)."""
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def forest_dice(slides: list[Sampled], folds: int) -> float:
    """Pooled Dice over all slides, each judged by a forest that has not seen its site."""
    sites = sorted({s.site for s in slides})
    found, truth = [], []
    for fold in range(folds):
        unseen = set(sites[fold::folds])
        known = [s for s in slides if s.site not in unseen]
        x = np.concatenate([s.features[::LEARNT] for s in known])
        y = np.concatenate([s.truth[::LEARNT] for s in known])
        forest = RandomForestClassifier(
            60, min_samples_leaf=10, max_samples=0.3, oob_score=True, n_jobs=1, random_state=fold
        ).fit(x, y)
        # out-of-bag: what the forest says of pixels that the voting trees did not learn from
        held_out = forest.oob_decision_function_[:, 1]
        threshold = max(THRESHOLDS, key=lambda t: dice(held_out > t, y))
        for s in slides:
            if s.site in unseen:
                found.append(forest.predict_proba(s.features)[:, 1] > threshold)
                truth.append(s.truth)
    return dice(np.concatenate(found), np.concatenate(truth))


def measure(plan: CohortPlan, folds: int) -> float:
    """Draw the cohort's slides into a scratch folder and let the forest try."""
    slides = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, _, recipe in plan.recipes():
            path = Path(scratch) / f"{name}.tiff"
            write_drawn_slide(path, recipe, downsamples=(1,))
            slides.append(sample_slide(path, recipe))
            path.unlink()
    share = float(np.concatenate([s.truth for s in slides]).mean())
    print(f"{len(slides)} slides, tumour on {share:.1%} of the pixels")
    return forest_dice(slides, folds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--slides-per-site", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=4)
    args = parser.parse_args()
    result = measure(CohortPlan(args.sites, args.slides_per_site, args.seed), args.folds)
    print(f"random forest on smoothed colour, unseen sites: Dice {result:.3f} (limit {LIMIT})")
    return 0 if result <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
