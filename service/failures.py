"""What a person reads when a slide fails."""

import errno
import traceback
from contextlib import suppress
from pathlib import Path

from annotations.errors import ExtentError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def reason_of(error: Exception, log: Path) -> str:
    """One line on why something failed, and the way out.

    Errors that nobody foresaw leave their traceback in the file `log`, which the line names.
    """
    if isinstance(error, ExtentError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; try fewer --workers or a smaller --window"
    if isinstance(error, OSError) and error.strerror:
        return system_reason(error)
    kept = "its details could not be kept"
    with suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        kept = f"details are in {log}"
    said = " ".join(str(error).split())[:200]
    return f"unexpected {type(error).__name__}: {said}; {kept}"


def system_reason(error: OSError) -> str:
    """One line on what the system refused."""
    if error.errno in DISK_FULL:
        return "the disk is full. What is finished stays; free some space and run again."
    if not error.strerror:
        return " ".join(str(error).split()) or type(error).__name__
    named = str(error.filename or "a file")
    return f"{named if len(named) < 300 else named[:300] + '…'}: {error.strerror}"
