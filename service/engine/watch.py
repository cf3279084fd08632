"""What ends an attempt from outside: its fence, and what it may take."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ..settings import GB
from .attempt import Attempt, AttemptEnd

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_SUMS = 5.0


class Watch:
    """Looks at an attempt's fence twice a second, at its time, and now and then at its folder."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        now = time.monotonic()
        self._look_at, self._sum_at = now, now + SECONDS_BETWEEN_SUMS
        self._ends_at = None if attempt.hours is None else now + attempt.hours * 3600

    def verdict(self) -> AttemptEnd | None:
        """How the attempt is to end now; None when it may go on."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + SECONDS_BETWEEN_LOOKS
            if not self._may_go_on():
                return self._end("stopped")
        if self._ends_at is not None and now >= self._ends_at:
            return self._end("failed", f"it took longer than the {self._attempt.hours:g} h allowed")
        if now >= self._sum_at:
            self._sum_at = now + SECONDS_BETWEEN_SUMS
            return self.too_large()
        return None

    def too_large(self) -> AttemptEnd | None:
        """How the attempt is to end for what it takes on the disk; None when it may have that."""
        limit = self._attempt.bytes
        if limit is None or bytes_in(self._attempt.folder) <= limit:
            return None
        return self._end("failed", f"it needed more disk than the {limit / GB:.3g} GB allowed")

    def _may_go_on(self) -> bool:
        """Whether the fence names this attempt or an earlier one; without a fence nobody may."""
        try:
            return int(self._attempt.fence.read_text(encoding="ascii")) <= self._attempt.number
        except (OSError, ValueError):  # among them: CANCELLED
            return False

    def _end(self, status: Literal["stopped", "failed"], reason: str = "") -> AttemptEnd:
        return AttemptEnd(self._attempt.job_id, self._attempt.number, status, reason)


def bytes_in(folder: Path) -> int:
    """What a folder takes on the disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_blocks * 512
    return total
