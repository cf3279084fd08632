"""What Extent sees in a slide file: for people deciding whether it can be used."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from annotations.errors import ResolutionError
from tiling.frame import Frame, Pair
from tiling.resample import best_level
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.stored import LevelFacts, format_name, stored_levels
from tiling.tissue import find_tissue

MODEL_MPP = 4.0  # what shipped models look at
MAP_STRIDE = 4  # their output stride; tissue is looked for on multiples of it
UNEQUAL = 0.01  # µm/px may differ by so much between x and y before it is worth a word
HUGE = 1 << 28  # pixels: without a smaller level this takes long to look over


@dataclass(frozen=True)
class SlideFacts:
    """What there is to know of a slide, and nothing that could name a patient.

    Sizes and bounds (left, top, width, height) are level-0 pixels. `mpp` is the level-0 µm/px as
    used, x and y, `mpp_from` where it comes from. `read_level`: the index of the level that pixels
    at `model_mpp` are made from; None where the slide cannot be used as it is, and `warnings` say
    why. `tissue_mm2` is None without a resolution.
    """

    name: str
    format: str
    size: tuple[int, int]
    bounds: tuple[int, int, int, int]
    mpp: Pair | None
    mpp_from: str
    objective_power: str | None
    levels: tuple[LevelFacts, ...]
    model_mpp: float
    read_level: int | None
    tissue_mm2: float | None
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)

    def lines(self) -> Iterator[tuple[str, str]]:
        """What to show: a heading and its value, line by line."""
        yield "slide", self.name
        yield "format", self.format
        yield "size", f"{self.size[0]:,} x {self.size[1]:,} px"
        if self.bounds != (0, 0, *self.size):
            x, y, width, height = self.bounds
            yield "scanned part", f"{width:,} x {height:,} px from ({x:,}, {y:,})"
        resolution = "unknown" if self.mpp is None else f"{self.mpp[0]:.6g} x {self.mpp[1]:.6g}"
        yield "µm/px", f"{resolution} ({self.mpp_from})"
        if self.mpp is not None:
            across, down = (n * m / 1000 for n, m in zip(self.bounds[2:], self.mpp, strict=True))
            yield "physical size", f"{across:.2f} x {down:.2f} mm"
        if self.objective_power:
            yield "objective", f"{self.objective_power}x"
        for number, level in enumerate(self.levels):
            note = "" if level.read else ", not read"
            size = f"{level.width:,} x {level.height:,} px"
            yield f"level {number}", f"{size}, downsample {level.downsample:.6g}{note}"
        if self.tissue_mm2 is not None:
            yield "tissue", f"{self.tissue_mm2:.2f} mm²"
        yield "usable", self._verdict()
        for warning in self.warnings:
            yield "note", warning

    def _verdict(self) -> str:
        if self.read_level is None:
            return f"no, not at {self.model_mpp:g} µm/px as it is"
        return f"yes, at {self.model_mpp:g} µm/px from level {self.read_level}"


def describe_slide(
    path: Path, resolution: Resolution | None = None, *, model_mpp: float = MODEL_MPP
) -> SlideFacts:
    """Look a slide over, without its label and macro images.

    Raises:
        SlideError: it cannot be opened or read.
    """
    with Slide.open(path, resolution) as slide:
        levels = stored_levels(slide)
        warnings = list(_resolution_notes(slide))
        read_level, tissue = None, None
        try:
            frame = slide.frame(model_mpp)
            read_level = _index(levels, slide, frame)
        except ResolutionError as error:
            warnings.append(str(error))
        if slide.mpp is not None:
            looked_at = slide.frame(max(model_mpp, *slide.mpp))
            tissue = find_tissue(slide, looked_at, output_stride=MAP_STRIDE).area_mm2
        warnings += _level_notes(slide, levels, tissue)
        bounds = slide.bounds_level0
        return SlideFacts(
            name=slide.name,
            format=format_name(slide),
            size=slide.size_level0,
            bounds=(bounds.x, bounds.y, bounds.width, bounds.height),
            mpp=slide.mpp,
            mpp_from=_source(slide),
            objective_power=slide.properties.get("openslide.objective-power"),
            levels=tuple(levels),
            model_mpp=model_mpp,
            read_level=read_level,
            tissue_mm2=tissue,
            warnings=tuple(warnings),
        )


def _source(slide: Slide) -> str:
    if slide.mpp is None:
        return "give it with --mpp"
    return "stated by the file" if slide.mpp == slide.stored_mpp else "given with --mpp"


def _index(levels: list[LevelFacts], slide: Slide, frame: Frame) -> int:
    size = best_level(slide.levels, frame).size
    return next(i for i, level in enumerate(levels) if (level.width, level.height) == size)


def _resolution_notes(slide: Slide) -> Iterator[str]:
    stored = slide.stored_mpp
    if slide.mpp is not None and stored is not None and slide.mpp != stored:
        yield f"the file states {stored[0]:g} x {stored[1]:g} µm/px, which is not used"
    if slide.mpp is not None and abs(slide.mpp[0] / slide.mpp[1] - 1) > UNEQUAL:
        yield "µm/px differ between x and y: unusual, check them"


def _level_notes(slide: Slide, levels: list[LevelFacts], tissue: float | None) -> Iterator[str]:
    odd = [str(number) for number, level in enumerate(levels) if not level.read]
    if odd:
        yield (
            f"level {', '.join(odd)}: its pixels do not lie on an exact grid, so a finer level is "
            "read instead"
        )
    width, height = slide.size_level0
    if len(levels) == 1 and width * height > HUGE:
        yield "no smaller levels: looking it over takes long; a pyramid would help"
    if tissue == 0:
        yield "no tissue found: its map would be empty"
