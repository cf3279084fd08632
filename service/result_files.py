"""The files of a slide's result, but for its summary: maps, outlines, picture."""

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Self

from annotations import Feature, geojson_lines
from annotations.origins import ORIGIN
from model.card import ModelCard
from model.familiarity import Familiarity
from model.segment import ExtentMap
from model.stored import MAP_FILE
from tiling.images import write_png
from tiling.pyramid import write_pyramid
from tiling.quality import Quality, assess_quality
from tiling.rawplanes import disk_errors
from tiling.slide import Slide

from .contours import Reach, contours_for, find_reach
from .familiarity import UNLIKE, familiarity_of, is_unlike
from .findings import Findings
from .lesions import find_lesions
from .overlay import draw_overlay
from .results import OUTLINE_FILE, OVERLAY_FILE

Phase = Callable[[str, float], None]  # phase, share of it that is done, 0-1


@dataclass(frozen=True)
class Rules:
    """What decides what is found; features get their ids from `key`."""

    threshold: float
    least_mm2: float
    card: ModelCard
    key: str


@dataclass(frozen=True)
class Look:
    """What there is to say of the slide itself, and how far tumour may reach on such a slide."""

    quality: Quality
    familiarity: Familiarity | str
    reach: Reach

    @classmethod
    def at(cls, slide: Slide, extent_map: ExtentMap, rules: Rules) -> Self:
        quality = assess_quality(slide, extent_map.tissue)
        familiarity = familiarity_of(rules.card, extent_map, quality.appearance)
        contours = contours_for(rules.card, extent_map, rules.least_mm2, familiarity)
        reach = find_reach(extent_map, slide.known_mpp, rules.threshold, contours)
        return cls(quality, familiarity, reach)

    @property
    def appearance(self) -> dict[str, float | None] | None:
        look = self.quality.appearance
        return look.to_json() if look else None


@dataclass(frozen=True)
class Found:
    """What a slide's files show; `maps` are the names of those."""

    findings: Findings
    look: Look
    maps: Sequence[str]


def write_files(
    folder: Path, slide: Slide, extent_map: ExtentMap, rules: Rules, progress: Phase
) -> Found:
    """All but summary.json. Another thread does what reads the slide, and half of the tracing."""
    with ThreadPoolExecutor(1, thread_name_prefix="extent-report") as beside:
        looking = beside.submit(Look.at, slide, extent_map, rules)
        progress("pyramid", 0.0)
        maps = _write_maps(folder, extent_map, partial(progress, "pyramid"))
        lesions = find_lesions(
            extent_map,
            slide.known_mpp,
            rules.threshold,
            least_mm2=rules.least_mm2,
            rules=rules.card.objects,
            progress=lambda done, total: progress("tracing", done / total),
        )
        look = looking.result()
        findings = Findings(rules.threshold, lesions, look.reach)
        progress("overlay", 0.0)
        drawn = beside.submit(_write_overlay, folder, slide, extent_map, findings, look)
        features = findings.features(extent_map.classes[extent_map.foreground], rules.key)
        _write_outlines(folder / OUTLINE_FILE, features)
        progress("overlay", 0.5)
        drawn.result()
        progress("overlay", 1.0)
        return Found(findings, look, maps)


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


def _write_overlay(
    folder: Path, slide: Slide, extent_map: ExtentMap, findings: Findings, look: Look
) -> None:
    caption, account = findings.caption(extent_map.tissue.area_mm2), extent_map.adaptive
    if account and account.skipped_mm2:
        caption += f"; {account.skipped_mm2:.3g} mm² skipped"
    if is_unlike(look.familiarity):
        caption += f"; beware: {UNLIKE}"
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
