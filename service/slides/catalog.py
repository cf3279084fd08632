"""The slides that a server knows: all under the data root, and uploads; nothing outside those."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from annotations.errors import SlideError

from ..http.cursors import cursor_after, row_of
from ..http.principals import Principal
from ..http.problems import Problem, not_found
from ..readers.pool import ReaderPool
from ..readers.slide_ref import OwnFiles, SlideRef
from ..records.database import Records, new_id, now
from ..records.tables import SlideRecord
from ..settings import Settings
from .tree import FoundSlide, SlideFolder

log = logging.getLogger("extent.catalog")
SECONDS_BETWEEN_SCANS = 5.0
GONE = "The slide's file is not there any more."


class Catalog:
    """Slides by random ids, which stay the same as long as their files keep their places.

    For any number of threads; methods that wait for a reader are coroutines.
    """

    def __init__(self, settings: Settings, records: Records, readers: ReaderPool) -> None:
        self._records, self._readers = records, readers
        self._folders = {
            "disk": SlideFolder(settings.data, without=settings.state),
            "upload": SlideFolder(settings.uploads),
        }
        self._scanning = threading.Lock()
        self._scanned_at = float("-inf")  # on the monotonic clock
        self._left_out: Mapping[str, int] = {}

    def scan(self) -> None:
        """Bring the records up to what lies under the data root; scans never overlap.

        New files get ids, files that went are `missing_at` until they come back, and of files that
        changed nothing is known any more.

        Raises:
            RecordsError: the database is away.
        """
        with self._scanning:
            self._scan()

    def get(self, principal: Principal, slide_id: str) -> SlideRecord:
        """A slide that the principal may see, though its file may have gone.

        Raises:
            Problem: 404.
        """
        with self._records.read() as session:
            record = session.get(SlideRecord, slide_id)
        if record is None or record.group not in (None, principal.group):
            raise not_found("slide")
        return record

    def page(
        self, principal: Principal, q: str = "", cursor: str | None = None, limit: int = 50
    ) -> tuple[list[SlideRecord], str | None]:
        """Slides in order of name whose names contain `q` in any case, and the next page's cursor.

        A slide that is there throughout is on exactly one page, whatever comes and goes meanwhile.

        Raises:
            Problem: 400; the cursor is none.
        """
        self._scan_if_due()
        visible = sa.or_(SlideRecord.group.is_(None), SlideRecord.group == principal.group)
        query = sa.select(SlideRecord).where(visible, SlideRecord.missing_at.is_(None))
        if q:
            query = query.where(SlideRecord.name.icontains(q, autoescape=True))
        if cursor is not None:
            place = sa.tuple_(*map(sa.literal, row_of(cursor, str, str)))
            query = query.where(sa.tuple_(SlideRecord.name, SlideRecord.id) > place)
        query = query.order_by(SlideRecord.name, SlideRecord.id).limit(limit + 1)
        with self._records.read() as session:
            rows = list(session.scalars(query))
        if len(rows) <= limit:
            return rows, None
        last = rows[limit - 1]
        return rows[:limit], cursor_after(last.name, last.id)

    def path(self, record: SlideRecord) -> Path:
        """A slide's file, or DICOM folder: absolute, without links, inside its root as of now.

        Raises:
            Problem: 410; it is not there any more, or a file of it lies elsewhere.
            SlideError: it is there, and no slide; the text names no file.
        """
        return self._files(record).path

    def sees(self, record: SlideRecord) -> tuple[Path, ...]:
        """All that whoever decodes a slide may see: its files, and a DICOM folder itself.

        Errors are those of `path`.
        """
        return self._files(record).sees

    def ref(self, record: SlideRecord) -> SlideRef:
        """What a reader needs to know of a slide; errors as of `path`."""
        return SlideRef(record.id, self.path(record))

    async def facts_of_file(self, path: Path) -> dict[str, Any]:
        """What a reader says of a file that is no slide yet.

        Raises:
            SlideError: it cannot be read; the text names no file.
            Problem: 503; too much is asked of the readers.
        """
        ref = SlideRef(new_id(), path)
        try:
            return await self._readers.facts(ref)
        finally:
            self._readers.forget(ref.id)

    def forget(self, slide_id: str) -> None:
        """Let go of the files of a slide that was deleted."""
        self._readers.forget(slide_id)

    async def examined(self, record: SlideRecord) -> SlideRecord:
        """The slide with `facts`, or with `unusable` and the reason, of its file as it is now.

        What could not be read is tried again: its reader may have been short of time or memory.

        Raises:
            Problem: 410; its file is not there any more.
            RecordsError: the database is away.
        """
        known: dict[str, Any] = {"facts_of": None, "facts": None, "unusable": None}
        try:
            files = await asyncio.to_thread(self._files, record)
            if record.facts is not None and record.facts_of == files.stamp:
                return record
            known["facts_of"] = files.stamp
            known["facts"] = await self._readers.facts(SlideRef(record.id, files.path))
        except SlideError as error:
            known["unusable"] = str(error)
        return await asyncio.to_thread(self._keep, record.id, known)

    def _keep(self, slide_id: str, known: dict[str, Any]) -> SlideRecord:
        with self._records.begin() as session:
            record = session.get(SlideRecord, slide_id)
            if record is None:
                raise not_found("slide")
            for column, value in known.items():
                setattr(record, column, value)
        return record

    def _scan_if_due(self) -> None:
        """Scan when the last one is old, unless one is under way: then what is known must do."""
        due = time.monotonic() - self._scanned_at > SECONDS_BETWEEN_SCANS
        if due and self._scanning.acquire(blocking=False):
            try:
                self._scan()
            finally:
                self._scanning.release()

    def _scan(self) -> None:
        tree = self._folders["disk"].walk()
        with self._records.read() as session:
            changes = _Changes(session, tree.slides)
        if changes.any:
            with self._records.begin() as session:
                changes.write(session)
        if tree.left_out != self._left_out:
            for reason, count in sorted(tree.left_out.items()):
                log.warning("left out of the slides: %s (%d)", reason, count)
        self._left_out = tree.left_out
        self._scanned_at = time.monotonic()

    def _files(self, record: SlideRecord) -> OwnFiles:
        try:
            return self._folders[record.kind].files(record.path)
        except OSError:
            raise Problem(410, GONE) from None


class _Changes:
    """What must change in the records of slides on disk after a look at the disk."""

    def __init__(self, session: Session, found: Sequence[FoundSlide]) -> None:
        columns = (SlideRecord.id, SlideRecord.path, SlideRecord.bytes)
        state = (SlideRecord.facts_of, SlideRecord.missing_at)
        known = {
            row.path: row
            for row in session.execute(
                sa.select(*columns, *state).where(SlideRecord.kind == "disk")
            )
        }
        at = now()
        self.new = [_row(slide, at) for slide in found if slide.path not in known]
        self.back: list[dict[str, Any]] = []
        self.changed: list[dict[str, Any]] = []
        for slide in found:
            if (row := known.pop(slide.path, None)) is None:
                continue
            if row.bytes != slide.bytes or row.facts_of not in (None, slide.stamp):
                self.changed.append({"id": row.id, "bytes": slide.bytes, **_UNKNOWN})
            elif row.missing_at is not None:
                self.back.append({"id": row.id, "missing_at": None})
        self.gone = [
            {"id": row.id, "missing_at": at} for row in known.values() if row.missing_at is None
        ]

    @property
    def any(self) -> bool:
        return bool(self.new or self.back or self.changed or self.gone)

    def write(self, session: Session) -> None:
        for updates in (self.back, self.changed, self.gone):
            if updates:
                session.execute(sa.update(SlideRecord), updates)
        if self.new:
            session.execute(sa.insert(SlideRecord), self.new)


_UNKNOWN = {"missing_at": None, "facts_of": None, "facts": None, "unusable": None}


def _row(slide: FoundSlide, at: float) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": "disk",
        "path": slide.path,
        "name": slide.name,
        "bytes": slide.bytes,
        "created_at": at,
        **_UNKNOWN,
    }
