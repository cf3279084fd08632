"""How a database that an earlier Extent made becomes this one's, step by step (Alembic).

A step is a module in `versions` with `revision`, `down_revision` and `upgrade()`. There is no way
back but a backup. `tests/test_service_records.py` says what a new step must do.
"""
