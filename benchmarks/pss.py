"""How much memory a process and its descendants hold, shared pages counted once."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

SECONDS_BETWEEN_LOOKS = 0.05


def tree_pss(pid: int) -> int:
    """Bytes of a process and all its descendants now; 0 once they have ended.

    Proportional set size (proc(5), smaps_rollup): a page that n processes share counts 1/n for
    each, those of processes outside the tree too. Linux only.
    """
    try:
        pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


class PeakPss:
    """Looks at a process tree while the context lasts; `bytes` is the most that it held.

    What is held for less than the time between two looks may be missed.
    """

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-pss", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, tree_pss(self._pid))
