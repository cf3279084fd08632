"""Windows to one map on disk, which survives kills, full disks and torn files."""

import errno
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tiling.frame import Box
from tiling.journal import Journal, read_journal
from tiling.rawplanes import RawPlanes, disk_errors, write_all

VALUES, JOURNAL = "values.raw", "values.journal"
_SECONDS_BETWEEN_FLUSHES = 0.5


class Canvas:
    """A map of uint8 [planes, height, width] in a folder, written in disjoint boxes.

    A box counts as done after a crash only when its values are on the disk, unharmed: their
    checksum in the journal is compared on opening. Everything else is to be written again.
    For one process and one thread at a time.
    """

    def __init__(self, folder: Path, values: RawPlanes, journal: Journal, done: dict[Box, int]):
        """Use `open`. `done`: finished boxes with the CRC-32 of their values."""
        self._folder = folder
        self._values = values
        self._journal = journal
        self._done = done
        self._pending: dict[Box, int] = {}
        self._flush_at = time.monotonic() + _SECONDS_BETWEEN_FLUSHES

    @classmethod
    def open(cls, folder: Path, *, key: str, planes: int, width: int, height: int) -> Self:
        """Go on with the canvas in `folder` when it has this key and shape; else start anew.

        `key` stands for everything that the values depend on. An older canvas of another key or
        shape is removed; other files in the folder are left alone. Raises ResultError when the
        folder cannot be used.
        """
        full_key = f"{planes} {width} {height} {key}"
        path = folder / VALUES
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            recorded = read_journal(folder / JOURNAL, full_key)
            if not recorded:
                path.unlink(missing_ok=True)
            values = RawPlanes.open(path, planes, width, height)
            try:
                done = {
                    box: checksum
                    for box, checksum in recorded.items()
                    if _checksum(_read(values, planes, box)) == checksum
                }
                journal = Journal.begin(folder / JOURNAL, full_key, done)
            except BaseException:
                values.close()
                raise
        return cls(folder, values, journal, done)

    def is_done(self, box: Box) -> bool:
        """Whether exactly this box was written, now or before."""
        return box in self._done

    def write(self, box: Box, values: NDArray[np.uint8]) -> None:
        """Set a box to `values`, uint8 [planes, box.height, box.width]; cut off beyond the planes.

        Safe against a kill after the next flush, which comes by itself about twice a second.
        Raises ResultError when the disk is full; what was flushed stays.
        """
        if values.dtype != np.uint8:
            raise ValueError(f"a canvas holds uint8, not {values.dtype}")
        part = box.intersection(self._values.box)
        x, y = part.x - box.x, part.y - box.y
        values = np.ascontiguousarray(values[:, y : y + part.height, x : x + part.width])
        with disk_errors(self._folder):
            self._values.write(part, values)
        self._done[box] = self._pending[box] = _checksum(values)
        if time.monotonic() >= self._flush_at:
            self.flush()

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """uint8 [box.height, box.width]; zero where nothing was written and beyond the planes."""
        part = box.intersection(self._values.box)
        values = np.zeros((box.height, box.width), np.uint8)
        x, y = part.x - box.x, part.y - box.y
        with disk_errors(self._folder):
            values[y : y + part.height, x : x + part.width] = self._values.read(plane, part)
        return values

    def flush(self) -> None:
        """Make all that was written safe: first the values, then the journal that vouches for them.

        Raises ResultError when the disk is full; what was flushed before stays.
        """
        started = time.monotonic()
        if self._pending:
            with disk_errors(self._folder):
                self._values.sync()
                self._journal.append(self._pending)
            self._pending = {}
        ended = time.monotonic()
        # On a slow disk less often, so that waiting for it takes a tenth of the time at most.
        self._flush_at = ended + max(_SECONDS_BETWEEN_FLUSHES, 9 * (ended - started))

    def close(self) -> None:
        """Flush and let go of the files; the folder keeps them."""
        try:
            self.flush()
        finally:
            self._values.close()
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def carry_over(source: Path, target: Path) -> None:
    """Begin the canvas in `target` as a copy of that in `source`, which others may still write.

    Nothing happens where there is none, or where `target` has one. Cut short by a kill, the copy
    is a canvas of which less is done.

    Raises:
        ResultError: it cannot be copied.
    """
    if (target / VALUES).exists():
        return
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        # In this order: then the values are at least what the journal vouches for
        for name in (JOURNAL, VALUES):
            with suppress(FileNotFoundError):
                _copy_sparse(source / name, target / name)


def _copy_sparse(source: Path, target: Path) -> None:
    """A copy that keeps the holes of a sparse file."""
    with source.open("rb", buffering=0) as old, target.open("wb", buffering=0) as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        position = 0
        while position < size:
            try:
                position = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # a hole up to the end
                    return
                raise
            hole = os.lseek(old.fileno(), position, os.SEEK_HOLE)
            while position < hole and (part := os.pread(old.fileno(), 1 << 20, position)):
                write_all(new.fileno(), part[: hole - position], position)
                position += len(part)
            position = hole


def _read(values: RawPlanes, planes: int, box: Box) -> NDArray[np.uint8]:
    part = box.intersection(values.box)
    return np.stack([values.read(plane, part) for plane in range(planes)])


def _checksum(values: NDArray[np.uint8]) -> int:
    return zlib.crc32(values.data) if values.size else 0
