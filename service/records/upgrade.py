"""A database brought up to this version's tables."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from annotations.errors import UsageError

ONE_AT_A_TIME = 0x457874656E74  # the number of PostgreSQL's advisory lock: "Extent"


def upgrade(connection: sa.Connection) -> None:
    """Take the steps that are missing, in the connection's transaction: all of them or none.

    Servers that start at once come here one after the other: SQLite's writers exclude each other,
    on PostgreSQL an advisory lock does it, which ends with the transaction.

    Raises:
        UsageError: the database is of a later version of Extent.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
    config = config_for(connection)
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if set(MigrationContext.configure(connection).get_current_heads()) - known:
        raise UsageError(
            "the database was last used by a later version of Extent; use that version, or "
            "restore a backup of before"
        )
    command.upgrade(config, "head")


def config_for(connection: sa.Connection) -> Config:
    """Alembic's configuration for work on this connection."""
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
