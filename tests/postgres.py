"""A real PostgreSQL server of a test's own, from the binaries that Debian installs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.served import free_port

INSTALLED = Path("/usr/lib/postgresql")
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Server:
    """One server under way; on loopback, everybody trusted."""

    binaries: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://extent@127.0.0.1:{self.port}/extent"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """At once, as a crash does; what was committed stays."""
        self._control("stop", "-m", "immediate")

    def new_database(self, name: str) -> str:
        """The URL of an empty database."""
        engine = sa.create_engine(
            f"postgresql+psycopg://extent@127.0.0.1:{self.port}/postgres",
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        engine.dispose()
        return f"postgresql://extent@127.0.0.1:{self.port}/{name}"

    def _control(self, *arguments: str) -> None:
        data = str(self.folder / "data")
        _run(str(self.binaries / "pg_ctl"), "-D", data, "-w", *arguments, cwd=self.folder)


@contextmanager
def postgresql() -> Iterator[Server]:
    """Run a server until the block ends; skips where none is installed, but never under CI."""
    found = sorted(INSTALLED.glob("*/bin/pg_ctl"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed")
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="extent-postgresql-"))
    try:
        if (user := _unprivileged()) is not None:
            shutil.chown(folder, user)
        server = Server(found[-1].parent, folder, free_port())
        initdb = str(server.binaries / "initdb")
        data = str(folder / "data")
        _run(initdb, "-D", data, "-U", "extent", "-A", "trust", "-E", "UTF8", "-N", cwd=folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """The user to run as where this is root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


def _run(*command: str, cwd: Path) -> None:
    result = subprocess.run(
        command,
        cwd=cwd,
        user=_unprivileged(),
        extra_groups=[] if _unprivileged() else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
