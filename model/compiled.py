"""Compiled models, kept from one process to the next.

What is kept is run much as a program is. So the folder on disk and its files must be this user's
and nobody else's to write: whatever is not is left alone, and the model compiled anew.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

MOST_MODELS = 20
MAX_BYTES = 1 << 30
SUFFIX, UNFINISHED = ".compiled", ".part"
_MAGIC = b"extent compiled model 1\n"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Shelf(Protocol):
    """Where compiled models are kept by name; it may lose any of them."""

    def find(self, name: str) -> bytes:
        """The one of that name, empty where there is none."""

    def keep(self, name: str, compiled: bytes) -> None:
        """Put one there, if that can be done."""


@dataclass
class InHand:
    """One compiled model in memory, whatever its name; empty for none."""

    compiled: bytes = b""

    def find(self, name: str) -> bytes:
        return self.compiled

    def keep(self, name: str, compiled: bytes) -> None:
        self.compiled = compiled


@dataclass(frozen=True)
class CompiledModels:
    """The models last used, in a private folder, a file each; made when it is first needed.

    Names are those of files. A folder or file that somebody else could have written, is a link,
    or does not hold what was once kept under that name, counts as not there. Nothing is raised
    where the system refuses. `most` models are kept.
    """

    folder: Path
    most: int = MOST_MODELS

    def find(self, name: str) -> bytes:
        with (
            suppress(OSError),
            self._opened() as folder,
            _reading(folder, name + SUFFIX) as stream,
        ):
            head, compiled = stream.read(len(_head(name, b""))), stream.read()
            if head == _head(name, compiled):
                os.utime(stream.fileno())
                return compiled
        return b""

    def keep(self, name: str, compiled: bytes) -> None:
        with suppress(OSError):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with self._opened() as folder:
                _write(folder, name, _head(name, compiled) + compiled)
                self._forget_oldest(folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder's descriptor.

        Raises:
            OSError: it is not there, a link, or not private.
        """
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if not _is_ours(os.fstat(folder)):
                raise PermissionError("others could write there")
            yield folder
        finally:
            os.close(folder)

    def _forget_oldest(self, folder: int) -> None:
        """Remove what was not used for longest; also what kills left unfinished, in its turn."""
        names = [n for n in os.listdir(folder) if n.endswith((SUFFIX, UNFINISHED))]
        used = {n: os.stat(n, dir_fd=folder, follow_symlinks=False).st_mtime_ns for n in names}
        for name in sorted(names, key=lambda n: -used[n])[self.most :]:
            os.unlink(name, dir_fd=folder)


def _head(name: str, compiled: bytes) -> bytes:
    """What a file begins with: of the same length for one name."""
    digest = hashlib.sha256(name.encode() + b"\n" + compiled).hexdigest()
    return _MAGIC + digest.encode() + b"\n"


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


@contextmanager
def _reading(folder: int, name: str) -> Iterator[IO[bytes]]:
    """A file of a folder.

    Raises:
        OSError: it is not there, no file, or not private.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would keep us waiting
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not (stat.S_ISREG(found.st_mode) and _is_ours(found) and found.st_size <= MAX_BYTES):
            raise PermissionError("others could have written it")
        yield stream


def _write(folder: int, name: str, data: bytes) -> None:
    """A file that is there as a whole or not at all; a torn one would be known by its digest."""
    part = f"{name}.{os.getpid()}{UNFINISHED}"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, 0o600, dir_fd=folder), "wb") as stream:
        stream.write(data)
    os.rename(part, name + SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
