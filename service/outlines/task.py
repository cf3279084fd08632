"""What is asked of the process that reads and writes outlines. Light to import."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from annotations import SlidePlane, WritableFormat

Origin = Literal["auto", "slide", "bounds"]


@dataclass(frozen=True)
class Bounds:
    """What a document, and the work on it, may take; bytes are after gzip has been undone."""

    bytes: int
    vertices: int
    json_depth: int
    gzip_ratio: int
    cpu_seconds: int
    memory_bytes: int


@dataclass(frozen=True)
class Task:
    """Read outlines that came from outside, or write stored ones for a program.

    `origin`: where (0, 0) of what is read lies: at the slide's (0, 0), at the begin of its
    bounds, or where its format has it. `format` is what to write.
    """

    do: Literal["read", "write"]
    plane: SlidePlane
    bounds: Bounds
    origin: Origin = "auto"
    format: WritableFormat = "qupath"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        plane: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.pop("plane").items()
        }
        bounds = Bounds(**values.pop("bounds"))
        return cls(plane=SlidePlane(**plane), bounds=bounds, **values)
