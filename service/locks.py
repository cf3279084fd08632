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

_RETRY_SECONDS = 0.1
_WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


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
