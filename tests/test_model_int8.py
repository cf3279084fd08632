"""Int8: the network's numbers in 8 bits, from the checkpoint alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import pytest
import torch

from annotations.errors import CheckpointError, UsageError
from model.card import INT8_MAY_LOSE, ModelCard
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.int8 import RoundedReLU, RoundedWeights, rounded, value_ranges
from model.network import Network, Probabilities
from model.openvino_predictor import OpenVinoPredictor, cpu_computes_bf16
from model.predictor import Execution, load_predictor, resolved

INT8 = Execution("cpu", "openvino", "int8", 1)
LITTLE = 0.02  # mean difference of probabilities; a random network's are easily moved
needs_int8 = pytest.mark.skipif(not cpu_computes_bf16(), reason="needs a processor with bf16")


def coloured(seed: int, side: int = 128) -> npt.NDArray[np.uint8]:
    """Blocks of stain-like colours; uint8 [1, side, side, 3]."""
    random = np.random.default_rng(seed)
    blocks = random.integers((120, 60, 100), (256, 200, 240), (1, side // 16, side // 16, 3))
    return blocks.repeat(16, 1).repeat(16, 2).astype(np.uint8)


@pytest.fixture(scope="module")
def plain(random_model: Path) -> Checkpoint:
    """As an earlier version made it: nothing for int8."""
    return load_checkpoint(random_model)


@pytest.fixture(scope="module")
def ranges(plain: Checkpoint) -> dict[str, float]:
    return value_ranges(plain.network, (torch.from_numpy(coloured(seed)) for seed in range(4)))


@pytest.fixture(scope="module")
def checkpoint(
    plain: Checkpoint, ranges: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    path = tmp_path_factory.mktemp("int8") / "model.safetensors"
    save_checkpoint(path, replace(plain.card, int8=ranges), plain.network)
    return load_checkpoint(path)


def probabilities(network: Network, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = Probabilities(network)(torch.from_numpy(patches)).numpy()
    return found


def test_rounded_values_are_whole_multiples_of_a_step() -> None:
    values = RoundedReLU(2.55)(torch.tensor([-3.0, 0.0, 0.004, 0.006, 1.234, 2.55, 9.0]))
    torch.testing.assert_close(values, torch.tensor([0.0, 0.0, 0.0, 0.01, 1.23, 2.55, 2.55]))


def test_every_output_channel_has_a_step_of_its_own() -> None:
    convolution = torch.nn.Conv2d(1, 3, 1, bias=False)
    with torch.no_grad():
        convolution.weight[:] = torch.tensor([127.0, 0.127, 0.0]).reshape(3, 1, 1, 1)
        found = RoundedWeights(convolution)(torch.ones(1, 1, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor([127.0, 0.127, 0.0]))


def test_ranges_are_the_largest_values_seen(plain: Checkpoint, ranges: dict[str, float]) -> None:
    units = {n for n, m in plain.network.named_modules() if isinstance(m, torch.nn.ReLU)}
    assert set(ranges) == units and max(ranges.values()) > 0
    fewer = value_ranges(plain.network, [torch.from_numpy(coloured(0))])
    assert all(fewer[name] <= ranges[name] for name in units)
    assert any(fewer[name] < ranges[name] for name in units)


def test_looking_at_values_leaves_the_network_as_it_was(plain: Checkpoint) -> None:
    patches, network = coloured(9), copy_of(plain)
    before = probabilities(network, patches)
    rounded(network, value_ranges(network, [torch.from_numpy(patches)]))
    np.testing.assert_array_equal(probabilities(network, patches), before)
    assert not any(module._forward_hooks for module in network.modules())


def copy_of(checkpoint: Checkpoint) -> Network:
    network = Network(checkpoint.card.network)
    network.load_state_dict(checkpoint.network.state_dict())
    return network.eval()


def test_rounding_changes_probabilities_a_little(checkpoint: Checkpoint) -> None:
    patches = coloured(7)
    exact = probabilities(checkpoint.network, patches)
    found = probabilities(rounded(checkpoint.network, checkpoint.card.int8), patches)
    assert exact[:, 1].std() > 0.05, "a flat map proves nothing"
    assert 0 < np.abs(found - exact).mean() < LITTLE


@pytest.mark.parametrize("wrong", [{}, {"another": 1.0}, float("nan"), float("inf"), -1.0, "1"])
def test_ranges_of_another_network_are_refused(
    plain: Checkpoint, ranges: dict[str, float], wrong: object
) -> None:
    given: Any = wrong if isinstance(wrong, dict) else dict.fromkeys(ranges, wrong)
    with pytest.raises(CheckpointError, match="int8"):
        rounded(plain.network, given)


@needs_int8
def test_openvino_computes_what_the_rounded_network_says(checkpoint: Checkpoint) -> None:
    patches = coloured(7)
    network = rounded(checkpoint.network, checkpoint.card.int8)
    in_fp32 = OpenVinoPredictor.of(network, replace(INT8, precision="fp32"))
    said, found = in_fp32(patches), load_predictor(checkpoint, INT8)
    np.testing.assert_allclose(said, probabilities(network, patches), atol=1e-3)
    # What is left in bf16 sends some values to the next step
    assert np.abs(found(patches) - said).mean() < LITTLE
    assert found.describe.endswith("cpu int8")


@needs_int8
def test_most_convolutions_are_in_8_bits(checkpoint: Checkpoint) -> None:
    network = rounded(checkpoint.network, checkpoint.card.int8)
    kept = OpenVinoPredictor.of(network, INT8).keep()
    graph = openvino.Core().import_model(kept, "CPU").get_runtime_model()
    layers = [layer.get_rt_info() for layer in graph.get_ops()]
    kinds = [
        layer["runtimePrecision"].value
        for layer in layers
        if layer["layerType"].value == "Convolution"
    ]
    assert len(kinds) > 3 and sum(kind in ("i8", "u8") for kind in kinds) == len(kinds) - 1


@needs_int8
def test_a_model_without_ranges_says_what_to_do(plain: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"--precision int8: random .* trains does"):
        load_predictor(plain, INT8)


def test_int8_is_for_openvino(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="through OpenVINO"):
        resolved(Execution("cpu", "torch", "int8"), checkpoint.card)


def measured(usual: object, int8: object) -> Mapping[str, object]:
    return {
        name: {"cells": {"balanced_accuracy": {"value": value}}}
        for name, value in (("cross_validation", usual), ("cross_validation_int8", int8))
    }


@pytest.mark.parametrize(
    ("measures", "holds"),
    [
        (measured(0.88, 0.879), True),
        (measured(0.88, 0.9), True),
        (measured(0.88, 0.88 - 1.1 * INT8_MAY_LOSE), False),
        (measured(None, 0.9), False),
        ({"cross_validation": measured(0.8, 0.8)["cross_validation"]}, False),
        ({"cross_validation": 3, "cross_validation_int8": "good"}, False),
        ({}, False),
    ],
)
def test_auto_takes_int8_only_where_it_was_measured_to_hold(
    checkpoint: Checkpoint, measures: Mapping[str, object], holds: bool
) -> None:
    card = replace(checkpoint.card, measures=measures)
    assert card.int8_holds == holds
    chosen = resolved(Execution("cpu", "openvino"), card).precision
    assert chosen == resolved(Execution("cpu", "openvino")).precision or holds
    assert (chosen == "int8") == (holds and cpu_computes_bf16())
    assert resolved(Execution("cpu", "torch"), card).precision != "int8"
    assert not replace(card, int8={}).int8_holds


def test_the_card_keeps_the_ranges(checkpoint: Checkpoint, ranges: dict[str, float]) -> None:
    assert ModelCard.from_json(checkpoint.card.to_json()) == checkpoint.card
    assert checkpoint.card.int8 == ranges
