"""A jailed process can open what it was given, and nothing else; it stays so for good."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.readers import jail
from tests.conftest import REPOSITORY
from tests.patience import SECONDS

pytestmark = pytest.mark.skipif(not jail.available(), reason="this kernel has no Landlock")

BEGIN = "import os, socket, sys; from pathlib import Path; from service.readers.jail import *;"


def jailed(code: str, *arguments: object) -> str:
    """What a process prints that runs `code` with `given` = its arguments as paths."""
    begin = f"{BEGIN} given = [Path(a) for a in sys.argv[1:]]\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    return inside / "file", outside / "file"


def test_a_file_that_was_given_can_be_read_and_another_cannot(files: tuple[Path, Path]) -> None:
    begin = "restrict([given[0]]); print(given[0].read_text())\n"
    assert jailed(begin, *files) == "inside"
    assert "PermissionError" in jailed("restrict([given[0]]); given[1].read_text()", *files)
    assert "PermissionError" in jailed("restrict([given[0]]); given[0].write_text('')", *files)
    assert "PermissionError" in jailed("restrict([given[0]]); os.listdir('/')", *files)


def test_a_folder_that_was_given_can_be_read_or_written(files: tuple[Path, Path]) -> None:
    inside, outside = (file.parent for file in files)
    read = "print((given[0] / 'file').read_text())"
    assert jailed(f"restrict([given[0]]); {read}", inside, outside) == "inside"
    write = "(given[1] / 'new').write_text('x'); (given[1] / 'file').unlink(); print('done')"
    assert jailed(f"restrict([given[0]], [given[1]]); {write}", inside, outside) == "done"
    assert "PermissionError" in jailed(f"restrict([given[0], given[1]]); {write}", inside, outside)


def test_what_a_jailed_process_starts_is_jailed(files: tuple[Path, Path]) -> None:
    code = (
        "read, write = os.pipe()\n"
        "restrict([given[0]])\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        given[1].read_text()\n"
        "    except PermissionError:\n"
        "        os.write(write, b'refused')\n"
        "    os._exit(0)\n"
        "os.wait(); os.close(write); print(os.read(read, 99).decode())\n"
    )
    assert jailed(code, *files) == "refused"


def test_a_second_jail_only_takes_away(files: tuple[Path, Path]) -> None:
    code = "restrict([given[0]]); restrict([given[0], given[1]])\n"
    assert jailed(code + "print(given[0].read_text())", *files) == "inside"
    assert "PermissionError" in jailed(code + "given[1].read_text()", *files)


def test_a_link_put_in_the_place_of_a_file_leads_nowhere(files: tuple[Path, Path]) -> None:
    inside, outside = files
    code = "restrict([given[0]]); input(); print(given[0].read_text())"
    with subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN} given = [Path(sys.argv[1])]; {code}", str(inside)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while "NoNewPrivs:\t1" not in Path(f"/proc/{process.pid}/status").read_text():
            assert process.poll() is None
        inside.unlink()
        inside.symlink_to(outside)
        said = process.communicate("\n", timeout=SECONDS)[1]
    assert "PermissionError" in said


def test_no_path_may_lead_through_a_link(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(files[1])
    (tmp_path / "folder").symlink_to(files[1].parent)
    for path in (tmp_path / "link", tmp_path / "folder" / "file"):
        assert "Too many levels of symbolic links" in jailed("restrict(given)", path)
    assert "No such file" in jailed("restrict(given)", tmp_path / "none")


def test_a_process_with_threads_is_not_half_jailed(files: tuple[Path, Path]) -> None:
    code = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); restrict(given)"
    )
    assert "before it starts threads" in jailed(code, *files)


def test_it_can_gain_no_privileges(files: tuple[Path, Path]) -> None:
    status = "print('NoNewPrivs:\\t1' in Path('/proc/self/status').read_text())"
    assert jailed(f"restrict([*given, Path('/proc')]); {status}", *files) == "True"


@pytest.mark.skipif(jail.abi() < 4, reason="this kernel's Landlock knows no TCP")
def test_it_has_no_tcp(files: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        assert "PermissionError" in jailed(f"restrict(given); {connect}", *files)
    listen = "socket.create_server(('127.0.0.1', 0))"
    code = f"socket.getaddrinfo('127.0.0.1', 0); restrict(given); {listen}"
    assert "PermissionError" in jailed(code, *files)


@pytest.mark.skipif(jail.abi() < 6, reason="this kernel's Landlock knows no scopes")
def test_it_reaches_no_process_outside(files: tuple[Path, Path]) -> None:
    assert "PermissionError" in jailed(f"restrict(given); os.kill({os.getpid()}, 0)", *files)
    with socket.socket(socket.AF_UNIX) as server:
        name = f"extent-test-{os.getpid()}"  # others may test at the same time
        server.bind(f"\0{name}")
        server.listen()
        code = f"s = socket.socket(socket.AF_UNIX); restrict(given); s.connect('\\0{name}')"
        assert "PermissionError" in jailed(code, *files)


def test_the_program_is_found_without_links() -> None:
    folders = jail.program()
    assert any((folder / "json").is_dir() for folder in folders)
    assert any((folder / "numpy").is_dir() for folder in folders)
    assert all(folder == folder.resolve() for folder in folders)
