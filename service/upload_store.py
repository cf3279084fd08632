"""Unfinished uploads, and how they become slides."""

from .catalog import Catalog
from .records.database import Records
from .settings import Settings


class UploadStore:
    def __init__(self, settings: Settings, records: Records, catalog: Catalog) -> None: ...
