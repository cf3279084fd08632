"""Planes of bytes in a sparse file: written and read box by box, nothing of it kept in memory."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from annotations.errors import ResultError
from tiling.frame import Box

_WHOLE_LINES = 8  # lines up to so many times a box's width are read whole: a call a line costs more


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn OSErrors about `path` into a ResultError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResultError(
                f"{path}: the disk is full. What is finished stays; free some space and run again."
            ) from error
        raise ResultError(f"{path}: cannot be written or read: {error.strerror}") from error


def write_all(file: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data` at `offset`; the system may take less than it is given."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(file, rest, offset)
        rest, offset = rest[count:], offset + count


class RawPlanes:
    """uint8 [planes, height, width], row by row in one file; zero where nothing was written.

    Plain reads and writes: pages of a mapping would count as memory, and a full disk would kill
    the process instead of raising. Boxes must lie within the planes. Raises OSError, for callers
    to translate with `disk_errors`.
    """

    def __init__(self, file: int, planes: int, width: int, height: int) -> None:
        """Takes over the descriptor `file`, whose content is cut or filled up to the size."""
        self._file = file
        self.box = Box(0, 0, width, height)
        try:
            os.ftruncate(file, planes * width * height)
        except BaseException:
            os.close(file)
            raise

    @classmethod
    def open(cls, path: Path, planes: int, width: int, height: int) -> Self:
        """The file at `path`, which is made when there is none."""
        return cls(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), planes, width, height)

    @classmethod
    def scratch(cls, folder: Path, width: int, height: int) -> Self:
        """One plane without a name, in `folder`; it vanishes when closed, also by a kill."""
        with tempfile.TemporaryFile(dir=folder) as file:
            return cls(os.dup(file.fileno()), 1, width, height)

    def write(self, box: Box, values: NDArray[np.uint8]) -> None:
        """`values` uint8 [planes, box.height, box.width]."""
        self._check(box)
        whole = box.width == self.box.width
        for plane, part in enumerate(np.ascontiguousarray(values)):
            rows = part.reshape(1, -1) if whole else part
            for row, line in enumerate(rows):
                write_all(self._file, line.data, self._offset(plane, box.x, box.y + row))

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """uint8 [box.height, box.width]."""
        self._check(box)
        if self.box.width <= _WHOLE_LINES * box.width:
            lines = np.empty((box.height, self.box.width), np.uint8)
            self._fill(lines.reshape(-1), self._offset(plane, 0, box.y))
            return np.ascontiguousarray(lines[:, box.x : box.right])
        values = np.empty((box.height, box.width), np.uint8)
        for row, line in enumerate(values):
            self._fill(line, self._offset(plane, box.x, box.y + row))
        return values

    def _fill(self, values: NDArray[np.uint8], offset: int) -> None:
        """Read as many bytes as `values`, uint8 [n], has; at most 2 GB, as the system takes."""
        if os.preadv(self._file, [values.data], offset) != values.nbytes:
            raise OSError(errno.EIO, "the file was cut off")

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offset(self, plane: int, x: int, y: int) -> int:
        return (plane * self.box.height + y) * self.box.width + x

    def _check(self, box: Box) -> None:
        if box != box.intersection(self.box):
            raise ValueError(f"{box} reaches beyond {self.box}")
