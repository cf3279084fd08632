"""The slides under the data root, and nothing outside it."""

from .readers.pool import ReaderPool
from .records.database import Records
from .settings import Settings


class Catalog:
    def __init__(self, settings: Settings, records: Records, readers: ReaderPool) -> None: ...
