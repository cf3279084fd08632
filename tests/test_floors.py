"""The house stands: floors import downwards only, and each foreign library has its place."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("annotations", "tiling", "model", "service")
OWNERS = {  # library -> floors or files that may import it
    "defusedxml": ("annotations/",),
    "xml": ("annotations/",),  # names of types and writing; defusedxml reads
    "openslide": ("tiling/openslide_levels.py",),
    "PIL": ("tiling/",),
    "tifffile": ("tiling/",),
    "imagecodecs": ("tiling/",),
    "torch": ("model/",),
    "safetensors": ("model/",),
    "openvino": ("model/openvino_predictor.py",),
    "matplotlib": ("model/",),
    "typer": ("service/",),
    "rich": ("service/",),
    "dask": ("service/",),
    "distributed": ("service/",),
    "psutil": ("service/",),
    "fastapi": ("service/",),
    "starlette": ("service/",),
    "uvicorn": ("service/",),
    "pydantic": ("service/",),
    "prometheus_client": ("service/http/metrics.py",),
    "sqlalchemy": ("service/",),
    "alembic": ("service/records/",),
}
FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "joblib"}  # nothing is unpickled
FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).glob("**/*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it."""
    package = path.parent.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join((*above, *([node.module] if node.module else [])))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    floor = FLOORS.index(name.split("/")[0])
    for module in imported(path):
        top = module.split(".")[0]
        if top in FLOORS:
            assert FLOORS.index(top) <= floor, f"{name} imports {module} from a floor above it"
        assert top not in FORBIDDEN, f"{name} imports {module}"
        owners = OWNERS.get(top)
        assert owners is None or name.startswith(owners), f"{name} imports {module}"


def test_nothing_happens_at_import() -> None:
    """No environment, threads or heavy libraries where the command line is only asked for help."""
    code = (
        "import os, sys, threading; before = dict(os.environ); import service.cli;"
        "assert dict(os.environ) == before; assert threading.active_count() == 1;"
        "heavy = {'torch', 'openvino', 'distributed', 'matplotlib', 'fastapi', 'sqlalchemy'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_only_the_command_line_reads_the_environment() -> None:
    for path in FILES:
        text = path.read_text()
        if path.name.startswith("cli"):
            continue
        assert "os.environ" not in text and "getenv" not in text, path.name


def test_files_and_functions_stay_small() -> None:
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 280, f"{path.name} is too long: is a room missing?"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 45, f"{path.name}: {node.name} has {length} lines"


def test_every_class_of_error_is_in_the_docstring() -> None:
    from annotations import errors

    names = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    missing = {n for n in names if n not in (errors.__doc__ or "")} - {"OutlineWarning"}
    assert not missing
