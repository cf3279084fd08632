"""`extent serve` and `extent keys` as a user runs them."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from annotations.errors import UsageError
from service.cli import app
from service.http.keys import KeyStore
from service.http.principals import Scope
from service.http.recent import SECONDS_BELIEVED
from service.records.database import Records
from service.settings import Settings
from tests.attempts import halt, mapping
from tests.conftest import REPOSITORY, command, draw_slide, extent, write_random_model
from tests.patience import SECONDS, wait_for
from tests.postgres import postgresql
from tests.served import free_port, served

SECONDS_TO_STOP = 60.0  # half of it as promised, as much again where others compute
HEADLESS = "every request needs a key and there is none"


@dataclass
class Running:
    """A server process, and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def stop(self, signum: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=SECONDS_TO_STOP)
        return self.process.returncode, out, err


@contextmanager
def serving(folder: Path, *options: object, **environment: str) -> Iterator[Running]:
    """Run `extent serve` on folder/slides and folder/state, until the block ends."""
    (folder / "slides").mkdir(exist_ok=True)
    port = free_port()
    places = ("--data", folder / "slides", "--state", folder / "state", "--port", port)
    process = subprocess.Popen(
        command("serve", *places, *options),
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            running = Running(process, client)
            _await(running)
            yield running
    finally:
        process.kill()
        process.communicate()


def _await(running: Running) -> None:
    def answers() -> bool:
        assert running.process.poll() is None, running.process.communicate()
        with suppress(httpx.TransportError):
            return running.client.get("/v2/health/live").status_code == 200
        return False

    wait_for(answers)


def test_a_server_says_where_it_is_and_stops_when_asked(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    draw_slide(tmp_path / "slides" / "flat.png")
    with serving(tmp_path) as running:
        assert running.client.get("/v1/session").json()["via"] == "loopback"
        slide = running.client.get("/v1/slides").json()["items"][0]["id"]
        assert running.client.get(f"/v1/slides/{slide}/thumbnail").status_code == 200
        loaded = Path(f"/proc/{running.process.pid}/maps")
        if loaded.exists():  # networks run in other processes
            assert not re.search(r"torch|openvino", loaded.read_text())
        code, out, err = running.stop()
    assert code == 0
    assert f"http://localhost:{running.client.base_url.port}" in out
    assert "Research use only" in out and str(tmp_path / "state") in out
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0, "nobody else looks at what it keeps"
    assert re.search(r"\dZ INFO extent.requests GET /v1/session 200 ", err)
    assert "go on when the server is started again" in err and "Traceback" not in err


def test_variables_stand_for_options_and_options_win(tmp_path: Path) -> None:
    variables = {
        "EXTENT_SERVE_ALLOW_HOST": "lab.example slides.example",
        "EXTENT_SERVE_REQUIRE_KEY": "true",
        "EXTENT_SERVE_STATE": "/nowhere",
    }
    with serving(tmp_path, **variables) as running:
        for host in ("lab.example", "slides.example:443"):
            assert running.client.get("/v1/session", headers={"Host": host}).status_code == 401
        err = running.stop()[2]
    assert HEADLESS in err


def test_options_are_the_limits(tmp_path: Path) -> None:
    options = ("--upload-gb", 0.5, "--free-gb", 1e6, "--requests-per-minute", 24)
    with serving(tmp_path, *options) as running:
        client = running.client
        said = client.options("/v1/uploads")
        assert said.headers["tus-max-size"] == "500000000"
        assert client.get("/v2/health/ready").json()["parts"]["disk"]["detail"] == "nearly full"
        upload = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": "9",
            "Upload-Metadata": "filename YS5wbmc=",
        }
        full = client.post("/v1/uploads", headers=upload)
        assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
        assert 429 in [client.get("/v1/session").status_code for _ in range(30)]
    with serving(tmp_path, "--quota-gb", 0.001) as running:
        answer = running.client.post("/v1/uploads", headers=upload | {"Upload-Length": "1000001"})
        assert answer.status_code == 403


def test_beyond_loopback_it_says_how_to_make_a_key_that_then_works(tmp_path: Path) -> None:
    state = ("--state", tmp_path / "state")
    with serving(tmp_path, "--host", "0.0.0.0") as running:
        client = running.client
        assert client.get("/v1/session").status_code == 401
        made = extent("keys", "create", "--scope", "read", "--name", "Anna", *state)
        key = made.stdout.strip()
        assert made.returncode == 0 and "only once" in made.stderr
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/v1/session", headers=headers).json()["name"] == "Anna"
        listed = extent("keys", "list", *state).stdout
        assert "Anna" in listed and "valid" in listed and key.split("_")[2] not in listed
        assert extent("keys", "revoke", key, *state).stdout.startswith("revoked")
        time.sleep(2)
        assert client.get("/v1/session", headers=headers).status_code == 401
        _, _, err = running.stop()
    assert HEADLESS in err and "extent keys create --scope admin --state" in err
    assert "--https" in err and key not in err


def refusal(*arguments: object) -> str:
    """Why `extent` refuses these arguments as wrong usage, in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, UsageError):
        return str(done.exception)
    assert done.exit_code == 2, done
    return done.output


def test_keys_are_looked_for_where_a_server_was(tmp_path: Path) -> None:
    nowhere = tmp_path / "typo"
    for arguments in (("list",), ("revoke", "0" * 16)):
        assert "no such folder" in refusal("keys", *arguments, "--state", nowhere)
    assert not nowhere.exists()


def test_keys_are_told_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for arguments, said in (
        (("revoke", "0" * 16), "no key of that id"),
        (("create", "--scope", "read", "--days", "0"), "--days"),
        (("create", "--scope", "read", "--group", "a\nb"), "--group"),
        (("create", "--scope", "everything"), "--scope"),
        (("create", "--scope", "read", "--database", "mysql://x"), "--database"),
    ):
        assert said in refusal("keys", *arguments, "--state", tmp_path / "state")


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    slides, state = tmp_path / "slides", tmp_path / "state"
    slides.mkdir()
    (tmp_path / "file").write_text("")
    good = {"--data": slides, "--state": state}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for wrong, said in (
            ({"--data": tmp_path / "none"}, "there is no such folder"),
            ({"--models": tmp_path / "none"}, "--models takes a folder"),
            ({"--state": slides / "state"}, "keep them apart"),
            ({"--state": tmp_path / "file"}, "--state takes a folder"),
            ({"--cluster": "tcp://192.0.2.1:8786"}, "only tls:// addresses"),
            ({"--tls": tmp_path}, "is not there or not readable"),
            ({"--port": port}, "is taken"),
            ({"--host": "192.0.2.1"}, "no address of this machine"),
            ({"--port": 0, "--database": "nonsense"}, "not a database URL"),
        ):
            options = [part for pair in (good | wrong).items() for part in pair]
            assert said in refusal("serve", *options), wrong


def test_two_servers_do_not_share_a_state_and_ctrl_c_stops_one(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        options = ("--data", tmp_path / "slides", "--state", tmp_path / "state", "--port", 0)
        done = extent("serve", *options)
        assert done.returncode == 1 and "another server" in done.stderr
        assert "Traceback" not in done.stderr
        assert running.stop(signal.SIGINT)[0] == 0


def test_open_streams_and_running_jobs_do_not_hold_it_up(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "models").mkdir()
    draw_slide(tmp_path / "slides" / "flat.png", 3000, 3000)
    write_random_model(tmp_path / "models" / "random.safetensors", mpp=1.0)
    with serving(tmp_path, "--models", tmp_path / "models") as running:
        client = running.client
        slide = client.get("/v1/slides").json()["items"][0]["id"]
        body = {"slide": slide, "model": "random", "mpp": 1.0}
        job = client.post("/v1/jobs", json=body).json()
        with client.stream("GET", f"{job['links']['self']}/events") as stream:
            assert next(stream.iter_text())
            wait_for(  # it would never come to its end, unless it has
                lambda: (
                    any(map(halt, mapping()))
                    or client.get(job["links"]["self"]).json()["finished_at"]
                )
            )
            code, _, err = running.stop()
    assert code == 0 and "Traceback" not in err
    with sqlite3.connect(tmp_path / "state" / "extent.sqlite") as records:
        (state,) = records.execute("SELECT state FROM jobs").fetchone()
    assert state in ("queued", "running", "succeeded")


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with serving(tmp_path, "--database", url) as running:
        client = running.client
        ready = client.get("/v2/health/ready")
        assert ready.status_code == 503
        assert ready.json()["parts"]["database"] == {"ok": False, "detail": "cannot be reached"}
        answer = client.get("/v1/slides")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        assert answer.json()["title"] == "Service Unavailable"
        assert client.get("/").status_code == 200
        code, _, err = running.stop()
    assert code == 0
    assert "the database cannot be reached; waiting for it" in err and "Traceback" not in err


def test_a_database_that_goes_away_comes_back(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    with postgresql() as database:
        settings = Settings(
            tmp_path / "slides",
            tmp_path / "state",
            database=database.new_database("away"),
            require_key=True,
        )
        records = Records(settings.database_url)
        records.migrate()
        key = KeyStore(records).create("Anna", Scope.READ, "pathology")
        records.close()
        with served(settings, key=key) as client:
            paths = ("/v1/slides", "/v1/jobs", "/v1/session")
            wait_for(lambda: client.get(paths[0]).status_code == 200)  # it has looked at its tables
            assert [client.get(path).status_code for path in paths] == [200, 200, 200]
            database.stop()
            time.sleep(SECONDS_BELIEVED)
            for path in paths:
                answer = client.get(path)
                assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0, path
                assert answer.headers["content-type"] == "application/problem+json"
            ready = client.get("/v2/health/ready")
            assert ready.status_code == 503 and not ready.json()["parts"]["database"]["ok"]
            database.start()
            assert [client.get(path).status_code for path in paths] == [200, 200, 200]


def test_headers_without_end_are_cut_off(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    with served(Settings(tmp_path / "slides", tmp_path / "state")) as client:
        for start in (b"GET / HTTP/1.1\r\nX: ", b"GET /"):
            with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as raw:
                raw.settimeout(SECONDS)
                raw.sendall(start)
                with pytest.raises(ConnectionError):
                    for _ in range(10_000):
                        raw.sendall(b"x" * 10_000)
        assert client.get("/v2/health/live").status_code == 200
