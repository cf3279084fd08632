"""One slide's result on disk: maps, outlines, summary, picture."""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path

from annotations import Feature, geojson_lines
from annotations.errors import UsageError
from annotations.origins import ORIGIN
from model.card import ModelCard
from model.conformal import Contours
from model.segment import ExtentMap
from model.stored import MAP_FILE, SUMMARY_FILE
from tiling.images import write_png
from tiling.pyramid import write_pyramid
from tiling.quality import Quality, assess_quality
from tiling.rawplanes import disk_errors
from tiling.slide import Slide

from .contours import contours_for, find_reach
from .findings import Findings
from .lesions import find_lesions
from .overlay import draw_overlay
from .results import OUTLINE_FILE, OVERLAY_FILE

Phase = Callable[[str, float], None]  # phase, share of it that is done, 0-1


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
        CheckpointError: what the card says of contours makes no sense.
    """
    options = options or ReportOptions()
    threshold = card.threshold if options.threshold is None else options.threshold
    rules = _Rules(
        threshold,
        options.min_region_mm2,
        contours_for(card, extent_map, options.min_region_mm2),
        key=f"{facts.slide_digest} {facts.model_digest} {threshold!r}",
    )
    found = _write_files(folder, slide, extent_map, rules, progress or _unheard)
    account = extent_map.adaptive
    summary: dict[str, object] = {
        "slide": slide.name,
        "model": card.name,
        "mpp": list(slide.known_mpp),
        "threshold": threshold,
        **found.findings.measures(extent_map.tissue.area_mm2),
        "regions": [lesion.as_row() for lesion in found.findings.lesions],
        "quality": asdict(found.quality),
        "map": _placement(extent_map),
        **({"adaptive": account.as_row()} if account else {}),
        "seconds": round(facts.elapsed(), 3),
        "provenance": provenance_of(folder, [*found.maps, OUTLINE_FILE, OVERLAY_FILE], facts),
    }
    write_json(folder / SUMMARY_FILE, summary)
    return summary


@dataclass(frozen=True)
class _Rules:
    """What decides what is found; features get their ids from `key`."""

    threshold: float
    least_mm2: float
    contours: Contours | str
    key: str


@dataclass(frozen=True)
class _Found:
    """What a slide's files show; `maps` are the names of those."""

    findings: Findings
    quality: Quality
    maps: Sequence[str]


def _write_files(
    folder: Path, slide: Slide, extent_map: ExtentMap, rules: _Rules, progress: Phase
) -> _Found:
    """All but summary.json. Another thread does what reads the slide, and half of the tracing."""
    with ThreadPoolExecutor(1, thread_name_prefix="extent-report") as beside:
        reach = beside.submit(
            find_reach, extent_map, slide.known_mpp, rules.threshold, rules.contours
        )
        quality = beside.submit(assess_quality, slide, extent_map.tissue)
        progress("pyramid", 0.0)
        maps = _write_maps(folder, extent_map, partial(progress, "pyramid"))
        lesions = find_lesions(
            extent_map,
            slide.known_mpp,
            rules.threshold,
            least_mm2=rules.least_mm2,
            progress=lambda done, total: progress("tracing", done / total),
        )
        findings = Findings(rules.threshold, lesions, reach.result())
        progress("overlay", 0.0)
        drawn = beside.submit(_write_overlay, folder, slide, extent_map, findings)
        features = findings.features(extent_map.classes[extent_map.foreground], rules.key)
        _write_outlines(folder / OUTLINE_FILE, features)
        progress("overlay", 0.5)
        drawn.result()
        progress("overlay", 1.0)
        return _Found(findings, quality.result(), maps)


def _unheard(phase: str, share: float) -> None:
    """Nobody listens."""


def _write_maps(
    folder: Path, extent_map: ExtentMap, progress: Callable[[float], None]
) -> list[str]:
    """A pyramid a class, but for the first, which is what no outline claims; returns the names."""
    names = map_files(extent_map.classes, extent_map.foreground)
    for number, (plane, name) in enumerate(names.items()):
        write_pyramid(
            folder / name,
            partial(extent_map.canvas.read, plane),
            extent_map.frame,
            progress=lambda done, total, number=number: progress(  # type: ignore[misc]
                (number + done / total) / len(names)
            ),
        )
    return list(names.values())


def _write_overlay(folder: Path, slide: Slide, extent_map: ExtentMap, findings: Findings) -> None:
    caption, account = findings.caption(extent_map.tissue.area_mm2), extent_map.adaptive
    if account and account.skipped_mm2:
        caption += f"; {account.skipped_mm2:.3g} mm² skipped"
    overlay = draw_overlay(slide, extent_map, findings, caption=caption)
    with disk_errors(folder / OVERLAY_FILE):
        write_png(folder / OVERLAY_FILE, overlay)


def _write_outlines(path: Path, features: Iterable[Feature]) -> None:
    with disk_errors(path), path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(geojson_lines(features, members={ORIGIN: [0.0, 0.0]}))


def map_files(classes: Sequence[str], foreground: int) -> dict[int, str]:
    """The file name of each class that has one: the foreground's first, none for the background.

    Class names become letters, digits, `.`, `-` and `_`, and stay apart.
    """
    names = {foreground: MAP_FILE}
    taken: set[str] = set()
    for plane, label in enumerate(classes):
        if plane in (0, foreground):
            continue
        plain = re.sub(r"[^\w.-]+", "_", label)[:60].strip("._") or "class"
        free = chain([plain], (f"{plain}-{number}" for number in count(plane)))
        plain = next(name for name in free if name.casefold() not in taken)
        taken.add(plain.casefold())
        names[plane] = f"probability-{plain}.tiff"
    return names


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
