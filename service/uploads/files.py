"""Uploads as files: what may be uploaded, what it is called, and bytes that last."""

import hashlib
import os
import shutil
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiling.journal import sync_folder
from tiling.slide_files import SEVERAL_FILES, may_name_other_files

from ..failures import DISK_FULL
from ..http.problems import Problem
from ..inputs import SLIDE_SUFFIXES
from ..readers.names import unreadable

SINGLE_FILE = SLIDE_SUFFIXES - SEVERAL_FILES
CLOSED = -1
MOST_NAME = 200  # characters
FULL = "The server's disk is full. What was acknowledged stays; try again later."
LOST = "What was sent before is lost; start the upload again."


def shown_name(filename: bytes) -> str:
    """What people know an upload by: the last part of what the client calls it, tidied.

    Raises:
        Problem: 400, it is no UTF-8 text; 422, nothing is left of it, or it is no single-file
            slide.
    """
    try:
        last = filename.decode().replace("\\", "/").rpartition("/")[2]
    except UnicodeDecodeError:
        raise Problem(400, "Upload-Metadata: `filename` is no UTF-8 text.") from None
    visible = (c for c in unicodedata.normalize("NFC", last) if _is_visible(c))
    name = " ".join("".join(visible).split()).lstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not stem or f"{dot}{suffix}".lower() not in SINGLE_FILE:
        known = " ".join(sorted(SINGLE_FILE))
        raise Problem(
            422, f"Upload-Metadata: `filename` must end in one of {known}: one file a slide."
        )
    return f"{stem[: MOST_NAME - len(suffix) - 1].rstrip()}.{suffix}"


def _is_visible(character: str) -> bool:
    """Not a control, a formatting mark (which can turn text round) or an unknown."""
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


class UploadFile:
    """The file of one upload, in a folder of its own; its name on the disk is ours."""

    def __init__(self, uploads: Path, upload_id: str, name: str) -> None:
        self.suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        self.relative = f"{upload_id}/slide{self.suffix}"
        self.path = uploads / self.relative

    def create(self) -> None:
        """Make the folder and the empty file, for good.

        Raises:
            Problem: 507 or 503.
        """
        folder = self.path.parent
        with disk_refusals():
            folder.mkdir(parents=True)
            self.path.touch()
            for inner in (folder, folder.parent):
                sync_folder(inner)

    def remove(self) -> None:
        """Take it away, folder and all; for what is gone already too."""
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def check_kind(self) -> None:
        """Make sure that the content, too, is of a single-file format.

        Raises:
            SlideError: it is none, or could name other files.
            Problem: 503; it cannot be looked at.
        """
        with disk_refusals():
            if may_name_other_files(self.path):
                raise unreadable(f"it does not begin as a {self.suffix} file does")


class Tail:
    """What follows an offset of a file, being written; gone again when closed, unless kept."""

    def __init__(self, path: Path, offset: int, algorithm: str | None) -> None:
        """Raises Problem: 410, the bytes before the offset are not there; 507 or 503."""
        self._kept = self.end = offset
        self._lock = threading.Lock()  # who cancels a request does not stop its thread
        self._hash = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
        with disk_refusals():
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                raise Problem(410, LOST) from None
            size = os.fstat(self._file).st_size
        if size < offset:
            os.close(self._file)
            raise Problem(410, LOST)

    def write(self, data: bytes) -> None:
        """Raises Problem: 507 or 503."""
        if self._hash:
            self._hash.update(data)
        rest = memoryview(data)
        with self._lock, disk_refusals():
            while rest:
                written = os.pwrite(self._file, rest, self.end)
                self.end += written
                rest = rest[written:]

    def digest(self) -> bytes:
        """Of all that was written, by the algorithm asked for."""
        assert self._hash is not None
        return self._hash.digest()

    def keep(self) -> None:
        """Wait until all is on the disk; it then stays.

        Raises:
            Problem: 507 or 503.
        """
        with self._lock, disk_refusals():
            os.ftruncate(self._file, self.end)
            os.fsync(self._file)
        self._kept = self.end

    def close(self) -> None:
        with self._lock:
            with suppress(OSError):  # what is too much is cut off next time
                os.ftruncate(self._file, self._kept)
            os.close(self._file)
            self._file = CLOSED


@contextmanager
def disk_refusals() -> Iterator[None]:
    """What the system refuses becomes a problem that names no file."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise Problem(507, FULL) from error
        raise Problem(503, "The server's disk refuses; try again soon.") from error
