"""`extent scheduler`, `extent worker` and `extent certificates`: a cluster of several machines."""

from pathlib import Path
from typing import Annotated

import typer

from .cli_options import complain

Host = Annotated[str, typer.Option(help="Where to listen; an address that the others can reach.")]
Tls = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The cluster's certificates; needed beyond this machine."),
]


def scheduler(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8786,
    tls: Tls = None,
) -> None:
    """Bring a server and its workers on other machines together.

    Workers are started with `extent worker`; the server, or `extent predict`, is given the address
    as --cluster. SIGTERM ends it.
    """
    from .cluster_members import Member, run_scheduler

    run_scheduler(Member(host, port, tls), complain)


def worker(
    scheduler: Annotated[str, typer.Argument(metavar="SCHEDULER", help="tls://HOST:PORT")],
    host: Annotated[
        str | None,
        typer.Option(help="Where to listen [the address by which it reaches the scheduler]."),
    ] = None,
    tls: Tls = None,
) -> None:
    """Work on slides for a scheduler, one at a time.

    Slides and results must lie on the same paths as on the server. It runs at low priority, is
    started again when it dies, and waits where the scheduler is not there. SIGTERM ends it; what it
    was at is done again elsewhere.
    """
    from .cluster_members import run_worker

    run_worker(scheduler, host, tls, complain)


def certificates(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder to be made.")],
    days: Annotated[int, typer.Option(min=1, max=36500, help="How long they are good.")] = 1825,
) -> None:
    """Make the certificates of one cluster, unless the folder has them already.

    Copy the folder to each of its machines and give it as --tls. Whoever has it may run programs
    there: keep it as you keep passwords. To have new ones, remove the folder everywhere first.
    """
    from .certificates import make_certificates

    if make_certificates(folder, days):
        complain(f"{folder}: copy it to every machine of the cluster, and to nobody else")
    else:
        complain(f"{folder}: has certificates already, which stay as they are")
