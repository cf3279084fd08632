"""The Dask cluster that a batch runs on: its own, or one by address."""

import asyncio
import ipaddress
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotations.errors import ExtentError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Nanny

CORES_PER_WORKER = 4
SECONDS_TO_CONNECT = 30
SECONDS_TO_STOP = 0.5
SECONDS_WITHOUT_WORKERS = 120
EMBEDDED_CONFIG = {
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

    _quiet()
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
def connected(address: str) -> "Iterator[Client]":
    """A cluster that others run; its certificates come from Dask's own configuration.

    Raises:
        UsageError: no encryption and not this machine. ExtentError: nobody answers.
    """
    from distributed import Client

    check_address(address)
    _quiet()
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ExtentError(f"--cluster {address}: cannot connect: {error}") from error
    with client:
        yield client


def check_address(address: str) -> None:
    """Refuse to send pickles over a network in the open.

    Raises:
        UsageError: the address is neither tls:// nor this machine's own.
    """
    protocol, _, rest = address.rpartition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if protocol == "tls" or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if protocol not in ("tcp", "") or not loopback:
        raise UsageError(
            f"--cluster {address}: beyond this machine only tls:// addresses are used, because "
            "Dask's messages are programs (certificates: see Dask's distributed.comm.tls settings)"
        )


def _quiet() -> None:
    """Keep the cluster's own talk, above all at shutdown, off the user's screen."""
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
