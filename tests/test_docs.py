"""What the documents say works: Python blocks run, settings are read, commands and links exist."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main

from model.config import TrainConfig
from service.app import create_app
from service.cli import app as commands_of_extent
from service.settings import Settings
from tests.served import served
from tiling.synthetic import SlideRecipe
from tiling.synthetic_files import write_drawn_slide

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = SlideRecipe(seed=3, site=1, width=1400, height=1200, mpp=2.0)
    write_drawn_slide(tmp_path / "slide.tiff", recipe)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec("\n".join(blocks(ROOT / "docs" / "python.md", "python")), names)
    regions, area, outlines = (names[n] for n in ("regions", "area_mm2", "outlines"))
    assert isinstance(regions, list) and isinstance(area, float) and isinstance(outlines, list)
    slide_area = sum(outline.area for outline in outlines) * 4 / 1e6
    assert area == pytest.approx(slide_area, rel=1e-9)
    assert (tmp_path / "mine.xml").exists()


def test_the_example_of_a_program_runs_against_a_server(tmp_path: Path) -> None:
    absent = [name for name in ("bash", "curl", "jq") if not shutil.which(name)]
    if absent:
        pytest.skip(f"the example takes {', '.join(absent)}")
    (script,) = blocks(ROOT / "docs" / "serve.md", "sh")
    slides, here = tmp_path / "slides", tmp_path / "here"
    for folder in (slides, here):
        folder.mkdir()
    recipe = SlideRecipe(seed=3, site=1, width=1400, height=1200, mpp=2.0)
    write_drawn_slide(slides / "biopsy 1.tiff", recipe)
    with served(Settings(slides, tmp_path / "state", port=0)) as client:
        script = script.replace("http://localhost:8000", str(client.base_url).rstrip("/"))
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=here, check=True)
    summary = json.loads((here / "summary.json").read_text())
    saved = json.loads((here / "saved.json").read_text())
    assert saved["version"] == 1
    area = sum(saved["areas_mm2"].values())
    assert area == pytest.approx(summary["tumour_area_mm2"], rel=1e-6)
    assert (here / "outlines.xml").read_text().count("<Annotation ") >= len(summary["regions"])
    assert (here / "overlay.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    commands = typer.main.get_command(commands_of_extent).commands  # type: ignore[attr-defined]
    for block in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split(" #")[0].split()
            if not words or words[0] != "extent":
                continue
            command = commands[words[1]]
            command = getattr(command, "commands", {}).get(" ".join(words[2:3]), command)
            known = {o for p in command.params for o in p.opts}
            for word in words[2:]:
                assert not word.startswith("--") or word in known, f"{page.name}: {line}"


def test_addresses_are_the_server_s(tmp_path: Path) -> None:
    app = create_app(Settings(tmp_path / "slides", tmp_path / "state"))
    routes = [re.sub(r"\{[^}]+\}", "[^/]+", getattr(route, "path", "")) for route in app.routes]
    for page in PAGES:
        for method, address in re.findall(
            r"`(?:([A-Z]+) )?(/(?:v\d|metrics)[^\s`?]*)", page.read_text()
        ):
            known = [route for route in routes if re.fullmatch(route, address)]
            assert known or address == "/v1", f"{page.name}: {method} {address}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_settings_are_settings(page: Path) -> None:
    for block in blocks(page, "toml"):
        TrainConfig.from_dict(tomllib.loads(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), (
            f"{page.name}: {target}"
        )
