"""Extent's image, really built: with buildah on a base made by debootstrap where no engine runs."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY

SUITE, PACKAGES = "bookworm", "ca-certificates,python3,python3-venv"
PIP_OPTIONS = ("cert", "find-links", "extra-index-url", "index-url")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
NPM_SETTINGS = "/root/.npmrc"  # inside the image, where root builds
STORE = ("buildah", "--storage-driver", "vfs")


def missing() -> str:
    """Why no image can be built here; empty where one can."""
    absent = [
        name for name in ("buildah", "debootstrap", "bwrap", "make") if not shutil.which(name)
    ]
    if absent:
        return f"building an image takes {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "debootstrap takes root"


def run(*command: object, timeout: float = 1500) -> str:
    """Run to the end; what it said on stdout."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def build_base(folder: Path, name: str) -> None:
    """A small Debian with Python as the image `name`."""
    root, context = folder / "root", folder / "context"
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root)
    context.mkdir()
    run("tar", "-C", root, "-cf", context / "base.tar", ".")
    shutil.rmtree(root)
    (context / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    run(*STORE, "bud", "--isolation", "chroot", "--format", "docker", "--tag", name, context)


def package_sources(folder: Path) -> list[str]:
    """Arguments that show a build where this machine's pip and npm get their packages."""
    volumes: dict[Path, str] = {}
    lines = ["[global]"]
    for line in run("python3", "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        scope, _, option = name.partition(".")
        if scope not in ("global", ":env:") or option not in PIP_OPTIONS:
            continue
        lines.append(f"{option} = {value.strip(chr(39))}")
        for word in value.strip("'").split():
            path = Path(word.removeprefix("file://"))
            path = path.parent if word.startswith("file://") else path  # an index beside its files
            volumes |= {path: str(path)} if path.is_absolute() and path.exists() else {}
    settings = folder / "pip.conf"
    settings.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    volumes[settings] = "/etc/pip.conf"
    if AUTHORITIES.is_file():  # which this machine may have more of than others
        npm = folder / "npmrc"
        npm.write_text(f"cafile={AUTHORITIES}\n")
        volumes |= {npm: NPM_SETTINGS, AUTHORITIES.parent: str(AUTHORITIES.parent)}
    return [part for path, at in volumes.items() for part in ("--volume", f"{path}:{at}:ro")]


def mounted(image: str) -> tuple[str, Path]:
    """A container of an image and the folder where its files stand."""
    container = run(*STORE, "from", image).strip()
    return container, Path(run(*STORE, "mount", container).strip())


def inside(root: Path, *binds: str, uid: int = 10001) -> list[str]:
    """What runs a command as the image's user on its files, which it cannot change.

    Whoever runs this is that user inside: what is bound must be theirs.
    """
    return [
        "bwrap", "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/tmp", *binds, "--unshare-user", "--uid", str(uid), "--gid", str(uid),
        "--unshare-pid", "--die-with-parent", "--clearenv", "--chdir", "/tmp",
    ]  # fmt: skip
