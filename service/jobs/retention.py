"""What goes by itself: expired results, old records, folders that nobody needs."""

import logging
import shutil
import threading
import time
from pathlib import Path

import sqlalchemy as sa

from annotations.errors import RecordsError

from ..records.audit import ByRule
from ..records.database import Records, now
from ..records.tables import FINAL, Audit, BrowserSession, Idempotency, Job
from ..settings import DAY, Settings
from ..uploads.removal import remove_expired, remove_unknown
from .folders import remove_attempts
from .hub import Hub
from .submission import audit_job

log = logging.getLogger("extent.retention")
SECONDS_BETWEEN_SWEEPS = 600.0
IDEMPOTENCY_DAYS = 7.0
UNKNOWN_DAYS = 1.0  # a folder's age before it goes because no job is known to have made it
MOST_AT_ONCE = 500  # jobs in one look


class Retention:
    """Sweeps now and then, in a thread of its own."""

    def __init__(self, settings: Settings, records: Records, hub: Hub) -> None:
        self._settings, self._records, self._hub = settings, records, hub
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="extent-retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def sweep(self) -> None:
        """Delete everything whose time has come: results, uploads, records, what is left over.

        Raises:
            RecordsError: the database is away; the next sweep does the rest.
        """
        self._forget_records()
        remove_expired(self._settings, self._records)
        remove_unknown(self._settings, self._records)
        self._delete_results()
        self._remove_folders()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.sweep()
            except (RecordsError, OSError) as error:
                log.warning("a sweep was broken off: %s", type(error).__name__)
            self._stop.wait(SECONDS_BETWEEN_SWEEPS)

    def _forget_records(self) -> None:
        at, audit_days = now(), self._settings.retention.audit_days
        with self._records.begin() as session:
            old_keys = Idempotency.created_at < at - IDEMPOTENCY_DAYS * DAY
            session.execute(sa.delete(Idempotency).where(old_keys))
            session.execute(sa.delete(BrowserSession).where(BrowserSession.expires_at < at))
            if audit_days is not None:
                session.execute(sa.delete(Audit).where(Audit.at < at - audit_days * DAY))

    def _delete_results(self) -> None:
        """Delete expired results as their owners could."""
        expired = (Job.expires_at < now(), Job.deleted_at.is_(None))
        with self._records.begin() as session:
            query = sa.select(Job).where(*expired).limit(MOST_AT_ONCE).with_for_update()
            jobs = list(session.scalars(query))
            for job in jobs:
                job.result_attempt, job.result_bytes, job.deleted_at = None, 0, now()
                job.revision = self._hub.next_revision(job.id, job.revision)
                audit_job(session, ByRule(job.group), job, "result expire", "deleted")
        for job in jobs:
            shutil.rmtree(self._settings.jobs / job.id, ignore_errors=True)
            self._hub.announce(job.id, job.revision)

    def _remove_folders(self) -> None:
        """Remove what attempts left that nobody needs: of finished jobs, and of unknown ones.

        A database that knows none of the folders is probably not theirs: then all stay.
        """
        folders = {path.name: path for path in self._settings.jobs.iterdir() if path.is_dir()}
        known = self._known(list(folders))
        for job_id, job in known.items():
            if job.state in FINAL:
                remove_attempts(folders[job_id], but={job.result_attempt})
        unknown = [path for name, path in folders.items() if name not in known]
        if unknown and not known:
            log.warning("%d folders of jobs are not this database's; they stay", len(unknown))
            return
        for path in unknown:
            if _age_days(path) > UNKNOWN_DAYS:
                shutil.rmtree(path, ignore_errors=True)

    def _known(self, job_ids: list[str]) -> dict[str, Job]:
        known = {}
        for first in range(0, len(job_ids), MOST_AT_ONCE):
            some = job_ids[first : first + MOST_AT_ONCE]
            with self._records.read() as session:
                for job in session.scalars(sa.select(Job).where(Job.id.in_(some))):
                    known[job.id] = job
        return known


def _age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / DAY
