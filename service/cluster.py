"""The Dask cluster that a batch runs on: its own, or one by address."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotations.errors import ExtentError, UsageError

from . import certificates
from .loopback import is_loopback

if TYPE_CHECKING:
    from distributed import Client, Nanny
    from distributed.security import Security

CORES_PER_WORKER = 4
SECONDS_TO_CONNECT = 30
SECONDS_TO_STOP = 0.5
SECONDS_WITHOUT_WORKERS = 120
# How a worker's allocator (glibc) hands memory back: arrays of a window's size at once, smaller
# ones when much is free. Dask would have it hand back all at once; fetching that again takes a
# third of a slide's time.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": 16 << 20, "MALLOC_TRIM_THRESHOLD_": 128 << 20}
EMBEDDED_CONFIG = {
    **{f"distributed.nanny.pre-spawn-environ.{name}": size for name, size in ALLOCATOR.items()},
    # The batch itself decides what becomes of a slide whose worker died.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.no-workers-timeout": f"{SECONDS_WITHOUT_WORKERS}s",
    # Memory is bounded by how Extent works; a limit would only kill healthy workers.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    # Dask insists on HTTP servers; without routes they answer nothing.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@dataclass(frozen=True)
class Share:
    """How a machine's cores are shared out: `workers` processes of `threads` threads."""

    workers: int
    threads: int

    @classmethod
    def of(cls, cores: int, slides: int, workers: int | None = None) -> "Share":
        """A worker for every four cores unless told otherwise, never more than slides."""
        wanted = workers or cores // CORES_PER_WORKER
        used = max(1, min(wanted, slides))
        return cls(used, max(1, cores // used))


def available_cores() -> int:
    """The processor cores this process may use, as its container or batch system allows."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


@contextmanager
def embedded(share: Share) -> "Iterator[Client]":
    """A cluster of this batch alone: worker processes that restart, on this machine's loopback.

    Messages are pickled, so nobody else may send any: certificates made for this run.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    quiet()
    security = Security.temporary()
    with (
        dask.config.set(EMBEDDED_CONFIG),
        LocalCluster(
            n_workers=share.workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            yield client
        except BaseException:
            cluster.sync(_stop_at_once, list(cluster.workers.values()))
            raise


async def _stop_at_once(nannies: "Sequence[Nanny]") -> None:
    """End the workers without waiting for their slides: what these left can be gone on with."""
    stops = (nanny.close(timeout=SECONDS_TO_STOP, reason="extent-stops") for nanny in nannies)
    await asyncio.gather(*stops, return_exceptions=True)


@contextmanager
def connected(address: str, tls: Path | None = None) -> "Iterator[Client]":
    """A cluster that others run.

    `tls` is a folder of certificates; without one they come from Dask's own configuration.

    Raises:
        UsageError: no encryption and not this machine, or no certificates in that folder.
        ExtentError: nobody answers.
    """
    check_address(address)
    security = None if tls is None else certificates.security(tls)
    quiet()
    try:
        client = _client(address, security)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ExtentError(f"--cluster {address}: cannot connect: {error}") from error
    with client:
        yield client


def _client(address: str, security: "Security | None") -> "Client":
    """A connected client, or none at all.

    Dask leaves one that could not connect half open until it is collected. Collected while another
    client opens, in the same thread, it waits for a lock for ever.
    """
    from distributed import Client

    class WholeClient(Client):  # type: ignore[misc]
        def start(self, **options: object) -> None:
            try:
                super().start(**options)
            except BaseException:
                self.close()
                raise

    return WholeClient(address, timeout=SECONDS_TO_CONNECT, security=security)


def check_address(address: str, named: str = "--cluster") -> None:
    """Refuse to send pickles over a network in the open; `named` is what the user calls it.

    Raises:
        UsageError: the address is neither tls:// nor this machine's own.
    """
    protocol, _, rest = address.rpartition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if protocol != "tls" and not (protocol in ("tcp", "") and is_loopback(host)):
        raise UsageError(
            f"{named} {address}: beyond this machine only tls:// addresses are used, because "
            "Dask's messages are programs (`extent certificates DIR` makes certificates for "
            "--tls; Dask's own distributed.comm.tls settings count too)"
        )


def quiet() -> None:
    """Keep the cluster's own talk, above all at shutdown, off the user's screen."""
    own = ("distributed.client", "tornado.application")  # of levels of their own
    for name in ("distributed", "tornado", "asyncio", *own):
        logging.getLogger(name).setLevel(logging.CRITICAL)
