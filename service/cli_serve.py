"""`extent serve`. Each option is also a variable: --allow-host is EXTENT_SERVE_ALLOW_HOST."""

import logging
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_keys import DEFAULT_STATE, Database, State
from .cli_options import complain

if TYPE_CHECKING:
    from .serving import Server
    from .settings import Settings

ENVIRONMENT = {"auto_envvar_prefix": "EXTENT_SERVE"}
RESEARCH_USE = "Research use only. Not for diagnosis."
LOG_FORMAT = "%(asctime)sZ %(levelname)s %(name)s %(message)s"

Data = Annotated[Path, typer.Option(metavar="DIR", help="The slides; never written to.")]
Host = Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for every interface.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler to work on [one of its own]."),
]
Tls = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The certificates for --cluster; see `extent certificates`."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Jobs worked on at once [one for every four cores].")
]
Readers = Annotated[int, typer.Option(min=1, help="Processes that decode slides for viewers.")]
Models = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Models beside those that ship with Extent.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A name by which the server may be asked for. Repeatable."),
]
RequireKey = Annotated[
    bool, typer.Option("--require-key", help="Ask for a key on loopback too (behind a proxy).")
]
Https = Annotated[
    bool, typer.Option("--https", help="A proxy in front speaks HTTPS: cookies travel only so.")
]
UploadsDays = Annotated[
    float, typer.Option(min=0, help="Uploads are deleted after so long; 0 keeps them.")
]
ResultsDays = Annotated[
    float, typer.Option(min=0, help="Results are deleted after so long; 0 keeps them.")
]
AuditDays = Annotated[
    float, typer.Option(min=0, help="The audit log forgets after so long; 0 keeps all.")
]
QuotaGb = Annotated[
    float, typer.Option(min=0.001, help="What a group's uploads and results may take, in GB.")
]
FreeGb = Annotated[
    float,
    typer.Option(min=0, help="Nothing is begun with less than this free, in GB."),
]
UploadGb = Annotated[float, typer.Option(min=0.001, help="The largest upload, in GB.")]
TrainingHours = Annotated[float, typer.Option(min=0.01, help="How long a training may take.")]
TrainingGb = Annotated[
    float, typer.Option(min=0.001, help="How much disk a training may take while it runs, in GB.")
]
RequestsPerMinute = Annotated[int, typer.Option(min=1, help="What one key may ask.")]


def serve(
    data: Data = Path("slides"),
    state: State = DEFAULT_STATE,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    database: Database = None,
    cluster: Cluster = None,
    tls: Tls = None,
    workers: Workers = None,
    readers: Readers = 8,
    models: Models = None,
    allow_host: AllowHost = None,
    require_key: RequireKey = False,
    https: Https = False,
    keep_uploads_days: UploadsDays = 90,
    keep_results_days: ResultsDays = 0,
    keep_audit_days: AuditDays = 0,
    quota_gb: QuotaGb = 500,
    free_gb: FreeGb = 1,
    upload_gb: UploadGb = 64,
    training_hours: TrainingHours = 12,
    training_gb: TrainingGb = 20,
    requests_per_minute: RequestsPerMinute = 60_000,
) -> None:
    """Serve slides, maps and the viewer over HTTP.

    On loopback no key is needed; beyond it every request needs one (`extent keys create`).
    SIGTERM or Ctrl-C stops the server within 30 s; jobs go on when it is started again. Every
    option can also be given as a variable: EXTENT_SERVE_PORT for --port.
    """
    from .settings import GB, Limits, Retention, Settings

    _run(
        Settings(
            data=data,
            state=state,
            host=host,
            port=port,
            database=database,
            cluster=cluster,
            tls=tls,
            workers=workers,
            readers=readers,
            models=models,
            hosts=tuple(allow_host or ()),
            require_key=require_key,
            https=https,
            limits=Limits(
                upload_bytes=int(upload_gb * GB),
                training_hours=training_hours,
                training_bytes=int(training_gb * GB),
                requests_per_minute=requests_per_minute,
            ),
            retention=Retention(
                uploads_days=keep_uploads_days or None,
                results_days=keep_results_days or None,
                audit_days=keep_audit_days or None,
                quota_bytes=int(quota_gb * GB),
                free_bytes=int(free_gb * GB),
            ),
        )
    )


def _run(settings: "Settings") -> None:
    """Serve until a signal says stop."""
    from .serving import Server, check, listen, run

    check(settings)
    with listen(settings) as listening:
        port: int = listening.getsockname()[1]
        server = Server(settings, started=lambda server: _welcome(server, port))
        _log_to_stderr()
        run(server, listening)
    complain("stopped. Unfinished jobs go on when the server is started again")


def _welcome(server: "Server", port: int) -> None:
    """Say where the server is, and what still has to be done."""
    settings = server.services.settings
    host = "localhost" if settings.host in ("0.0.0.0", "::", "127.0.0.1") else settings.host
    authority = f"[{host}]" if ":" in host else host
    typer.echo(f"Extent serves at http://{authority}:{port}   {RESEARCH_USE}")
    typer.echo(f"slides: {settings.data}   state: {settings.state}")
    if server.lacks_keys():
        place = ["--database", "…"] if settings.database else ["--state", str(settings.state)]
        command = shlex.join(["extent", "keys", "create", "--scope", "admin", *place])
        complain(f"every request needs a key and there is none; make one with\n    {command}")
    if server.is_open_to_listeners:
        complain("keys travel unencrypted; put a proxy that speaks HTTPS in front, and add --https")
    sys.stdout.flush()


def _log_to_stderr() -> None:
    """Extent's own log in UTC; uvicorn's, which would show paths and what errors say, is off."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    logging.Formatter.converter = time.gmtime
    logging.getLogger("extent").addHandler(handler)
    logging.getLogger("extent").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
