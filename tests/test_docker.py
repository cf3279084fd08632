"""The image is built for real and takes a slide from the API's door to its result."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import typer.main
import yaml

from service.cli import app
from tests import image
from tests.conftest import REPOSITORY
from tests.drawn import draw_case
from tests.patience import SECONDS, wait_for
from tests.served import free_port

SECONDS_TO_STOP = 60  # half of it as promised, as much again where others compute


def test_the_compose_file_builds_on_the_image_safely() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())
    ours = {n: s for n, s in compose["services"].items() if n != "database"}
    assert set(ours) == {"api", "worker", "scheduler", "certificates"}
    for name, service in ours.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
    api, worker = (
        {place for m in ours[name]["volumes"] for place in re.findall(r":(/[a-z]+(?::ro)?)$", m)}
        for name in ("api", "worker")
    )
    assert api == worker == {"/certificates:ro", "/slides:ro", "/state"}, "they see the same paths"


def test_every_setting_that_the_compose_file_gives_is_one() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())
    given = set(compose["services"]["api"]["environment"])
    given |= set(
        re.findall(r"EXTENT_SERVE_\w+", (REPOSITORY / "docker" / "Dockerfile").read_text())
    )
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    prefix = serve.context_settings["auto_envvar_prefix"]
    known = {f"{prefix}_{option.name.upper()}" for option in serve.params}
    assert given <= known, given - known


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of the image, freshly built."""
    reason = image.missing()
    if reason and "CI" in os.environ:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    image.build_base(folder, "extent-test-base")
    arguments = " ".join(
        ["--build-arg BASE=localhost/extent-test-base", *image.package_sources(folder)]
    )
    image.run("make", "image", "IMAGE=extent-test", f"IMAGE_ARGS={arguments}")
    container, files = image.mounted("localhost/extent-test")
    yield files
    image.run(*image.STORE, "rm", container)
    image.run(*image.STORE, "rmi", "--force", "localhost/extent-test", "localhost/extent-test-base")


@contextmanager
def running(root: Path, state: Path, slides: Path, port: int) -> Iterator[httpx.Client]:
    """The image's own command, as its user, on files that it cannot change."""
    settings = {
        "PATH": "/opt/extent/bin:/usr/bin:/bin",
        "EXTENT_SERVE_DATA": "/slides",
        "EXTENT_SERVE_STATE": "/state",
        "EXTENT_SERVE_HOST": "0.0.0.0",
        "EXTENT_SERVE_PORT": str(port),
        "EXTENT_SERVE_ALLOW_HOST": "127.0.0.1",
    }
    where = image.inside(root, "--bind", str(state), "/state", "--ro-bind", str(slides), "/slides")
    where += [part for name, value in settings.items() for part in ("--setenv", name, value)]
    key = image.run(*where, "extent", "keys", "create", "--state", "/state", "--scope", "write")
    server = subprocess.Popen([*where, "extent", "serve"], start_new_session=True)
    headers = {"Authorization": f"Bearer {key.split()[-1]}"}
    try:
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, headers=headers, timeout=SECONDS) as client:
            wait_for(lambda: _is_ready(client))
            yield client
        os.killpg(server.pid, signal.SIGTERM)
        assert server.wait(SECONDS_TO_STOP) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _is_ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/v2/health/ready").status_code == 200
    return False


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_slide_goes_through_the_image(root: Path, tmp_path: Path) -> None:
    slides, state = tmp_path / "slides", tmp_path / "state"
    slides.mkdir()
    state.mkdir()
    draw_case(slides, 0)
    with running(root, state, slides, free_port()) as client:
        assert client.get("/v1/slides", headers={"Authorization": ""}).status_code == 401
        assert "<script" in client.get("/").text, "the viewer is in the image"
        (slide,) = client.get("/v1/slides").json()["items"]
        body = {"slide": slide["id"], "model": "breast-idc", "mpp": 4.0}
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        path = answer.headers["location"]
        wait_for(lambda: client.get(path).json()["finished_at"] is not None)
        job = client.get(path).json()
        assert job["state"] == "succeeded", job
        summary = json.loads(client.get(f"/v1/jobs/{job['id']}/summary.json").content)
        assert summary["tissue_area_mm2"] > 0
        assert client.get(f"/v1/jobs/{job['id']}/overlay.png").content[:4] == b"\x89PNG"
