"""Uploads in the records and on the disk, step by step; each step is whole or did not happen."""

import shutil
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..http.principals import Principal
from ..http.problems import Problem, not_found
from ..jobs.room import check_disk, check_quota
from ..readers.names import unreadable
from ..records.audit import audit
from ..records.database import Records, new_id, now
from ..records.tables import SlideRecord, Upload
from ..settings import DAY, Settings
from ..slides.tree import SlideFolder
from .files import FULL, Tail, UploadFile, disk_refusals

RECEIVING, READY, REFUSED = "receiving", "ready", "refused"
EXPIRED = "This upload was not finished in time and is gone; start it again."


class UploadRecords:
    """The uploads of all groups. For any number of threads, but one at a time for each upload.

    An upload's offset in the records is the truth: bytes beyond it in the file do not count.
    """

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings, self._records = settings, records

    def create(self, principal: Principal, name: str, length: int) -> Upload:
        """Begin an upload of so many bytes, shown as `name`.

        Raises:
            Problem: 413, too long; 403, over the quota; 429, too many unfinished ones; 503 or
                507, no room on the disk.
            RecordsError: the database is away.
        """
        limits = self._settings.limits
        if length > limits.upload_bytes:
            raise Problem(413, f"An upload may have {limits.upload_bytes:,} bytes at most.")
        with disk_refusals():
            self._settings.uploads.mkdir(parents=True, exist_ok=True)
            check_disk(self._settings)
            free = shutil.disk_usage(self._settings.uploads).free
        if length > free - self._settings.retention.free_bytes:
            raise Problem(507, FULL)
        upload = Upload(
            id=new_id(),
            group=principal.group,
            key_id=principal.key_id,
            name=name,
            length=length,
            offset=0,
            state=RECEIVING,
            created_at=now(),
            expires_at=self._expiry(),
        )
        file = self.file(upload)
        file.create()
        try:
            with self._records.begin() as session:
                self._check_open(session, principal.group)
                check_quota(session, self._settings, principal.group, length)
                session.add(upload)
        except BaseException:
            file.remove()
            raise
        return upload

    def get(self, principal: Principal, upload_id: str) -> Upload:
        """An upload, whatever became of it.

        Raises:
            Problem: 404.
            RecordsError: the database is away.
        """
        with self._records.read() as session:
            upload = session.get(Upload, upload_id)
        if upload is None or upload.group != principal.group:
            raise not_found("upload")
        return upload

    def going_on(self, principal: Principal, upload_id: str) -> Upload:
        """An upload that is neither refused nor expired.

        Raises:
            Problem: 404; 410.
            RecordsError: the database is away.
        """
        upload = self.get(principal, upload_id)
        if upload.state == REFUSED:
            raise Problem(410, f"This upload was refused and is gone: {upload.reason}")
        if upload.state == RECEIVING and upload.expires_at < now():
            raise Problem(410, EXPIRED)
        return upload

    def keep(self, upload: Upload, tail: Tail) -> Upload:
        """First the disk, then the records: an offset that a client hears of is on the disk.

        Raises:
            Problem: 409, another request changed the upload; 503 or 507, the disk.
            RecordsError: the database is away.
        """
        tail.keep()
        with self._records.begin() as session:
            return _changed(session, upload, offset=tail.end, expires_at=self._expiry())

    def check_size(self, facts: dict[str, Any]) -> None:
        """Raises SlideError: the slide has more pixels than this server takes."""
        width, height = facts["size_level0"]
        if width * height > self._settings.limits.slide_pixels:
            raise unreadable(f"it claims {width} x {height} pixels, too many for this server")

    def make_slide(self, principal: Principal, upload: Upload, facts: dict[str, Any]) -> Upload:
        """A complete upload becomes a slide of its group; errors as of `keep`."""
        days = self._settings.retention.uploads_days
        path = self.file(upload).relative
        slide = SlideRecord(
            id=new_id(),
            kind="upload",
            path=path,
            name=upload.name,
            group=upload.group,
            key_id=upload.key_id,
            bytes=upload.length,
            created_at=now(),
            expires_at=None if days is None else now() + days * DAY,
            facts_of=SlideFolder(self._settings.uploads).files(path).stamp,
            facts=facts,
        )
        with self._records.begin() as session:
            ready = _changed(session, upload, state=READY, slide_id=slide.id)
            session.add(slide)
            audit(session, principal, "slide upload", slide_id=slide.id, outcome="accepted")
        return ready

    def refuse(self, principal: Principal, upload: Upload, reason: str) -> Upload:
        """A complete upload is no slide: its bytes go, the reason stays; errors as of `keep`."""
        with self._records.begin() as session:
            refused = _changed(session, upload, state=REFUSED, reason=reason)
            audit(session, principal, "slide upload", outcome="refused")
        self.file(upload).remove()
        return refused

    def terminate(self, principal: Principal, upload_id: str) -> None:
        """Forget an upload and its bytes.

        Raises:
            Problem: 404; 409, it is a slide.
            RecordsError: the database is away.
        """
        upload = self.get(principal, upload_id)
        if upload.state == READY:
            raise Problem(409, "The upload is complete; delete its slide instead.")
        with self._records.begin() as session:
            session.execute(sa.delete(Upload).where(Upload.id == upload_id))
        self.file(upload).remove()

    def file(self, upload: Upload) -> UploadFile:
        """Where its bytes are."""
        return UploadFile(self._settings.uploads, upload.id, upload.name)

    def _expiry(self) -> float:
        return now() + self._settings.retention.unfinished_uploads_days * DAY

    def _check_open(self, session: Session, group: str) -> None:
        most = self._settings.limits.uploads_open
        going_on = (Upload.state == RECEIVING, Upload.expires_at >= now())
        query = sa.select(sa.func.count()).where(Upload.group == group, *going_on)
        if (session.scalar(query) or 0) >= most:
            raise Problem(
                429, f"Your group has {most} unfinished uploads; finish or delete one first."
            )


def _changed(session: Session, upload: Upload, **values: Any) -> Upload:
    """Change an upload that is still as it was.

    Raises:
        Problem: 409; it is not.
    """
    same = (Upload.id == upload.id, Upload.offset == upload.offset, Upload.state == RECEIVING)
    change = sa.update(Upload).where(*same).values(**values)
    done = cast("sa.CursorResult[Any]", session.execute(change))
    if done.rowcount != 1:
        raise Problem(409, "Another request changed this upload; ask for its offset.")
    return session.get_one(Upload, upload.id, populate_existing=True)
