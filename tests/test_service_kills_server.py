"""kill -9 of everything that serves, at random moments: no job is lost, no result is different.

The server, the scheduler and two workers are processes of their own, started again when they end,
as an init system or Docker does. Jobs come in and their results go out over HTTP.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import REPOSITORY, command, draw_slide
from tests.served import free_port

KILLS, UNDER_WAY = 200, 5
SEED = 11
AIMS = ("server", "server", "scheduler", "worker", "worker", "a worker's child")
SHARE_WHILE_WORKING = 0.3  # of the kills: those that come when a slide is being worked on
MOST_SECONDS_BETWEEN = 6.0
SECONDS_PER_JOB = 900
SLIDES = 3
FILES = ("probability.tiff", "extent.geojson", "overlay.png")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@dataclass
class Fleet:
    """All processes of a service; those that end are started again."""

    folder: Path
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._log = (self.folder / "log").open("ab")
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def commands(self) -> dict[str, list[str]]:
        http, dask = self.ports
        address = f"tcp://127.0.0.1:{dask}"
        folders = ("--data", self.folder / "data", "--state", self.folder / "state")
        options = (*folders, "--models", self.folder / "models", "--readers", 1)
        worker = command("worker", address)
        return {
            "scheduler": command("scheduler", "--port", dask),
            "worker 1": worker,
            "worker 2": worker,
            "server": command("serve", *options, "--port", http, "--cluster", address),
        }

    def start(self) -> None:
        self._keeper.start()

    def end(self) -> None:
        self._ending.set()
        self._keeper.join()
        for process in self.processes.values():
            for member in _tree(process.pid):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()
        self._log.close()

    def kill(self, aim: str, drawn: random.Random) -> bool:
        """Kill one process; whether there was one."""
        name = f"worker {drawn.choice((1, 2))}" if "worker" in aim else aim
        process = self.processes.get(name)
        victims = [] if process is None else _tree(process.pid)
        if aim == "a worker's child":
            victims = victims[1:]
        with suppress(psutil.NoSuchProcess, IndexError):
            victim = drawn.choice(victims) if aim == "a worker's child" else victims[0]
            victim.send_signal(signal.SIGKILL)
            return True
        return False

    def _keep(self) -> None:
        while not self._ending.is_set():
            for name, arguments in self.commands.items():
                process = self.processes.get(name)
                if process is None or process.poll() is not None:
                    self.processes[name] = subprocess.Popen(
                        arguments,
                        cwd=REPOSITORY,
                        stdout=self._log,
                        stderr=self._log,
                        env=os.environ | {"OMP_NUM_THREADS": "1"},
                        start_new_session=True,
                    )
            self._ending.wait(0.2)


def _tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Client:
    """Asks the server, again and again where it is not there."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.asked: dict[str, str] = {}  # job id -> slide

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **request: object) -> httpx.Response:
        deadline = time.monotonic() + 300
        while True:
            with suppress(httpx.TransportError):
                answer = self._http.request(method, path, **request)  # type: ignore[arg-type]
                if answer.status_code not in (429, 503):
                    return answer
            assert time.monotonic() < deadline, "the server does not come back"
            time.sleep(0.1)

    def slides(self) -> dict[str, str]:
        """Names and ids."""
        items = self.ask("GET", "/v1/slides").json()["items"]
        return {item["name"]: item["id"] for item in items}

    def submit(self, name: str, slide_id: str, key: str) -> str:
        """A job, however often the answer is lost."""
        body = {"slide": slide_id, "model": "random", "mpp": 4.0}
        answer = self.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        job = answer.json()
        self.asked[job["id"]] = name
        return str(job["id"])

    def job(self, job_id: str) -> dict[str, object]:
        answer = self.ask("GET", f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def result(self, job_id: str) -> dict[str, str]:
        """The SHA-256 of each file, of the summary without what differs from run to run."""
        found = {}
        for name in (*FILES, "summary.json"):
            answer = self.ask("GET", f"/v1/jobs/{job_id}/{name}")
            assert answer.status_code == 200, answer.text
            content = answer.content
            if name == "summary.json":
                summary = json.loads(content)
                del summary["seconds"], summary["provenance"]["run"]
                content = json.dumps(summary).encode()
            found[name] = hashlib.sha256(content).hexdigest()
        return found


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(folder)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.end()


def wait_for(reached: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := reached()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


class Batch:
    """Jobs over HTTP, a few under way at a time; each finished one is compared."""

    def __init__(self, client: Client) -> None:
        self._client, self._slides = client, client.slides()
        self._expected: dict[str, dict[str, str]] = {}
        self.open: list[str] = []
        self.attempts: list[int] = []

    def undisturbed(self) -> float:
        """Find out what each slide's result is when nothing is killed.

        Returns the seconds that the first job took, with all that had to be started for it.
        """
        took = []
        for name, slide_id in self._slides.items():
            started = time.monotonic()
            job_id = self._client.submit(name, slide_id, f"undisturbed {name}")
            self._wait(job_id)
            took.append(time.monotonic() - started)
            self._expected[name] = self._client.result(job_id)
        return took[0]

    def go_on(self) -> None:
        """Compare what is finished, and submit as many more."""
        for job_id in [job_id for job_id in self.open if self._settled(job_id)]:
            self.open.remove(job_id)
            assert self._client.result(job_id) == self._expected[self._client.asked[job_id]]
        while len(self.open) < UNDER_WAY:
            number = len(self._client.asked)
            name = sorted(self._slides)[number % len(self._slides)]
            self.open.append(self._client.submit(name, self._slides[name], f"job {number}"))

    def finish(self) -> None:
        for job_id in self.open:
            self._wait(job_id)
            assert self._client.result(job_id) == self._expected[self._client.asked[job_id]]

    def phase(self) -> str:
        """What is being done with one of the slides; empty for nothing."""
        phases = [str(self._client.job(job_id)["phase"]) for job_id in self.open]
        return next((phase for phase in phases if phase), "")

    def all_are_known(self) -> bool:
        """Whether the server's list has just those jobs that it accepted, each once."""
        listed: list[str] = []
        cursor: str | None = None
        while True:
            query = {"limit": 50} | ({"cursor": cursor} if cursor else {})
            page = self._client.ask("GET", "/v1/jobs", params=query).json()
            listed += [job["id"] for job in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return sorted(listed) == sorted(self._client.asked)

    def _wait(self, job_id: str) -> None:
        assert wait_for(lambda: self._settled(job_id), SECONDS_PER_JOB)

    def _settled(self, job_id: str) -> bool:
        job = self._client.job(job_id)
        assert job["state"] in ("queued", "running", "succeeded"), job
        if job["state"] == "succeeded":
            self.attempts.append(int(str(job["attempt"])))
        return job["state"] == "succeeded"


def test_two_hundred_kills_lose_and_change_nothing(tmp_path: Path, random_model: Path) -> None:
    for name in ("data", "state", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "random.safetensors").write_bytes(random_model.read_bytes())
    for number in range(SLIDES):
        draw_slide(tmp_path / "data" / f"slide-{number}.png", 2200, 1100, seed=number)

    drawn = random.Random(SEED)
    killed: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    with fleet(tmp_path) as service, Client(service.ports[0]) as client:
        batch = Batch(client)
        longest_wait = min(batch.undisturbed() / 2, MOST_SECONDS_BETWEEN)
        while killed.total() < KILLS:
            batch.go_on()
            phase = ""
            if drawn.random() < SHARE_WHILE_WORKING:
                wait_for(lambda: bool(batch.phase()), 60)
                phase = batch.phase()
            time.sleep(drawn.uniform(0, longest_wait))
            aim = drawn.choice(AIMS)
            if service.kill(aim, drawn):
                killed[aim] += 1
                phases[phase] += 1
                print(f"{killed.total()}: {aim} after {phase or 'something'}", flush=True)
        batch.finish()
        assert batch.all_are_known()
    print(f"\n{killed.total()} kills: {dict(killed)}, last heard: {dict(phases)}")
    print(f"{len(client.asked)} jobs, attempts: {dict(sorted(Counter(batch.attempts).items()))}")
    assert set(killed) == set(AIMS)
    assert max(batch.attempts) > 1
