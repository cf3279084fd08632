"""A lock that vanishes with its process, however that ends."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotations.errors import ResultError
from tiling.rawplanes import disk_errors

LOCK = ".extent.lock"  # in an output folder
_RETRY_SECONDS = 0.1
_WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Be the only process that writes to the folder `out`, which is made when absent.

    Raises:
        ResultError: it is no folder, not writable, or another process works on it.
    """
    with disk_errors(out):
        if out.exists() and not out.is_dir():
            raise ResultError(f"{out}: is a file; --out takes a folder")
        out.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: another extent is writing there; wait for it, or give another --out"
    with held(out / LOCK, wait_s=0, busy=busy):
        yield


@contextmanager
def held(path: Path, *, wait_s: float, busy: str) -> Iterator[None]:
    """Hold an exclusive flock on `path`, made and removed as needed.

    Raises:
        ResultError: with the text `busy` when another process still holds it after `wait_s`
            seconds; otherwise when the file cannot be made or its file system has no locks.
    """
    deadline = time.monotonic() + wait_s
    with disk_errors(path):
        while (file := _try(path)) is None:
            if time.monotonic() >= deadline:
                raise ResultError(busy)
            time.sleep(_RETRY_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody's lock is taken away
        os.close(file)


def _try(path: Path) -> int | None:
    """The locked file's descriptor; None where it is taken, or was removed in between."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(file)
        if error.errno in _WITHOUT_LOCKS:
            raise ResultError(f"{path}: its file system has no locks; use another --out") from error
        raise
    os.close(file)
    return None
