"""What many tests share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent

# How long an example takes says more of the machine than of the code
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def data_dir() -> Path:
    """The folder of real slides and outlines: EXTENT_DATA, else shared/data beside the checkout."""
    return Path(os.environ.get("EXTENT_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data; the test is skipped where it is absent."""
    folder = data_dir()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EXTENT_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands keep compiled models in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights whose maps vary around the threshold; 4 µm/px."""
    return write_random_model(tmp_path_factory.mktemp("model") / "random.safetensors")


def command(*arguments: object) -> list[str]:
    """The `extent` command of this checkout, for subprocess."""
    return [sys.executable, "-m", "service.cli", *map(str, arguments)]


def extent(
    *arguments: object, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `extent` to its end; `before` is called in the new process before it begins."""
    return subprocess.run(
        command(*arguments),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=before,
        check=False,
    )


def draw_slide(path: Path, width: int = 480, height: int = 360, seed: int = 0) -> Path:
    """A flat picture: stained blotches on a piece of tissue, glass around it; no resolution."""
    random = np.random.default_rng(seed)
    low, block = np.array([150, 90, 130]), 8
    shape = (-(-height // block), -(-width // block))
    coarse = low + random.random((*shape, 1)) * 100 + random.random((*shape, 3)) * 5
    pixels = coarse.repeat(block, 0).repeat(block, 1)[:height, :width]
    y, x = np.mgrid[:height, :width]
    glass = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) > 0.16
    pixels[glass] = 243
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def write_random_model(path: Path, *, mpp: float = 4.0, seed: int = 0) -> Path:
    """An untrained network, its head scaled so that probabilities lie on both sides of 0.5."""
    import torch

    from model.checkpoint import ModelCard, save_checkpoint
    from model.network import Network, NetworkConfig

    torch.manual_seed(seed)
    network = Network(
        NetworkConfig(stem_stride=2, widths=(8, 16, 16), convolutions=(1, 1, 1), output_stride=4)
    )
    network.eval()
    low = torch.tensor([150.0, 90.0, 130.0]).reshape(1, 3, 1, 1)  # from purple to pale pink
    coarse = low + torch.rand(8, 1, 16, 16) * 100 + torch.rand(8, 3, 16, 16) * 20
    stained = torch.nn.functional.interpolate(coarse, scale_factor=16.0, mode="bilinear")
    with torch.no_grad():
        logits = network(stained)
        network.head.weight *= 2 / (logits[:, 1] - logits[:, 0]).std()
        network.head.bias -= network(stained).mean((0, 2, 3))
    card = ModelCard(
        name=path.stem, network=network.config, classes=("other", "tumour"), foreground=1, mpp=mpp
    )
    save_checkpoint(path, card, network)
    return path
