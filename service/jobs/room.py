"""Whether there is room for more: on the disk, and in a group's quota."""

import shutil

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..http.problems import Problem
from ..records.tables import Job, SlideRecord, Upload
from ..settings import GB, Settings

RETRY_DISK_SECONDS = 60


def disk_has_room(settings: Settings) -> bool:
    """Whether more than `retention.free_bytes` are free where the server keeps its state."""
    return shutil.disk_usage(settings.state).free > settings.retention.free_bytes


def check_disk(settings: Settings) -> None:
    """Refuse to begin anything new on a disk that is almost full.

    Raises:
        Problem: 503; the same may succeed once somebody has freed space.
    """
    if not disk_has_room(settings):
        raise Problem(
            503,
            "The server's disk is almost full: nothing new is begun until there is room again. "
            "Deleting results and uploads makes some.",
            headers={"Retry-After": str(RETRY_DISK_SECONDS)},
        )


def used_bytes(session: Session, group: str) -> int:
    """What a group's results, uploads and unfinished uploads take, or will."""
    sums = (
        sa.select(sa.func.sum(Job.result_bytes)).where(Job.group == group),
        sa.select(sa.func.sum(SlideRecord.bytes)).where(SlideRecord.group == group),
        sa.select(sa.func.sum(Upload.length)).where(
            Upload.group == group, Upload.state == "receiving"
        ),
    )
    return sum(int(session.scalar(statement) or 0) for statement in sums)


def check_quota(session: Session, settings: Settings, group: str, more_bytes: int = 0) -> None:
    """Refuse what would take a group beyond its share of the disk.

    Raises:
        Problem: 403, because waiting does not help: the group must delete something.
    """
    quota = settings.retention.quota_bytes
    if used_bytes(session, group) + more_bytes > quota:
        raise Problem(
            403,
            f"Your group's share of the disk ({quota / GB:.3g} GB) is used up. "
            "Delete results or uploads that are no longer needed.",
        )
