"""A Dask cluster of processes of its own, as others run one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from tests.conftest import REPOSITORY
from tests.served import free_port


@dataclass
class Cluster:
    """A scheduler on loopback and its workers, each a process that can be killed."""

    port: int = field(default_factory=free_port)
    scheduler: "subprocess.Popen[bytes] | None" = None
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        self.scheduler = _started(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", self.port
        )

    def start_worker(self) -> None:
        options = ("--nthreads", 1, "--no-nanny", "--memory-limit", 0)
        self.workers.append(_started("distributed.cli.dask_worker", self.address, *options))

    def kill_scheduler(self) -> None:
        assert self.scheduler
        kill(self.scheduler)

    def kill_worker(self, number: int = 0) -> None:
        """The worker alone; what it started has to notice."""
        kill(self.workers.pop(number))

    def keep_workers(self, count: int) -> None:
        """Start workers in place of those that ended, as whoever runs a cluster does."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < count:
            self.start_worker()


def embedded_workers() -> list[psutil.Process]:
    """The workers of the clusters that are embedded in this process."""
    return [
        child for child in psutil.Process().children() if "spawn_main" in " ".join(_words_of(child))
    ]


def _words_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        words: list[str] = process.cmdline()
        return words
    return []


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _started(module: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", module, "--no-dashboard", *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )


@contextmanager
def cluster(workers: int) -> Iterator[Cluster]:
    """A scheduler with so many workers, all ended with the block."""
    cluster = Cluster()
    cluster.start_scheduler()
    cluster.keep_workers(workers)
    try:
        yield cluster
    finally:
        for process in (*cluster.workers, cluster.scheduler):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
