"""Alembic runs this file; the connection comes from `upgrade.py`, in a transaction."""

from alembic import context

from service.records.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes columns by copying tables
)
context.run_migrations()
