"""What Extent asks of the operating system for its processes, and how it starts some of them."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

NICENESS = 10  # of what computes: lower in priority than whoever serves people
READING_NICENESS = 3  # of what somebody waits for: between the two
ROOT = Path(__file__).resolve().parent.parent  # where Extent's packages are
CHILD_ENVIRONMENT: Mapping[str, str] = {  # nothing of the parent's own: it may hold passwords
    "PYTHONPATH": str(ROOT),
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # only a process that has one thread can be jailed, or forks
}
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def child_command(module: str, *arguments: str) -> list[str]:
    """How to run a module of Extent, for CHILD_ENVIRONMENT and any folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def bound(most: Mapping[int, int]) -> None:
    """Lower this process's limits (`resource.RLIMIT_…`) for good; it leaves no memory dump."""
    for what, value in {**most, resource.RLIMIT_CORE: 0}.items():
        hard = resource.getrlimit(what)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (least, least))


def die_with(parent: int) -> None:
    """Be killed when the process `parent`, which started this one, ends; at once if it has.

    Elsewhere than on Linux only the latter.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def lower_priority(niceness: int) -> None:
    """Run at this niceness, unless it is higher already."""
    os.nice(max(0, niceness - os.nice(0)))


def forget_peak_memory() -> None:
    """Start measuring anew where the system lets a process (Linux: see proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """The most memory this process held at once since then, or else since it began."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
