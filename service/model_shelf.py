"""The models that a server offers."""

from .records.database import Records
from .settings import Settings


class ModelShelf:
    def __init__(self, settings: Settings, records: Records) -> None: ...
