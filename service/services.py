"""What a server is made of, wired together once; the app's routes find it all here."""

from dataclasses import dataclass

from .event_stream import EventStreams
from .http.keys import KeyStore
from .http.metrics import Metrics
from .jobs.hub import Hub
from .jobs.runner import Runner
from .jobs.store import JobStore
from .map_tiles import MapTiles
from .model_shelf import ModelShelf
from .outlines.store import OutlineStore
from .readers.pool import ReaderPool
from .records.database import Records
from .settings import Settings
from .slides.catalog import Catalog
from .slides.tiles import Tiles
from .uploads.store import UploadStore


@dataclass(frozen=True)
class Services:
    """One server's parts."""

    settings: Settings
    records: Records
    keys: KeyStore
    readers: ReaderPool
    catalog: Catalog
    tiles: Tiles
    uploads: UploadStore
    outlines: OutlineStore
    models: ModelShelf
    hub: Hub
    jobs: JobStore
    maps: MapTiles
    runner: Runner
    metrics: Metrics
    streams: EventStreams

    @classmethod
    def of(cls, settings: Settings) -> "Services":
        """All parts, none of them started."""
        records = Records(settings.database_url)
        hub = Hub()
        readers = ReaderPool(settings.readers)
        catalog = Catalog(settings, records, readers)
        models = ModelShelf(settings, records)
        jobs = JobStore(settings, records, hub)
        keys = KeyStore(records)
        return cls(
            settings=settings,
            records=records,
            keys=keys,
            readers=readers,
            catalog=catalog,
            tiles=Tiles(catalog, readers),
            uploads=UploadStore(settings, records, catalog),
            outlines=OutlineStore(settings, records, catalog),
            models=models,
            hub=hub,
            jobs=jobs,
            maps=MapTiles(jobs),
            runner=Runner(settings, records, hub, catalog, models),
            metrics=Metrics(),
            streams=EventStreams(jobs, hub, keys, settings.limits.event_streams),
        )
