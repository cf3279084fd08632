"""What an engine's child does: one attempt, confined to that attempt's files."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from annotations.errors import CheckpointError, ExtentError, SlideError
from model.compiled import InHand, Shelf
from model.openvino_predictor import compiled_name
from model.predictor import Execution
from tiling.canvas import carry_over
from tiling.frame import Box
from tiling.slide_files import may_name_other_files

from ..failures import reason_of
from ..inputs import SlideInput
from ..process import ROOT, bound
from ..readers import jail
from ..readers.names import said, scrubbed
from ..report import ReportOptions
from ..results import ResultPlace, read_summary
from ..tasks import MapSettings, Model, SlideJob, Update
from ..worker import ready, seated, settled, shelf_of, work
from .attempt import MAX_REASON, RESULT, Attempt

Say = Callable[[dict[str, Any]], None]
_OWN = ("annotations", "tiling", "model", "service")
_SYSTEM = (  # what libraries look at: code, time zones, the processor, this process
    *("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/driver/nvidia"),
    *("/sys/devices/system", "/sys/bus/pci"),
)
NOT_JAILED = (
    "its format can name other files, which this worker does not open: its system cannot confine "
    "a process to one slide (Landlock, Linux 5.13 or later)"
)


def model_key(attempt: Attempt) -> str:
    """What a product of `compile_model` is kept by in memory."""
    request = attempt.request
    return json.dumps([request["model_path"], request["model_digest"], attempt.threads])


def place_on_shelf(attempt: Attempt) -> tuple[Shelf, str]:
    """Where the attempt's model is kept compiled for other engines, and under which name."""
    execution = Execution(threads=attempt.threads)
    return shelf_of(attempt.compiled), compiled_name(attempt.request["model_digest"], execution)


def load_torch() -> None:
    """Have torch loaded before children are forked that compute with it."""
    import model.checkpoint
    import model.torch_predictor  # noqa: F401


def compile_model(attempt: Attempt, compiled: bytes, product: IO[bytes], say: Say) -> None:
    """Write the attempt's model, ready for this machine, to `product`: a line of JSON, then bytes.

    The bytes are `compiled`, where these can be used; none where torch is to compute. Where it
    fails, says why and writes nothing.
    """
    _confine(attempt, write=())
    path, shelf = Path(attempt.request["model_path"]), InHand(compiled)
    try:
        model = settled(str(path), MapSettings(threads=attempt.threads), shelf=shelf)
        if model.digest != attempt.request["model_digest"]:
            raise CheckpointError("the model's file is no longer the one that was asked for")
        ready(model, shelf)
    except Exception as error:
        say(_failed(f"the model cannot be used: {_told(error, path, attempt)}"))
        return
    head = {"name": model.name, "settings": asdict(model.settings)}
    kept = shelf.compiled if model.settings.runtime == "openvino" else b""
    product.write(json.dumps(head).encode() + b"\n" + kept)
    product.flush()


def map_slide(attempt: Attempt, product: bytes, say: Say) -> None:
    """Map the attempt's slide with a model that `compile_model` wrote; says how it ended."""
    _confine(attempt, write=(attempt.folder,))
    path = Path(attempt.request["slide_path"])
    try:
        say({"end": "done", "outcome": _mapped(attempt, path, product, say)})
    except _Refused as refusal:
        say(_failed(str(refusal)))
    except Exception as error:
        say(_failed(_told(error, path, attempt)))


def train(attempt: Attempt, say: Say) -> None:
    """Do the attempt's training; says how it ended."""
    _confine(attempt, write=(attempt.folder,))
    from .training import train_attempt

    def hear(phase: str, done: int, total: int) -> None:
        say({"phase": phase, "done": done, "total": total})

    try:
        say({"end": "done", "outcome": train_attempt(attempt, hear)})
    except Exception as error:
        say(_failed(_told(error, attempt.folder / ".work", attempt)))


class _Refused(Exception):  # noqa: N818  (its text is a finished reason)
    """A slide could not be mapped."""


