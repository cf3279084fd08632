"""One explanation from slide to published folder: a picture, and its figures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from model.attribution import NODES, TURNS
from model.checkpoint import Checkpoint, load_checkpoint
from model.explain import RANDOM_NETWORKS, REACH, SMOOTH, Explanation, explain
from tiling.frame import Box
from tiling.rawplanes import disk_errors
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.slide_files import slide_digest

from .explanation_picture import draw, sentences
from .inputs import SlideInput, check_names
from .report import RunFacts, provenance_of, write_json
from .results import ResultPlace, claimed
from .versions import library_versions, version_of

EXPLANATION_FILE, PICTURE_FILE = "explanation.json", "explanation.png"
DIGITS = 6  # of figures: the last ones of a long sum may differ between machines


@dataclass(frozen=True)
class Request:
    """What is to be explained, and where that goes; the region is in level-0 pixels."""

    slide: Path
    model: Path
    region_level0: Box
    out: Path
    resolution: Resolution


@dataclass(frozen=True)
class Published:
    """A finished explanation and what it comes to."""

    folder: Path
    sentences: Sequence[str]


def publish(request: Request, progress: Callable[[int, int], None]) -> Published:
    """Explain a region and show the result as a whole, in place of an earlier one of the same.

    Raises:
        what Slide.open, load_checkpoint and explain raise.
        ResultError: the folder is in use, not writable, or something else stands there.
    """
    started = time.monotonic()
    with Slide.open(request.slide, request.resolution) as slide:
        check_names([SlideInput(request.slide, slide.name)])
        checkpoint = load_checkpoint(request.model)
        name = "-".join([slide.name, *map(str, astuple(request.region_level0))])
        place = ResultPlace(request.out, name, EXPLANATION_FILE)
        with claimed(request.out):
            place.check_replaceable()
            try:
                explanation = explain(slide, checkpoint, request.region_level0, progress)
                facts = _facts(request, slide, checkpoint, started)
                _write(place.begin(), slide, checkpoint, explanation, facts)
                place.publish()
            finally:
                place.clear()
    return Published(place.folder, sentences(explanation, checkpoint.card))


def _facts(request: Request, slide: Slide, checkpoint: Checkpoint, started: float) -> RunFacts:
    return RunFacts(
        slide_digest=slide_digest(slide.path),
        model_digest=checkpoint.digest,
        elapsed=lambda: time.monotonic() - started,
        parameters={
            "region_level0": list(astuple(request.region_level0)),
            "mpp": list(slide.known_mpp),
        },
        versions=library_versions() | {name: version_of(name) for name in ("torch", "matplotlib")},
    )


def _write(
    folder: Path,
    slide: Slide,
    checkpoint: Checkpoint,
    explanation: Explanation,
    facts: RunFacts,
) -> None:
    """Both files, the figures last."""
    with disk_errors(folder / PICTURE_FILE):
        draw(folder / PICTURE_FILE, slide.name, explanation, checkpoint.card)
    content: dict[str, object] = {
        "slide": slide.name,
        "model": checkpoint.card.name,
        "mpp": list(slide.known_mpp),
        "class": checkpoint.card.classes[checkpoint.card.foreground],
        **_figures(explanation, checkpoint.card.threshold),
        "seconds": round(facts.elapsed(), 3),
        "provenance": provenance_of(folder, [PICTURE_FILE], facts),
    }
    write_json(folder / EXPLANATION_FILE, content)


def _figures(found: Explanation, threshold: float) -> dict[str, object]:
    """What was found, as explanation.json has it; effects in mean log-odds over the region."""
    site, stain_sums = found.site, found.stains.sum(axis=(1, 2))
    count = int(site.counted.sum())
    figures: dict[str, object] = {
        "region": {
            "bbox_level0": _level0(site.region, found),
            "map_pixels": count,
            "mean_probability": float(site.probability[site.counted].mean()),
            "threshold": threshold,
            "logit_sum": found.score * count,
            "logit_mean": found.score,
            "logit_mean_if_stroma": found.replaced,
        },
        "influence": {
            "inside_share": found.inside_share,
            "reach_um": found.reach_um,
            "reach_share": REACH,
            "speaks_for": float(np.maximum(found.effects, 0).sum()),
            "speaks_against": float(np.minimum(found.effects, 0).sum()),
            "stains": dict(
                zip(("haematoxylin", "eosin", "neither"), map(float, stain_sums), strict=True)
            ),
            "places": [
                {
                    "centre_level0": [place.x_level0, place.y_level0],
                    "effect": place.effect,
                    "outside_um": place.outside_um,
                }
                for place in found.places
            ],
        },
        "checks": {
            "rank_correlation_shuffled_weights": found.correlations,
            "rank_correlation_occlusion_gradients": found.agreement,
            "gradients_left_over_share": found.left_over,
        },
        "method": _method(found),
    }
    return {name: _rounded(value) for name, value in figures.items()}


def _method(found: Explanation) -> dict[str, object]:
    """How it was computed, in µm where it is a length."""
    site, mpp = found.site, found.site.frame.mpp[0]
    return {
        "window_level0": _level0(site.frame.box, found),
        "stroma": {
            "bbox_level0": _level0(site.stand_in.box, found),
            "mean_probability": site.stand_in.probability,
        },
        "occlusion": {
            "patch_um": found.patches.step * mpp,
            "feather_um": found.patches.flank * mpp,
            "patches": list(found.effects.shape),
        },
        "gradients": {"kind": "integrated, from stroma", "paths": TURNS, "nodes": NODES}
        | {"smoothed_um": SMOOTH * mpp},
        "shuffled_networks": RANDOM_NETWORKS,
    }


def _level0(box: Box, found: Explanation) -> list[float]:
    """x, y, width and height in level-0 pixels of a box in the window's."""
    frame = found.site.frame
    x, y = frame.to_level0(box.x, box.y)
    return [x, y, box.width * frame.downsample[0], box.height * frame.downsample[1]]


def _rounded(value: object) -> object:
    """Floats to DIGITS digits, wherever they are."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
