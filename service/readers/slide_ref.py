"""A slide as readers are asked for it, and the files that it is made of."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import SlideError
from tiling.slide_files import slide_file, slide_files

MOST_FILES = 2_000


@dataclass(frozen=True)
class SlideRef:
    """A slide by its id, and the file or DICOM folder to read; `mpp` fills a missing resolution."""

    id: str
    path: Path
    mpp: float | None = None


@dataclass(frozen=True)
class OwnFiles:
    """What a slide's reader may see: `path` is what to open; `sees` are all its files, and its
    folder where that must be listed. All absolute, without links. `stamp` changes when one does.
    """

    path: Path
    sees: tuple[Path, ...]
    stamp: str


def own_files(path: Path) -> OwnFiles:
    """The files of a slide, none of them opened.

    Raises:
        SlideError: it is not there, or a link leads out of its folder.
    """
    slide_file(path)
    try:
        place = path.resolve(strict=True)
        home = place if place.is_dir() else place.parent
        files = [file.resolve(strict=True) for file in slide_files(place)]
        if any(not file.is_relative_to(home) for file in files):
            raise SlideError("one of its files lies outside its folder")
        if len(files) > MOST_FILES:
            raise SlideError(f"it is made of more than {MOST_FILES:,} files")
        stats = [file.stat() for file in files]
    except OSError as error:
        raise SlideError("it cannot be opened") from error
    listed = [home] if place.is_dir() or place.suffix.lower() == ".dcm" else []
    return OwnFiles(place, (*files, *listed), stamp_of(stats))


def stamp_of(stats: Sequence[os.stat_result]) -> str:
    """A word that changes when one of so many files gets another size or time of change."""
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return f"{len(stats)}-{sum(stat.st_size for stat in stats):x}-{newest:x}"
