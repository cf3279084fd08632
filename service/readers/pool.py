"""The reader processes, shared out among slides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SlideRef:
    """A slide to read: its id, where it is, and its level-0 µm/px where somebody said."""

    id: str
    path: Path
    mpp: float | None


class ReaderPool:
    def __init__(self, most: int) -> None: ...

    async def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End."""

    async def facts(self, ref: SlideRef) -> dict[str, Any]:
        """What a reader says of a slide."""
        raise NotImplementedError
