"""`extent scheduler`, `extent worker`, `extent certificates`: a cluster behind TLS, for real."""

import gc
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client

from annotations.errors import ExtentError, UsageError
from service.certificates import make_certificates, security
from service.cluster import connected
from service.engine.run import run_attempt
from service.process import NICENESS
from tests.attempts import content, map_attempt
from tests.conftest import REPOSITORY, command, draw_slide, extent
from tests.patience import SECONDS, wait_for
from tests.served import free_port


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "ours"
    assert extent("certificates", folder).returncode == 0
    return folder


@contextmanager
def running(*arguments: object) -> "Iterator[subprocess.Popen[bytes]]":
    """An `extent` command until the block ends; then SIGTERM must end it."""
    process = subprocess.Popen(command(*arguments), cwd=REPOSITORY)
    try:
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def listening(port: int) -> None:
    def answered() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answered)


def worker_pid() -> int:
    return os.getpid()


def family(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def next_worker(client: Client, before: int) -> int:
    """The process that works once another one has taken its place."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for pid in client.run(os.getpid, on_error="ignore").values():
            if pid != before:
                return int(pid)
        time.sleep(0.2)
    raise AssertionError("nobody took its place")


def test_a_cluster_behind_tls_does_attempts_and_outlives_kills(
    tmp_path: Path, tls: Path, random_model: Path
) -> None:
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    slide = draw_slide(tmp_path / "drawn.png")
    with (
        running("worker", address, "--tls", tls) as worker,  # which waits for the scheduler
        running("scheduler", "--port", port, "--tls", tls),
    ):
        listening(port)
        with connected(address, tls) as client:
            end = client.submit(run_attempt, map_attempt(tmp_path / "a", slide, random_model))
            assert end.result(timeout=SECONDS).status == "done"
            pid = client.submit(worker_pid, pure=False).result(timeout=SECONDS)
            assert psutil.Process(pid).nice() == max(os.nice(0), NICENESS)
            assert pid in family(worker.pid)
            os.kill(pid, signal.SIGKILL)
            assert next_worker(client, pid) in family(worker.pid)
            end = client.submit(run_attempt, map_attempt(tmp_path / "b", slide, random_model))
            assert end.result(timeout=SECONDS).status == "done"
        results = [tmp_path / name / "job" / "1" / "result" for name in ("a", "b")]
        assert content(results[0]) == content(results[1])


def _is_of_a_network(found: Any) -> bool:
    return found.family == socket.AF_INET and not found.address.startswith("127.")


def test_a_worker_listens_where_the_scheduler_can_reach_it(tls: Path) -> None:
    addresses = (each for found in psutil.net_if_addrs().values() for each in found)
    own = next((a.address for a in addresses if _is_of_a_network(a)), None)
    if own is None:
        pytest.skip("this machine has no address but loopback")
    port = free_port()
    with (
        running("scheduler", "--host", own, "--port", port, "--tls", tls),
        running("worker", f"tls://{own}:{port}", "--tls", tls),
        connected(f"tls://{own}:{port}", tls) as client,
    ):
        client.wait_for_workers(1, timeout=SECONDS)
        (address,) = client.run(os.getpid)
        assert address.startswith(f"tls://{own}:")


def test_a_worker_comes_back_to_a_scheduler_that_was_killed(tls: Path) -> None:
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    with running("worker", address, "--tls", tls):
        for _ in range(2):
            with running("scheduler", "--port", port, "--tls", tls) as scheduler:
                listening(port)
                with connected(address, tls) as client:
                    assert client.submit(worker_pid, pure=False).result(timeout=SECONDS)
                scheduler.kill()
                scheduler.wait()


def test_without_the_cluster_s_certificate_nobody_is_admitted(tls: Path, tmp_path: Path) -> None:
    port = free_port()
    make_certificates(tmp_path / "others", days=1)
    with running("scheduler", "--port", port, "--tls", tls):
        listening(port)
        for folder in (None, tmp_path / "others"):
            with pytest.raises(ExtentError, match="cannot connect"):  # noqa: SIM117
                with connected(f"tls://127.0.0.1:{port}", folder):
                    pass
        context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            pytest.raises((ssl.SSLError, ConnectionError)),
            context.wrap_socket(plain) as stranger,
        ):
            stranger.sendall(b"x" * 100)
            assert stranger.recv(1)


def test_a_client_that_cannot_connect_is_closed_at_once() -> None:
    """Were it left to be collected, that could hang another that opens just then."""
    before = clients()
    nowhere = f"tls://127.0.0.1:{free_port()}"
    with pytest.raises(ExtentError, match="cannot connect") as refused, connected(nowhere):
        pass
    made = [client for client in clients() if client not in before]
    assert [client.status for client in made] == ["closed"], refused.traceback


def clients() -> list[Client]:
    return [found for found in gc.get_objects() if issubclass(type(found), Client)]


def test_only_what_is_meant_to_listens(tls: Path) -> None:
    """No dashboard, and nothing on other interfaces."""
    port = free_port()
    with running("scheduler", "--port", port, "--tls", tls) as scheduler:
        listening(port)
        for connection in psutil.Process(scheduler.pid).net_connections("inet"):
            assert connection.laddr.ip == "127.0.0.1"


def test_certificates_are_for_the_owner_alone_and_never_replaced(tls: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in tls.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tls, *tls.iterdir()))
    before = {path: path.read_bytes() for path in tls.iterdir()}
    again = extent("certificates", tls)
    assert again.returncode == 0
    assert "certificates already" in again.stderr
    assert {path: path.read_bytes() for path in tls.iterdir()} == before
    (tmp_path / "key.pem").write_bytes(b"half of it")
    half = extent("certificates", tmp_path)
    assert half.returncode == 2
    assert "a part of certificates" in half.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scheduler", "--host", "0.0.0.0"), "only with --tls"),
        (("worker", "tcp://192.0.2.1:8786"), "only tls:// addresses"),
        (("worker", "tls://192.0.2.1:8786", "--host", "192.0.2.2"), "only with --tls"),
        (("scheduler", "--tls", "/nowhere"), "ca.pem is not there"),
        (("worker", "tls://127.0.0.1:1", "--tls", "/nowhere"), "ca.pem is not there"),
        (("predict", "x.png", "--out", "o", "--model", "m", "--cluster", "tls://127.0.0.1:1",
          "--tls", "/nowhere"), "ca.pem is not there"),
    ],
)  # fmt: skip
def test_wrong_use_is_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    found = subprocess.run(
        command(*arguments),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_a_port_that_is_taken_is_a_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = extent("scheduler", "--port", taken.getsockname()[1])
    assert found.returncode == 1
    assert "in use" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_folder_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca\.pem"):
        security(tmp_path)
