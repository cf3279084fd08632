"""Predictors: the same maps whatever is under way beside them, on every runtime and device."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from annotations.errors import UsageError
from model.checkpoint import Checkpoint, load_checkpoint
from model.network import Network, NetworkConfig, Probabilities
from model.predictor import Execution, Maps, Patches, Predictor, in_flight, load_predictor, resolved
from model.torch_predictor import folded

CPU = [
    Execution("cpu", runtime, precision, 1)
    for runtime in ("openvino", "torch")
    for precision in ("fp32", "bf16")
]
SHAPES = [(64, 96), (32, 32), (64, 96), (128, 64), (32, 160)]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    from tests.conftest import write_random_model

    return load_checkpoint(write_random_model(tmp_path_factory.mktemp("m") / "m.safetensors"))


@pytest.fixture(scope="module", params=CPU, ids=lambda e: f"{e.runtime}-{e.precision}")
def predictor(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Predictor:
    return load_predictor(checkpoint, request.param)


def some_patches() -> list[Patches]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (1, *shape, 3), np.uint8) for shape in SHAPES]


def one_pass(checkpoint: Checkpoint, patches: Patches) -> Maps:
    with torch.inference_mode():
        maps: Maps = Probabilities(checkpoint.network)(torch.from_numpy(patches)).numpy()
    return maps


def assert_in_flight_changes_nothing(predictor: Predictor) -> None:
    patches = some_patches()
    alone = [predictor(pixels) for pixels in patches]
    found = list(in_flight(predictor, enumerate(patches)))
    assert [key for key, _ in found] == list(range(len(patches)))
    for (_, maps), expected in zip(found, alone, strict=True):
        np.testing.assert_array_equal(maps, expected)


def test_maps_do_not_depend_on_what_is_under_way(predictor: Predictor) -> None:
    assert_in_flight_changes_nothing(predictor)


def test_maps_stay_as_they_are(predictor: Predictor) -> None:
    first, second = some_patches()[0], some_patches()[2]
    maps = predictor(first)
    kept = maps.copy()
    for _ in range(3):
        predictor(second)
    np.testing.assert_array_equal(maps, kept)
    assert maps.dtype == np.float32 and maps.shape == (1, 2, 16, 24)
    np.testing.assert_allclose(maps.sum(1), 1, atol=1e-5)


def test_who_leaves_early_leaves_nothing_behind(predictor: Predictor) -> None:
    patches = some_patches()
    alone = predictor(patches[3])
    flow = in_flight(predictor, enumerate(patches))
    next(flow)
    flow.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(predictor(patches[3]), alone)


def test_one_is_computed_while_the_last_is_used() -> None:
    events: list[str] = []

    class Told:
        describe = "tells"

        def __call__(self, patches: Patches) -> Maps:
            raise AssertionError("not one by one")

        def begin(self, patches: Patches):  # type: ignore[no-untyped-def]
            number = int(patches[0, 0, 0, 0])
            events.append(f"begin {number}")
            return lambda: np.full((1, 2, 1, 1), number, np.float32)

    def read() -> Iterator[tuple[int, Patches]]:
        yield from ((n, np.full((1, 4, 4, 3), n, np.uint8)) for n in range(3))

    for number, maps in in_flight(Told(), read()):
        assert maps[0, 0, 0, 0] == number
        events.append(f"use {number}")
    assert events == ["begin 0", "begin 1", "use 0", "begin 2", "use 1", "use 2"]


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_fp32_is_one_pass(checkpoint: Checkpoint, runtime: str) -> None:
    predictor = load_predictor(checkpoint, Execution("cpu", runtime, "fp32"))  # type: ignore[arg-type]
    for patches in some_patches():
        assert np.abs(predictor(patches) - one_pass(checkpoint, patches)).max() < 1e-4


def test_folding_keeps_the_values() -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig(widths=(8, 16, 16), convolutions=(1, 2, 1)))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                    assert values is not None
                    values.uniform_(0.5, 2)
    network.eval()
    lean = folded(network)
    kinds = [type(layer) for layer in lean.modules()]
    assert nn.BatchNorm2d not in kinds and nn.BatchNorm2d in [type(m) for m in network.modules()]
    patches = torch.from_numpy(some_patches()[0])
    with torch.inference_mode():
        apart = Probabilities(lean)(patches) - Probabilities(network)(patches)
    assert apart.abs().max() < 1e-5


@needs_cuda
def test_cuda_in_fp32_is_one_pass(checkpoint: Checkpoint) -> None:
    predictor = load_predictor(checkpoint, Execution("cuda", precision="fp32"))
    for patches in some_patches():
        assert np.abs(predictor(patches) - one_pass(checkpoint, patches)).max() < 1e-4
    assert_in_flight_changes_nothing(predictor)


@needs_cuda
def test_cuda_in_bf16_is_close(checkpoint: Checkpoint) -> None:
    predictor = load_predictor(checkpoint, Execution())
    assert predictor.describe.endswith("cuda bf16")
    for patches in some_patches():
        assert np.abs(predictor(patches) - one_pass(checkpoint, patches)).mean() < 0.02
    assert_in_flight_changes_nothing(predictor)


@needs_cuda
def test_a_gpu_too_many_is_refused() -> None:
    with pytest.raises(UsageError, match="from 0"):
        resolved(Execution(f"cuda:{torch.cuda.device_count()}"))
