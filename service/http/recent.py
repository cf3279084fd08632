"""What was looked up a moment ago."""

import hashlib
import time
from collections import OrderedDict
from typing import Final, Generic, TypeVar

SECONDS_BELIEVED = 1.5  # for so long a revoked key may still work
MOST_BELIEVED = 10_000
V = TypeVar("V")


class Unknown:
    """Not looked up lately; other than None, which is an answer."""


UNKNOWN: Final = Unknown()


class Recent(Generic[V]):
    """Answers about secrets, by their SHA-256, for SECONDS_BELIEVED; the oldest go first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def get(self, secret: str) -> V | Unknown:
        found = self._answers.get(digest(secret))
        if found is None or time.monotonic() - found[0] > SECONDS_BELIEVED:
            return UNKNOWN
        return found[1]

    def had(self, secret: str) -> bool:
        """Whether the last answer, however old, was one."""
        found = self._answers.get(digest(secret))
        return found is not None and found[1] is not None

    def put(self, secret: str, answer: V, asked_at: float) -> V:
        """Keep what was asked for at `asked_at` (of time.monotonic)."""
        name = digest(secret)
        self._answers[name] = (asked_at, answer)
        self._answers.move_to_end(name)
        while len(self._answers) > MOST_BELIEVED:
            self._answers.popitem(last=False)
        return answer

    def forget(self, secret: str) -> None:
        self._answers.pop(digest(secret), None)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
