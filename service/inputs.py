"""What a user named on the command line, as a list of slides."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import CheckpointError, CohortError, UsageError
from tiling.images import FLAT_SUFFIXES
from tiling.slide_files import dicom_files, slide_name

from .failures import system_reason

SLIDE_SUFFIXES = FLAT_SUFFIXES | {
    ".svs",
    ".tif",
    ".tiff",
    ".ndpi",
    ".vms",
    ".vmu",
    ".scn",
    ".mrxs",
    ".svslide",
    ".bif",
    ".czi",
}
RESERVED_NAMES = {"slides.csv"}  # stands in the output folder beside the results


@dataclass(frozen=True)
class SlideInput:
    """A slide to work on; `mpp` is what a cohort file says of its level-0 µm/px.

    With `force_mpp` it overrides what the slide says.

    The file need not exist: whoever opens it says so, and the other slides go on.
    """

    path: Path
    name: str
    mpp: float | None = None
    force_mpp: bool = False


def find_slides(arguments: Sequence[Path]) -> list[SlideInput]:
    """The slides that files, folders, DICOM folders, lists (.txt) and cohorts (.csv) name.

    In the order given, each slide once; folders in order of name, without their subfolders except
    DICOM slides. Paths in a list or a cohort are relative to it.

    Raises:
        UsageError: two slides of one name, a name that no result can have, a path that the system
            refuses, or no slides at all.
        CohortError: a list or cohort that cannot be read.
    """
    found: dict[Path, SlideInput] = {}
    for argument in arguments:
        try:
            for slide in _expanded(argument):
                found.setdefault(slide.path.resolve(), slide)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
            said = system_reason(error) if isinstance(error, OSError) else error
            raise UsageError(f"{str(argument)[:200]}: cannot be looked at: {said}") from None
    slides = list(found.values())
    if not slides:
        raise UsageError("no slides given")
    check_names(slides)
    return slides


def _expanded(argument: Path) -> Iterator[SlideInput]:
    suffix = argument.suffix.lower()
    if argument.is_file() and suffix == ".txt":
        for line in _text(argument).splitlines():
            if line.strip() and not line.startswith("#"):
                yield from _slides_at(argument.parent / line.strip())
    elif argument.is_file() and suffix == ".csv":
        yield from _cohort_rows(argument)
    else:
        yield from _slides_at(argument)


def _slides_at(path: Path, mpp: float | None = None) -> Iterator[SlideInput]:
    if path.suffix.lower() == ".dcm" and path.is_file():
        path = path.parent  # any one of a DICOM slide's files is the whole slide
    if not path.is_dir() or dicom_files(path):
        yield SlideInput(path, slide_name(path), mpp)
        return
    inside = [
        entry
        for entry in sorted(path.iterdir(), key=lambda entry: entry.name)
        if not entry.name.startswith(".")
        and (bool(dicom_files(entry)) if entry.is_dir() else _has_slide_suffix(entry))
    ]
    if not inside:
        known = " ".join(sorted(SLIDE_SUFFIXES))
        raise UsageError(f"{path}: no slides in this folder (looked for {known} and DICOM folders)")
    for entry in inside:
        yield SlideInput(entry, slide_name(entry), mpp)


def _has_slide_suffix(path: Path) -> bool:
    return path.suffix.lower() in SLIDE_SUFFIXES


def _cohort_rows(path: Path) -> Iterator[SlideInput]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        # What stands beyond the last column has no name
        rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
    except csv.Error as error:
        raise CohortError(f"{path}: cannot be read as a CSV file: {error}") from error
    if not rows or "slide" not in rows[0]:
        raise CohortError(f"{path.name}: a cohort needs a column `slide` and rows")
    for line, row in enumerate(rows, 2):
        name, stated = row["slide"], row.get("mpp", "")
        if not name:
            raise CohortError(f"{path.name}: line {line}: no slide")
        try:
            mpp = float(stated) if stated else None
        except ValueError:
            raise CohortError(f"{path.name}: line {line}: mpp {stated!r} is no number") from None
        yield from _slides_at(path.parent / name, mpp)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(f"{path}: cannot be read as a list of slides: {error}") from error


def check_names(slides: Sequence[SlideInput]) -> None:
    """Make sure that every slide can have a result of its own name.

    Raises:
        UsageError: two slides of one name, or a name that no result can have.
    """
    seen: dict[str, SlideInput] = {}
    for slide in slides:
        try:
            f"{slide.path}{slide.name}".encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{str(slide.path)!r}: this name is no UTF-8 text, which results need; rename it"
            ) from None
        if not slide.name or slide.name.startswith(".") or slide.name in RESERVED_NAMES:
            raise UsageError(f"{slide.path}: no result can be named {slide.name!r}; rename it")
        other = seen.setdefault(slide.name, slide)
        if other is not slide:
            raise UsageError(
                f"{other.path} and {slide.path} would both be written to {slide.name}/: "
                "rename one, or give each a run and an --out of its own"
            )


def find_model(name_or_path: str) -> Path:
    """The checkpoint that --model names.

    Raises:
        UsageError: no such file, and no shipped model of that name.
    """
    from model.shipped import find_checkpoint

    try:
        return find_checkpoint(name_or_path)
    except CheckpointError as error:
        raise UsageError(f"--model {error}") from None
