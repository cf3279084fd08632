"""A canvas seen by others, while one process fills it and after."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .canvas import VALUES
from .frame import Box, Frame, Pair
from .journal import sync_folder
from .rawplanes import disk_errors

FACTS_FILE = "frame.json"
SAMPLES = 4  # pixels looked at along each side of a coarse pixel
CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class CanvasFacts:
    """What lies in a canvas and where: plane `i` is class `classes[i]` on the pixels of `frame`."""

    frame: Frame
    classes: tuple[str, ...]
    foreground: int

    def save(self, folder: Path) -> None:
        """Write them beside the canvas in `folder`, which is made when absent.

        Raises:
            ResultError: the folder cannot be used.
        """
        document = {
            "origin_level0": self.frame.origin_level0,
            "downsample": self.frame.downsample,
            "mpp": self.frame.mpp,
            "size": (self.frame.width, self.frame.height),
            "classes": self.classes,
            "foreground": self.foreground,
        }
        temporary = folder / f".{FACTS_FILE}.part"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(document), encoding="utf-8")
            temporary.replace(folder / FACTS_FILE)
            sync_folder(folder)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Those of the canvas in `folder`; None where there are none that make sense."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            document = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
            width, height = (int(side) for side in document["size"])
            frame = Frame(
                _pair(document["origin_level0"]),
                _pair(document["downsample"]),
                _pair(document["mpp"]),
                width,
                height,
            )
            classes = tuple(str(label) for label in document["classes"])
            foreground = int(document["foreground"])
            if min(width, height) > 0 and 0 <= foreground < len(classes):
                return cls(frame, classes, foreground)
        return None


def _pair(values: list[float]) -> Pair:
    x, y = values
    return float(x), float(y)


class CanvasView:
    """The values of a canvas as they stand at each reading; nothing of it is kept in memory.

    What was opened stays readable when the canvas is removed or begun anew, but does not change
    any more then. For any number of threads. Close it, or use it as a context.
    """

    def __init__(self, file: int, facts: CanvasFacts) -> None:
        """Use `open`."""
        self._file, self.facts = file, facts

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """The canvas in a folder; None where there is none, or none yet."""
        facts = CanvasFacts.load(folder)
        if facts is None:
            return None
        path = folder / VALUES
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        view = cls(file, facts)
        if os.fstat(file).st_size != len(facts.classes) * facts.frame.box.area:
            view.close()
            return None
        return view

    @property
    def frame(self) -> Frame:
        return self.facts.frame

    @property
    def planes(self) -> int:
        return len(self.facts.classes)

    @property
    def foreground(self) -> int:
        return self.facts.foreground

    def read(self, plane: int, box: Box, step: int = 1) -> NDArray[np.uint8]:
        """A plane at a `step`-th of its size: the mean of `step` x `step` values, half rounded up.

        uint8 [ceil(box.height / step), ceil(box.width / step)]; zero beyond the plane and where
        nothing was written yet. Of each mean, at most 4 x 4 evenly spread values are looked at, so
        that an overview of a large map is quick.

        Raises:
            OSError: the values cannot be read.
        """
        out = np.zeros((-(-box.height // step), -(-box.width // step)), np.uint8)
        inner = box.intersection(self.frame.box)
        if not inner.area:
            return out
        rows = _samples(inner.y - box.y, inner.bottom - box.y, step) + box.y
        columns = _samples(inner.x - box.x, inner.right - box.x, step) + box.x
        values = np.empty((rows.size, columns.size), np.uint8)
        line = np.empty(inner.width, np.uint8)
        for number, row in enumerate(rows.flat):
            self._read_line(plane, int(row), inner.x, line)
            values[number] = line[columns.ravel() - inner.x]
        looked_at = rows.shape[1] * columns.shape[1]
        sums = values.reshape(*rows.shape, *columns.shape).sum(axis=(1, 3), dtype=np.uint32)
        top, left = (inner.y - box.y) // step, (inner.x - box.x) // step
        means = (sums + looked_at // 2) // looked_at
        out[top : top + rows.shape[0], left : left + columns.shape[0]] = means
        return out

    def counts(self, plane: int) -> NDArray[np.int64]:
        """How many pixels of a plane have each value; int64 [256].

        What was never written is not read, and counts as 0.

        Raises:
            OSError: the values cannot be read.
        """
        size = self.frame.box.area
        found = np.zeros(256, np.int64)
        chunk = np.empty(min(size, CHUNK_BYTES), np.uint8)
        for start, end in self._written(plane * size, (plane + 1) * size):
            for offset in range(start, end, chunk.size):
                part = chunk[: min(chunk.size, end - offset)]
                found += np.bincount(
                    part[: os.preadv(self._file, [part.data], offset)], minlength=256
                )
        found[0] += size - found.sum()
        return found

    def _written(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches of the file, between two offsets, that its file system keeps."""
        while start < end:
            try:
                first = os.lseek(self._file, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing beyond
                    return
                raise
            last = os.lseek(self._file, first, os.SEEK_HOLE)
            if first < end:
                yield first, min(last, end)
            start = last

    def _read_line(self, plane: int, row: int, x: int, line: NDArray[np.uint8]) -> None:
        offset = (plane * self.frame.height + row) * self.frame.width + x
        count = os.preadv(self._file, [line.data], offset)
        line[count:] = 0  # cut off: it is being begun anew

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _samples(first: int, last: int, step: int) -> NDArray[np.int64]:
    """Positions looked at in each step that first..last - 1 touch; [steps, positions].

    Evenly spread over what there is of a step; the same ones more than once where that is little.
    """
    starts = np.arange(first // step, (last - 1) // step + 1)[:, None] * step
    low, high = np.maximum(starts, first), np.minimum(starts + step, last)
    count = min(step, SAMPLES)
    positions: NDArray[np.int64] = low + (2 * np.arange(count) + 1) * (high - low) // (2 * count)
    return positions
