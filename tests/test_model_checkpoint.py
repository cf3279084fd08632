"""Model files: written alike, read without trust."""

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from annotations.errors import CheckpointError
from model.checkpoint import (
    CARD_KEY,
    ModelCard,
    find_checkpoint,
    load_checkpoint,
    read_card,
    save_checkpoint,
    shipped_models,
    weights_digest,
)
from model.network import Network, NetworkConfig

CONFIG = NetworkConfig(
    stem_stride=2, widths=(4, 6), convolutions=(1, 1), output_stride=2, dropout=0.1
)
CARD = ModelCard(
    "small",
    CONFIG,
    ("background", "tumour"),
    1,
    4.0,
    threshold=0.4,
    patients={"train": ("0123456789abcdef",)},
    training={"config": {"epochs": 3}, "seed": 0},
    measures={"dice": {"value": 0.5, "low": None}},
)


def a_network() -> Network:
    torch.manual_seed(3)
    return Network(CONFIG).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m.safetensors", CARD, a_network())
    return tmp_path / "m.safetensors"


def with_card(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same weights behind an altered card, made by a hostile hand: its digest fits."""
    weights = load_file(path)
    card = json.loads(read_card(path).to_json())
    change(card)
    save_file(weights, path, metadata={CARD_KEY: json.dumps(card)})
    return path


def test_what_is_loaded_is_what_was_saved(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert replace(loaded.card, weights_digest="") == CARD
    assert read_card(saved) == loaded.card
    patch = torch.full((1, 3, 32, 32), 130.0)
    with torch.inference_mode():
        assert torch.equal(loaded.network(patch), a_network()(patch))
    assert not loaded.network.training


def test_equal_models_give_equal_bytes(saved: Path, tmp_path: Path) -> None:
    again = save_checkpoint(tmp_path / "again" / "m.safetensors", CARD, a_network())
    assert (tmp_path / "again" / "m.safetensors").read_bytes() == saved.read_bytes()
    assert again.digest == load_checkpoint(saved).digest
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["m.safetensors"]
    loaded = load_checkpoint(saved)
    save_checkpoint(saved, loaded.card, loaded.network)
    assert saved.read_bytes() == (tmp_path / "again" / "m.safetensors").read_bytes()


def test_a_file_cut_short_anywhere_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    lengths = {0, 1, 7, 8, 9, len(whole) - 1} | set(range(0, len(whole), len(whole) // 40))
    for length in sorted(lengths):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"m\.safetensors.*cut short.*copy it again"):
            load_checkpoint(saved)


def test_a_file_that_goes_on_too_long_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"more")
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_checkpoint(saved)


def test_a_flipped_bit_in_any_weight_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    start = 8 + header
    for place in np.linspace(start, len(whole) - 1, 25).astype(int):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        saved.write_bytes(bytes(flipped))
        with pytest.raises(CheckpointError, match="not those its card was written for"):
            load_checkpoint(saved)


def test_weights_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    for read in (load_checkpoint, read_card):
        with pytest.raises(CheckpointError, match=r"other.safetensors: weights of another program"):
            read(path)


class Boom:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (exec, ("raise SystemExit('a checkpoint was unpickled')",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"state": Boom()}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Boom()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def set_entry(*keys: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        for key in keys[:-1]:
            card = card[key]
        card[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry("classes", to=["background", "tumour", "more"]), "2 output classes"),
        (set_entry("classes", to=["tumour", "tumour"]), "2 output classes"),
        (set_entry("network", "classes", to=3), "3 output classes"),
        (set_entry("network", "classes", to=10**9), "not a network"),
        (set_entry("network", "widths", to=[4, 8]), "do not fit the card's network"),
        (set_entry("network", "widths", to=[4, 10**9]), "not a network"),
        (set_entry("network", "widths", to=[1024, 1024]), "do not fit the card's network"),
        (set_entry("network", "widths", to=[4.5, 6]), "not a network"),
        (set_entry("network", "widths", to="46"), "m.safetensors: "),
        (set_entry("network", "convolutions", to=[1, 10**9]), "not a network"),
        (set_entry("network", "widths", to=[4] * 40), "not a network"),
        (set_entry("network", "depth", to=3), "unknown network settings: depth"),
        (set_entry("network", to=[]), "network is of the wrong kind"),
        (set_entry("foreground", to=2), "foreground class 2"),
        (set_entry("foreground", to=-1), "foreground class -1"),
        (set_entry("mpp", to=0), "mpp 0 or threshold"),
        (set_entry("mpp", to="4"), "wrong kind"),
        (set_entry("threshold", to=float("nan")), "threshold nan out of range"),
        (set_entry("name", to=7), "name is of the wrong kind"),
        (set_entry("patients", to=[1]), "patients is of the wrong kind"),
        (set_entry("patients", to={"train": 5}), "wrong kind"),
        (set_entry("version", to=99), "not a version 1 model card"),
        (set_entry("wings", to=2), "does not know"),
        (lambda card: card.pop("classes"), "missing"),
    ],
)
def test_cards_that_cannot_be_are_refused(
    saved: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(with_card(saved, change))
    assert "m.safetensors" in str(caught.value)


def test_a_card_that_is_no_json_or_has_no_end(saved: Path) -> None:
    weights = load_file(saved)
    for text in ("{", "[]", "null", "[" * 100_000, '{"version": 1, "name": "' + "x" * (5 << 20)):
        save_file(weights, saved, metadata={CARD_KEY: text})
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            load_checkpoint(saved)


def test_a_missing_and_a_foreign_weight_are_named(saved: Path) -> None:
    weights = load_file(saved)
    weights["head.spare"] = weights.pop("head.bias")
    card = replace(read_card(saved), weights_digest=weights_digest(weights))
    save_file(weights, saved, metadata={CARD_KEY: card.to_json()})
    with pytest.raises(CheckpointError, match=r"head\.bias: none in the file.*head\.spare"):
        load_checkpoint(saved)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_an_unknown_name_lists_the_shipped_ones(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(CheckpointError, match="no-such-model: no such model file") as caught:
        find_checkpoint("no-such-model")
    assert all(name in str(caught.value) for name in shipped_models())
    assert find_checkpoint(str(saved)) == saved
    for name in shipped_models():
        assert load_checkpoint(find_checkpoint(name)).card.name == name


def test_a_failed_save_leaves_the_old_model(saved: Path) -> None:
    before = saved.read_bytes()
    (saved.parent / ".m.safetensors.part").mkdir()
    with pytest.raises(OSError):
        save_checkpoint(saved, replace(CARD, name="new"), a_network())
    assert saved.read_bytes() == before


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """A map of NaN would read as a slide without tumour."""
    network = Network(
        NetworkConfig(stem_stride=2, widths=(4, 6), convolutions=(1, 1), output_stride=2)
    )
    with torch.no_grad():
        network.head.bias[0] = float("nan")
    card = ModelCard("nan", network.config, ("background", "tumour"), 1, 4.0)
    save_checkpoint(tmp_path / "nan.safetensors", card, network)
    with pytest.raises(CheckpointError, match="not all numbers"):
        load_checkpoint(tmp_path / "nan.safetensors")
