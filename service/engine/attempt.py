"""What passes between the server and the workers of its jobs. Light to import."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

TOPIC = "extent-jobs"  # of Dask's events; each a dict of the fields of Progress
FENCE = "fence"  # JOBS/<job id>/fence: the number of the attempt that may go on, or CANCELLED
CANCELLED = "cancelled"
RESULT = "result"  # ATTEMPT/result/: there whole or not at all
MAX_REASON = 500  # characters
Kind = Literal["map", "training"]


@dataclass(frozen=True)
class Attempt:
    """One try at a job.

    `folder` is JOBS/<job id>/<number>, this attempt's alone; `previous` the last attempt's, whose
    canvas it may start from. `request` is JSON: for a map `slide_path`, `model_path`,
    `model_digest`, `mpp`, `threshold`, `region_level0` ([x, y, w, h] or None), `adaptive`; for a
    training what `service.engine.training` says. `sees` are the only files and folders beside the
    program that it may read: the slide's, the model. `threads` to compute on; 0 leaves it to the
    library. `compiled` is the folder where engines keep models compiled. `seat` numbers this
    machine's workers, from 0, where they share its GPUs.
    """

    job_id: str
    number: int
    kind: Kind
    folder: Path
    request: dict[str, Any]
    sees: tuple[Path, ...]
    previous: Path | None = None
    hours: float | None = None  # after which it is stopped
    bytes: int | None = None  # that its folder may grow to
    threads: int = 0
    compiled: Path | None = None
    seat: int | None = None

    @property
    def fence(self) -> Path:
        """The file that says whether this attempt may go on."""
        return self.folder.parent / FENCE

    def to_json(self) -> dict[str, Any]:
        """JSON values, for `from_json`."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Attempt":
        """What `to_json` gave."""
        values = dict(document)
        values["folder"] = Path(values["folder"])
        values["sees"] = tuple(map(Path, values["sees"]))
        for name in ("previous", "compiled"):
            values[name] = Path(values[name]) if values[name] else None
        return cls(**values)


@dataclass(frozen=True)
class Progress:
    """How far an attempt is: `done` of `total` in a phase."""

    job_id: str
    number: int
    phase: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended.

    done        ATTEMPT/result/ is whole; `outcome` is what the job's record keeps of it (JSON)
    failed      for `reason`, which names neither files nor paths; another try would fail too
    crashed     the decoding or computing process died by a fault of its own (SIGSEGV, SIGABRT, …)
    killed      it was killed from outside, or by the system for want of memory
    stopped     the fence said so: cancelled, or another attempt took over; nothing is to be done
    """

    job_id: str
    number: int
    status: Literal["done", "failed", "crashed", "killed", "stopped"]
    reason: str = ""
    outcome: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
