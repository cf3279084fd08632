"""Who asks, and what they may."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Scope(IntEnum):
    """What a key may do; each scope includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Principal:
    """Who asks. Uploads, outlines, jobs and results belong to `group`; `key_id` is for the audit.

    `via`: a bearer key, a browser's cookie, or loopback without either, where none is needed.
    """

    key_id: str
    name: str
    group: str
    scope: Scope
    via: Literal["key", "cookie", "loopback"]


LOCAL = Principal("local", "local", "local", Scope.ADMIN, "loopback")
