"""What a server is told; `cli_serve.py` alone reads the command line and the environment."""

from dataclasses import dataclass, field
from pathlib import Path

GB = 10**9
DAY = 86_400.0


@dataclass(frozen=True)
class Limits:
    """What one request, one owner and the whole server may take.

    Bytes are after gzip has been undone; `gzip_ratio` bounds what that may expand to.
    """

    body_bytes: int = 16 << 10  # of JSON: what is wrong with every field is found out at once
    long_body_bytes: int = 1 << 20  # where thousands of slides may be named
    outline_bytes: int = 64 << 20
    outline_vertices: int = 2_000_000
    json_depth: int = 32
    gzip_ratio: int = 200
    upload_bytes: int = 64 * GB  # also of one request: many clients send all in one
    uploads_open: int = 20  # unfinished ones of a group
    slide_pixels: int = 1 << 40
    requests_per_minute: int = 60_000  # of a key: a viewer asks for hundreds of tiles a second
    submissions_per_minute: int = 6_000
    anonymous_per_minute: int = 3_000  # of an address without a key
    failed_keys_per_minute: int = 60  # wrong keys from an address
    jobs_waiting: int = 5_000  # of a group
    event_streams: int = 100  # of a group
    training_slides: int = 500
    training_hours: float = 12.0
    training_bytes: int = 20 * GB


@dataclass(frozen=True)
class Retention:
    """When things go by themselves, in days; None keeps them. `quota_bytes` is a group's share."""

    uploads_days: float | None = 90.0
    unfinished_uploads_days: float = 1.0
    results_days: float | None = None
    audit_days: float | None = None
    quota_bytes: int = 500 * GB
    free_bytes: int = GB  # nothing new is begun with less left on the disk


@dataclass(frozen=True)
class Settings:
    """One server.

    `data` holds the slides and is never written to; `state` everything that Extent keeps: the
    database (unless `database` is the URL of another), uploads, results, trained models.
    `hosts` are the names under which the server may be asked for, beside those of loopback.
    `workers` None: what suits the machine. `cluster` is a Dask scheduler's address, None for an
    embedded one, and `tls` the folder of the certificates that it and the server know each other
    by. `https` says that a proxy in front speaks HTTPS with browsers. `require_key` refuses
    requests without a key on loopback too.
    """

    data: Path
    state: Path
    host: str = "127.0.0.1"
    port: int = 8000
    database: str | None = None
    cluster: str | None = None
    tls: Path | None = None
    workers: int | None = None
    readers: int = 8
    models: Path | None = None
    hosts: tuple[str, ...] = ()
    require_key: bool = False
    https: bool = False
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{(self.state / 'extent.sqlite').absolute()}"

    @property
    def jobs(self) -> Path:
        """JOBS/<job id>/<attempt>/: what the attempts at a job leave."""
        return self.state / "jobs"

    @property
    def uploads(self) -> Path:
        """UPLOADS/<upload id>/<file name>: each upload in a folder of its own."""
        return self.state / "uploads"

    @property
    def compiled(self) -> Path:
        """Models as workers compiled them; may be removed at any time."""
        return self.state / "compiled"

    @property
    def trained(self) -> Path:
        """TRAINED/<name>.safetensors: models that trainings here made."""
        return self.state / "models"