def _mapped(attempt: Attempt, path: Path, product: bytes, say: Say) -> dict[str, Any]:
    """What the record keeps of the finished result."""
    if not jail.available() and may_name_other_files(path):
        raise SlideError(NOT_JAILED)
    head, _, compiled = product.partition(b"\n")
    place = ResultPlace(attempt.folder, RESULT)
    if attempt.previous is not None:
        carry_over(ResultPlace(attempt.previous, RESULT).canvas, place.canvas)

    def hear(update: Update) -> None:
        say({"phase": update.phase, "done": update.done, "total": update.total})

    outcome = work(
        _job(attempt, path, json.loads(head)),
        hear,
        lambda model: ready(model, InHand(compiled)),
        lambda error, log: _told(error, path, attempt, log),
    )
    if outcome.status == "failed":
        raise _Refused(outcome.reason)
    shutil.rmtree(attempt.folder / ".work", ignore_errors=True)
    return _outcome(place.folder)


def _job(attempt: Attempt, path: Path, head: dict[str, Any]) -> SlideJob:
    request = attempt.request
    settings = MapSettings(**head["settings"] | {"adaptive": bool(request.get("adaptive"))})
    options = ReportOptions(request.get("threshold"))
    if options.threshold is not None:
        settings = replace(settings, threshold=options.threshold)
    region = request.get("region_level0")
    model = Model(Path(request["model_path"]), head["name"], request["model_digest"], settings)
    return SlideJob(
        slide=SlideInput(path, RESULT),
        out=attempt.folder,
        model=seated(model, attempt.seat),
        mpp=request.get("mpp"),
        region_level0=None if region is None else Box(*map(int, region)),
    )


def _outcome(result: Path) -> dict[str, Any]:
    summary: dict[str, Any] = read_summary(result) or {}
    provenance = summary["provenance"]
    names = (
        *("tumour_area_mm2", "area_interval_mm2", "no_interval", "tissue_area_mm2"),
        *("tumour_fraction", "max_diameter_mm", "threshold", "familiarity", "no_familiarity"),
    )
    return {name: summary[name] for name in names} | {
        "regions": len(summary["regions"]),
        "bytes": sum(file.stat().st_size for file in result.iterdir()),
        "digests": {name: provenance[name] for name in ("slide", "model", "outputs")},
    }


def _failed(reason: str) -> dict[str, Any]:
    return {"end": "failed", "reason": reason[:MAX_REASON]}


def _told(error: Exception, path: Path, attempt: Attempt, log: Path | None = None) -> str:
    """Why something failed, without naming a file or quoting one.

    What nobody foresaw leaves its traceback in the file `log`.
    """
    if isinstance(error, CheckpointError):
        text = str(error)
    elif isinstance(error, ExtentError):
        text = said(error, path)
    elif isinstance(error, MemoryError):
        text = "there is not enough memory for it"
    elif isinstance(error, OSError) and error.strerror:
        text = f"the system refused: {error.strerror}"
    else:
        reason_of(error, log or attempt.folder / "error.txt")
        text = f"an unexpected {type(error).__name__} in Extent; the attempt's folder has details"
    model = Path(attempt.request.get("model_path", "-"))
    # The API names what the command line calls --mpp without the dashes
    return scrubbed(text.replace(model.name, "the model"), path).replace("--", "")


def _confine(attempt: Attempt, write: Iterable[Path]) -> None:
    """Give up all files but the program's, what the attempt sees, and `write`."""
    bound({})  # no dump of its memory: that would hold pixels
    temporary = attempt.folder / ".work" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(temporary)
    os.putenv("TMPDIR", str(temporary))
    if not jail.available():
        return
    previous = () if attempt.previous is None else (attempt.previous,)
    own = (ROOT / name for name in _OWN)
    read = {*map(Path, _SYSTEM), *own, *attempt.sees, *previous, *jail.program()}
    devices = (Path("/dev/null"), *Path("/dev").glob("nvidia*"))
    jail.restrict(_there(read), _there((*write, temporary, *devices)))


def _there(paths: Iterable[Path]) -> list[Path]:
    """Those that exist, without links."""
    return sorted({path.resolve() for path in paths if path.exists()})
