"""One slide's result on disk: maps, outlines, summary, picture."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import UsageError
from model.card import ModelCard
from model.segment import ExtentMap
from model.stored import SUMMARY_FILE
from tiling.rawplanes import disk_errors
from tiling.slide import Slide

from .familiarity import familiarity_rows
from .result_files import Phase, Rules, write_files
from .results import OUTLINE_FILE, OVERLAY_FILE


@dataclass(frozen=True)
class ReportOptions:
    """What decides which places count as tumour.

    `threshold`: a probability, 0 or more and below 1; None takes the model card's.
    `min_region_mm2`: regions smaller than this are left out of outlines, areas and counts.
    """

    threshold: float | None = None
    min_region_mm2: float = 0.0

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UsageError(f"a threshold of {self.threshold:g} is not within 0 and 1")
        if not 0 <= self.min_region_mm2 < math.inf:
            raise UsageError(f"a smallest region of {self.min_region_mm2:g} mm² makes no sense")


@dataclass(frozen=True)
class RunFacts:
    """Where a result comes from; JSON values, nothing that could name a patient.

    `parameters` are what the values depend on beside slide and model; `versions` of what computed
    them; `run` whatever differs from run to run. `elapsed` gives the seconds spent so far.
    """

    slide_digest: str
    model_digest: str
    elapsed: Callable[[], float]
    parameters: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    run: Mapping[str, object] = field(default_factory=dict)


def write_result(
    folder: Path,
    slide: Slide,
    extent_map: ExtentMap,
    *,
    card: ModelCard,
    facts: RunFacts,
    options: ReportOptions | None = None,
    progress: Phase | None = None,
) -> dict[str, object]:
    """Write all files of a slide's result into an empty folder; returns what summary.json holds.

    Every decision is taken on the stored values: tumour is value / 255 > threshold. Equal inputs
    give equal bytes, but for `seconds` and `provenance.run`. `progress` hears of the phases
    "pyramid", "tracing" and "overlay". All files are on the disk when it returns, summary.json
    last; publishing the folder is the caller's.

    Raises:
        ResultError: the folder is not writable or the disk is full.
        ResolutionError: the slide's µm/px is unknown. SlideError: it cannot be read.
        CheckpointError: what the card says of contours or of known slides makes no sense.
    """
    options = options or ReportOptions()
    threshold = card.threshold if options.threshold is None else options.threshold
    key = f"{facts.slide_digest} {facts.model_digest} {threshold!r}"
    rules = Rules(threshold, options.min_region_mm2, card, key)
    found = write_files(folder, slide, extent_map, rules, progress or _unheard)
    account = extent_map.adaptive
    summary: dict[str, object] = {
        "slide": slide.name,
        "model": card.name,
        "mpp": list(slide.known_mpp),
        "threshold": threshold,
        **found.findings.measures(extent_map.tissue.area_mm2),
        "regions": [lesion.as_row() for lesion in found.findings.lesions],
        **familiarity_rows(found.look.familiarity),
        "appearance": found.look.appearance,
        "quality": found.look.quality.flags,
        "map": _placement(extent_map),
        **({"adaptive": account.as_row()} if account else {}),
        "seconds": round(facts.elapsed(), 3),
        "provenance": provenance_of(folder, [*found.maps, OUTLINE_FILE, OVERLAY_FILE], facts),
    }
    write_json(folder / SUMMARY_FILE, summary)
    return summary


def _unheard(phase: str, share: float) -> None:
    """Nobody listens."""


def _placement(extent_map: ExtentMap) -> dict[str, object]:
    frame = extent_map.frame
    return {
        "origin_level0": list(frame.origin_level0),
        "downsample": list(frame.downsample),
        "size": [frame.width, frame.height],
    }


def provenance_of(folder: Path, names: Sequence[str], facts: RunFacts) -> dict[str, object]:
    """Digests (SHA-256) of what went in and what came out; makes the outputs durable."""
    outputs = {}
    for name in names:
        with disk_errors(folder / name), (folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
            outputs[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "slide": facts.slide_digest,
        "model": facts.model_digest,
        "outputs": outputs,
        "versions": dict(sorted(facts.versions.items())),
        "parameters": dict(sorted(facts.parameters.items())),
        "run": dict(facts.run),
    }


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write what says that a result is whole, so that it outlives a power cut."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with disk_errors(path), path.open("wb") as stream:
        stream.write(f"{text}\n".encode())
        stream.flush()
        os.fsync(stream.fileno())
