"""Which state folder a database belongs to: results lie in the one that its jobs were run in."""

from pathlib import Path

import sqlalchemy as sa

from annotations.errors import UsageError
from tiling.rawplanes import disk_errors

from .database import Records, new_id, now
from .tables import StateFolder

TOKEN = ".database"  # in the state folder


def check_belonging(records: Records, state: Path) -> None:
    """Make sure that a database and a state folder are each other's; those new become so.

    Called by whoever holds the state folder's lock.

    Raises:
        UsageError: the database is another state folder's, or the folder another database's.
        RecordsError: the database is away. ResultError: the disk refuses.
    """
    token = _token(state / TOKEN)
    with records.begin() as session:
        known = session.scalar(sa.select(StateFolder.token))
        if known is None:
            session.add(StateFolder(token=token, created_at=now()))
        elif known != token:
            raise UsageError(
                "--state and --database do not belong together: the jobs of this database were run "
                "with another state folder. Give both as they were, or take a new database"
            )


def _token(path: Path) -> str:
    """The folder's token, made when there is none."""
    with disk_errors(path):
        if not path.exists():
            partial = path.with_name(f"{path.name}.part")
            partial.write_text(new_id(), encoding="ascii")
            partial.replace(path)
        return path.read_text(encoding="ascii").strip()
