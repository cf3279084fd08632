"""`extent models`: what ships, one card, and its page."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import extent


def test_the_shipped_models_and_single_ones_are_told_of(random_model: Path) -> None:
    everything = extent("models")
    assert everything.returncode == 0 and "breast-idc: background, tumour" in everything.stdout
    assert "balanced accuracy 0.8" in everything.stdout
    one = extent("models", random_model)
    assert one.stdout.startswith(f"{random_model}: other, tumour at 4 µm/px")


def test_the_page_of_a_model_that_maps_something_else(random_model: Path, tmp_path: Path) -> None:
    found = load_checkpoint(random_model)
    card = replace(found.card, classes=("other", "gland"), name="glands")
    save_checkpoint(tmp_path / "glands.safetensors", card, found.network)
    page = tmp_path / "card.html"
    assert extent("models", tmp_path / "glands.safetensors", "--page", page).returncode == 0
    text = page.read_text()
    assert "Model card: glands" in text and "<img" not in text


def test_a_model_for_tumour_is_tried_on_drawn_slides(random_model: Path, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    assert extent("models", random_model, "--page", page).returncode == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 8
    assert "Needle biopsies. Three cores" in text and "overlap (Dice)" in text
    assert [path.name for path in tmp_path.iterdir()] == ["card.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--page", "card.html"), "--page needs a model"),
        (("nothing", "--page", "card.html"), "no shipped model has that name"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], said: str) -> None:
    refused = extent("models", *arguments)
    assert refused.returncode != 0 and said in refused.stderr
