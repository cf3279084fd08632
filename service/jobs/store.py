"""The records of jobs."""

from ..records.database import Records
from ..settings import Settings
from .hub import Hub


class JobStore:
    def __init__(self, settings: Settings, records: Records, hub: Hub) -> None: ...
