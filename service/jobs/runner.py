"""The one who sees each job through to its end."""

from ..catalog import Catalog
from ..model_shelf import ModelShelf
from ..records.database import Records
from ..settings import Settings
from .hub import Hub
from .store import JobStore


class Runner:
    def __init__(
        self,
        settings: Settings,
        records: Records,
        jobs: JobStore,
        hub: Hub,
        catalog: Catalog,
        models: ModelShelf,
    ) -> None: ...

    def start(self) -> None:
        """Begin."""

    def drain(self) -> None:
        """End."""
