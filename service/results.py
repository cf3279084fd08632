"""The output folder: one writer, whole results only, what is finished stays.

OUT/<name>/            a slide's result, complete
OUT/slides.csv         a row a slide
OUT/.extent.lock       held by the process that runs the batch
OUT/.work/slides/<name>/  an unfinished slide: canvas/, result/, and replaced/ for an instant
OUT/.work/locks/<name>    held by the worker that writes it
OUT/.work/logs/<name>.txt what went wrong, where nobody expected it
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import ResultError
from model.stored import SUMMARY_FILE
from tiling.journal import sync_folder
from tiling.rawplanes import disk_errors

from .locks import held, sole_writer
from .tasks import SlideOutcome

OUTLINE_FILE = "extent.geojson"
OVERLAY_FILE = "overlay.png"
TABLE_FILE = "slides.csv"
TABLE_COLUMNS = (
    *("slide", "status", "reason", "tumour_area_mm2", "area_low_mm2", "area_high_mm2"),
    *("tissue_area_mm2", "familiarity", "seconds"),
)
EARLIER_COLUMNS = tuple(name for name in TABLE_COLUMNS if name != "familiarity")
EARLIEST_COLUMNS = ("slide", "status", "reason", "tumour_area_mm2", "tissue_area_mm2", "seconds")
ORPHAN_SECONDS = 30.0  # longer than a worker whose parent was killed takes to notice


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Be the only batch that writes to `out`, and leave no empty folders behind.

    Raises:
        what sole_writer raises.
    """
    with sole_writer(out):
        try:
            yield
        finally:
            for folder in ("slides", "locks", "logs", ""):
                with suppress(OSError):  # not empty: there is something to resume or to read
                    (out / ".work" / folder).rmdir()


@dataclass(frozen=True)
class ResultPlace:
    """Where one slide's result goes and where it is made.

    `mark` is the file by which a finished one is known.
    """

    out: Path
    name: str
    mark: str = SUMMARY_FILE

    @property
    def folder(self) -> Path:
        return self.out / self.name

    @property
    def work(self) -> Path:
        return self.out / ".work" / "slides" / self.name

    @property
    def canvas(self) -> Path:
        return self.work / "canvas"

    @property
    def unfinished(self) -> Path:
        return self.work / "result"

    @property
    def log(self) -> Path:
        return self.out / ".work" / "logs" / f"{self.name}.txt"

    def locked(self, wait_s: float = ORPHAN_SECONDS) -> AbstractContextManager[None]:
        """Be the only worker on this slide.

        Raises:
            ResultError: another one still is after `wait_s` seconds.
        """
        path = self.out / ".work" / "locks" / self.name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        busy = f"{self.name}: another worker is still writing this slide's result; run again later"
        return held(path, wait_s=wait_s, busy=busy)

    def check_replaceable(self) -> None:
        """Make sure that publishing will not remove anything but an older result.

        Raises:
            ResultError: something else stands there.
        """
        if not self.folder.is_symlink() and (
            not self.folder.exists() or (self.folder / self.mark).is_file()
        ):
            return
        raise ResultError(
            f"{self.folder}: stands where the result should go and is none itself; "
            "move it away, or give another --out"
        )

    def begin(self) -> Path:
        """The empty folder to write the result to."""
        with disk_errors(self.unfinished):
            shutil.rmtree(self.unfinished, ignore_errors=True)
            self.unfinished.mkdir(parents=True)
        return self.unfinished

    def publish(self) -> None:
        """Show the finished result as a whole, in place of an older one.

        Raises:
            ResultError: something else stands there, or the disk refuses.
        """
        self.check_replaceable()
        replaced = self.work / "replaced"
        with disk_errors(self.folder):
            sync_folder(self.unfinished)
            shutil.rmtree(replaced, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(replaced)
            self.unfinished.rename(self.folder)
            sync_folder(self.out)
        self.clear()

    def clear(self) -> None:
        """Remove what making the result left behind; the published one stays."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.log.unlink(missing_ok=True)


@dataclass(frozen=True)
class Fingerprint:
    """What makes two results the same: SHA-256 of slide and model, and the parameters."""

    slide: str
    model: str
    parameters: Mapping[str, object]


def read_summary(folder: Path) -> dict[str, object] | None:
    """What summary.json of a published result holds; None where there is none to be read."""
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) else None


def what_changed(folder: Path, wanted: Fingerprint) -> str | None:
    """Why a published result is not the finished one wanted; None when it is.

    The outputs' digests are compared with their bytes: maps are small beside slides.
    """
    provenance = (read_summary(folder) or {}).get("provenance")
    if not isinstance(provenance, dict):
        return "its summary cannot be read"
    if provenance.get("slide") != wanted.slide:
        return "the slide file is another"
    if provenance.get("model") != wanted.model:
        return "made with another model"
    if provenance.get("parameters") != dict(wanted.parameters):
        return "made with other parameters"
    outputs = provenance.get("outputs")
    if not isinstance(outputs, dict) or not outputs:
        return "its summary names no files"
    for name, digest in outputs.items():
        try:
            with (folder / name).open("rb") as stream:
                same = hashlib.file_digest(stream, "sha256").hexdigest() == digest
        except OSError:
            return f"{name} is missing"
        if not same:
            return f"{name} was altered"
    return None


class SlideTable:
    """OUT/slides.csv: rewritten whole after every slide; rows of other slides stay.

    Of an earlier table whose rows are damaged, those before the damage stay.

    Raises:
        ResultError: the file there cannot be read, or is somebody else's, as a list of slides is.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / TABLE_FILE
        self._rows: dict[str, dict[str, str]] = {}
        text = self._earlier()
        head = tuple(text.partition("\n")[0].rstrip("\r").split(","))
        if text and head not in (TABLE_COLUMNS, EARLIER_COLUMNS, EARLIEST_COLUMNS):
            raise ResultError(f"{self._path}: not written by Extent; move it or give another --out")
        with suppress(csv.Error):
            for row in csv.DictReader(io.StringIO(text, newline="")):
                self._rows[row["slide"]] = {k: row.get(k) or "" for k in TABLE_COLUMNS}

    def _earlier(self) -> str:
        """What stands there, bytes that are no text replaced; nothing where there is no file."""
        with disk_errors(self._path):
            try:
                return self._path.read_bytes().decode("utf-8", errors="replace")
            except FileNotFoundError:
                return ""

    def record(self, outcome: SlideOutcome) -> None:
        """Set a slide's row.

        Raises:
            ResultError: the table cannot be written.
        """
        interval = outcome.interval
        self._rows[outcome.name] = {
            "slide": outcome.name,
            "status": "failed" if outcome.status == "failed" else "done",
            "reason": outcome.reason,
            "tumour_area_mm2": _cell(outcome.tumour_area_mm2),
            "area_low_mm2": _cell(interval.low if interval else None),
            "area_high_mm2": _cell(interval.high if interval else None),
            "tissue_area_mm2": _cell(outcome.tissue_area_mm2),
            "familiarity": outcome.familiarity.verdict if outcome.familiarity else "",
            "seconds": f"{outcome.seconds:.1f}",
        }
        text = io.StringIO()
        writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for _, row in sorted(self._rows.items()))
        temporary = self._path.with_name(f".{TABLE_FILE}.part")
        with disk_errors(self._path):
            try:
                temporary.write_text(text.getvalue(), encoding="utf-8")
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _cell(figure: float | None) -> str:
    """A figure with all its digits; empty where there is none."""
    return "" if figure is None else repr(figure)
