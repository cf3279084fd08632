"""Outlines of slides, in versions."""

from .catalog import Catalog
from .records.database import Records
from .settings import Settings


class OutlineStore:
    def __init__(self, settings: Settings, records: Records, catalog: Catalog) -> None: ...
