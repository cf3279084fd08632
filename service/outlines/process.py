"""The one who has outlines read and written in a process of their own, killed when it is due."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from annotations import SlidePlane, WritableFormat

from ..http.problems import Problem
from ..process import CHILD_ENVIRONMENT, child_command
from ..settings import Limits
from .task import Bounds, Origin, Task

SECONDS = 60  # of the processor
SECONDS_BY_THE_CLOCK = 300.0  # where others compute too
MEMORY_BYTES = 3 << 30
TOO_MUCH = (
    "Reading these outlines takes more time or memory than one request may: simplify them, "
    "or send fewer."
)


@dataclass(frozen=True)
class Reading:
    """What a document held; `content` is what is stored of it: gzipped GeoJSON, level-0 pixels."""

    format: str
    count: int
    areas_mm2: dict[str, float] | None
    warnings: list[str]
    content: bytes


class OutlineProcess:
    """Reads and writes outlines; each takes up to MEMORY_BYTES and a thread that waits for it."""

    def __init__(self, limits: Limits) -> None:
        self._bounds = Bounds(
            bytes=limits.outline_bytes,
            vertices=limits.outline_vertices,
            json_depth=limits.json_depth,
            gzip_ratio=limits.gzip_ratio,
            cpu_seconds=SECONDS,
            memory_bytes=MEMORY_BYTES,
        )

    def read(self, body: bytes, plane: SlidePlane, origin: Origin) -> Reading:
        """What `child.read` finds.

        Raises:
            Problem: 413, 422; the outlines are refused.
        """
        found, content = self._done(Task("read", plane, self._bounds, origin=origin), body)
        return Reading(content=content, **found)

    def write(self, stored: bytes, plane: SlidePlane, format: WritableFormat) -> bytes:
        """The document that `child.write` makes; problems as of `read`."""
        return self._done(Task("write", plane, self._bounds, format=format), stored)[1]

    def _done(self, task: Task, body: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            done = subprocess.run(
                child_command("service.outlines.child"),
                input=task.to_json().encode() + b"\n" + body,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a traceback may quote what was read
                cwd="/",
                env=CHILD_ENVIRONMENT,
                timeout=SECONDS_BY_THE_CLOCK,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Problem(422, TOO_MUCH) from None
        if done.returncode != 0:
            raise Problem(422, TOO_MUCH)
        head, _, content = done.stdout.partition(b"\n")
        answer: dict[str, Any] = json.loads(head)
        if "refused" in answer:
            raise Problem(answer["refused"], answer["detail"])
        return answer, content
