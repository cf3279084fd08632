"""Open slides, the last used: a cohort may have more than a process can hold open."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from tiling.slide import Slide

from .cohort import Case
from .pieces import KeptPieces

PLACES = 24


@dataclass
class _OpenSlide:
    slide: Slide
    borrowers: int = 0


class Shelf:
    """Slides open and pieces of them decoded, as many as fit. For any number of threads."""

    def __init__(self, places: int = PLACES, pieces: KeptPieces | None = None) -> None:
        self._places = places
        self._open: OrderedDict[Case, _OpenSlide] = OrderedDict()
        self._lock = Lock()
        self.pieces = pieces or KeptPieces()

    @contextmanager
    def lent(self, case: Case) -> Iterator[Slide]:
        """A case's slide, open within the context.

        Raises:
            SlideError: it cannot be opened.
        """
        with self._lock:
            if case not in self._open:
                self._open[case] = _OpenSlide(Slide.open(case.slide, case.resolution))
            self._open.move_to_end(case)
            lent = self._open[case]
            lent.borrowers += 1
        try:
            yield lent.slide
        finally:
            with self._lock:
                lent.borrowers -= 1
                self._let_go(self._places)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._let_go(0)

    def _let_go(self, places: int) -> None:
        """Close the longest unused, but for those that are lent."""
        idle = [case for case, slide in self._open.items() if not slide.borrowers]
        for case in idle[: max(0, len(self._open) - places)]:
            self._open.pop(case).slide.close()
