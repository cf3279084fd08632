"""A folder of slides: what lies in it, and the way from a record back to files inside it."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import SlideError
from tiling.images import FLAT_SUFFIXES
from tiling.slide_files import COMPANIONS_BESIDE, SEVERAL_FILES

from ..inputs import SLIDE_SUFFIXES
from ..readers.names import said, unreadable
from ..readers.slide_ref import OwnFiles, own_files, stamp_of

MOST_PATH_BYTES = 2000  # an index of PostgreSQL takes no longer entries
DICOM = ".dcm"
HERE = "."


@dataclass(frozen=True)
class FoundSlide:
    """A slide in a folder: `path` relative to it, `bytes` of all its files.

    `name` is its file's, or its DICOM folder's. `stamp` changes when one of its files does.
    """

    path: str
    name: str
    bytes: int
    stamp: str


@dataclass(frozen=True)
class Tree:
    """All slides in a folder, and how many entries were left out for which reason."""

    slides: tuple[FoundSlide, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class SlideFolder:
    """A folder that holds slides; nothing outside it is looked at, nor anything in `without`."""

    folder: Path
    without: Path | None = None

    def files(self, path: str) -> OwnFiles:
        """The files of the slide at a relative path, all of them inside.

        Raises:
            OSError: it is not there, or elsewhere, or the system refuses to look at it.
            SlideError: it is there, and no slide; the text names no file.
        """
        root, without = self._resolved()
        place = _inside(root / path, root, without)
        try:
            own = own_files(place)
        except SlideError as error:
            raise unreadable(said(error, place)) from None
        for file in own.sees:
            _inside(file, root, without)
        return own

    def walk(self) -> Tree:
        """Look through the folder and its subfolders, by name; hidden entries are left alone.

        Links to files are followed where they stay inside, links to folders never: what they show
        has a place of its own. A folder that cannot be read does not stop the others.
        """
        root, without = self._resolved()
        walk = _Walk(self, root, without)
        folders = [""]
        while folders:
            inner = walk.folder(folders.pop())
            folders += reversed(inner)
        return Tree(tuple(walk.slides), dict(walk.left_out))

    def _resolved(self) -> tuple[Path, Path | None]:
        return self.folder.resolve(), self.without and self.without.resolve()


@dataclass
class _Walk:
    """One look through a folder, under way."""

    slide_folder: SlideFolder
    root: Path
    without: Path | None
    slides: list[FoundSlide] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def folder(self, path: str) -> list[str]:
        """Note the slides right in a folder; the relative paths of the folders to look into."""
        try:
            with os.scandir(self.root / path) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            self.left_out["a folder that cannot be read"] += 1
            return []
        visible = sorted(filter(self._can_be_kept, visible), key=lambda entry: entry.name)
        inner = []
        folder_is_slide = False
        for entry in _without_companions(visible):
            try:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(f"{path}/{entry.name}".lstrip("/"))
                elif _suffix(entry) == DICOM:
                    folder_is_slide = folder_is_slide or entry.is_file()
                elif _suffix(entry) in SLIDE_SUFFIXES:
                    self._slide(f"{path}/{entry.name}".lstrip("/"), entry)
            except OSError:
                self.left_out["a file that cannot be looked at"] += 1
        if folder_is_slide:
            self._slide_of_several(path or HERE)
        return [name for name in inner if self.root / name != self.without]

    def _can_be_kept(self, entry: os.DirEntry[str]) -> bool:
        try:
            size = len(os.path.relpath(entry.path, self.root).encode())
        except UnicodeEncodeError:
            self.left_out["a name that is no UTF-8 text"] += 1
            return False
        if size > MOST_PATH_BYTES:
            self.left_out[f"a path longer than {MOST_PATH_BYTES} bytes"] += 1
        return size <= MOST_PATH_BYTES

    def _slide(self, path: str, entry: os.DirEntry[str]) -> None:
        if entry.is_symlink() or _suffix(entry) in SEVERAL_FILES:
            self._slide_of_several(path)
        elif entry.is_file():
            self._found(path, [entry.stat()])

    def _slide_of_several(self, path: str) -> None:
        """Take a slide whose files must first be shown to lie inside."""
        try:
            own = self.slide_folder.files(path)
            self._found(path, [file.stat() for file in own.sees if file.is_file()])
        except (OSError, SlideError):
            self.left_out["a slide whose files are missing or lie elsewhere"] += 1

    def _found(self, path: str, stats: Sequence[os.stat_result]) -> None:
        name = self.root.name if path == HERE else path.rpartition("/")[2]
        size = sum(stat.st_size for stat in stats)
        self.slides.append(FoundSlide(path, name, size, stamp_of(stats)))


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  (a Path each takes 5 x as long)


def _without_companions(entries: Sequence[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    """Entries less those that belong to a MIRAX or Hamamatsu index beside them."""
    stems: dict[str, list[str]] = {suffix: [] for suffix in SEVERAL_FILES}
    for entry in entries:
        if (suffix := _suffix(entry)) in stems:
            stems[suffix].append(entry.name[: -len(suffix)])
    pictured = tuple(stem for suffix in COMPANIONS_BESIDE for stem in stems[suffix])
    folders = set(stems[".mrxs"])
    for entry in entries:
        picture = _suffix(entry) in FLAT_SUFFIXES and entry.name.startswith(pictured)
        if not picture and entry.name not in folders:
            yield entry


def _inside(path: Path, root: Path, without: Path | None) -> Path:
    """A path without links, which lies in `root`.

    Raises:
        FileNotFoundError: it is not there, or elsewhere.
        OSError: the system refuses to look.
    """
    resolved = Path(os.path.realpath(path, strict=True))
    hidden = without is not None and resolved.is_relative_to(without)
    if hidden or not resolved.is_relative_to(root):
        raise FileNotFoundError("the slide is not there")
    return resolved
