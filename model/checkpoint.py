"""A trained model in one file: safetensors weights with a JSON card in the metadata.

Loading never unpickles: safetensors holds raw numbers, the card is JSON, and both are checked
against each other and against caps before a network is built.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from annotations.errors import CheckpointError

from .card import ModelCard as ModelCard
from .card_file import CARD_KEY, ModelFile, card_in, file_digest, opened
from .card_file import read_card as read_card
from .network import Network
from .shipped import SHIPPED as SHIPPED
from .shipped import find_checkpoint as find_checkpoint
from .shipped import shipped_models as shipped_models

COUNTER = "num_batches_tracked"  # training's own; no part of a model


@dataclass(frozen=True)
class Checkpoint(ModelFile):
    """A loaded model."""

    network: Network


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes of all weights, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(
            value.view(torch.uint8).numpy().tobytes() if value.dim() else str(value.item()).encode()
        )
    return digest.hexdigest()


def save_checkpoint(path: Path, card: ModelCard, network: Network) -> Checkpoint:
    """Write one file by way of a temporary one; equal models give equal bytes."""
    weights = {
        name: value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith(COUNTER)
    }
    card = replace(card, weights_digest=weights_digest(weights))
    data = save(weights, metadata={CARD_KEY: card.to_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    return Checkpoint(card, hashlib.sha256(data).hexdigest(), network)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load and check a model: the network in evaluation mode, on the CPU.

    Raises:
        CheckpointError: truncated, of another program, altered, or weights unlike the card's.
    """
    with opened(path, "pt") as file:
        card = card_in(path, file)
        _check_shapes(path, card, file)
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if weights_digest(weights) != card.weights_digest:
        raise CheckpointError(f"{path.name}: the weights are not those its card was written for")
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise CheckpointError(f"{path.name}: its weights are not all numbers; train it again")
    network = Network(card.network)
    network.load_state_dict(weights, strict=False)  # but for counters, all there: see above
    return Checkpoint(card, file_digest(path), network.eval())


def _check_shapes(path: Path, card: ModelCard, file: safe_open) -> None:
    """Before anything is allocated: the weights are those of the card's network, no others."""
    with torch.device("meta"):
        network = Network(card.network)
    wanted = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if not name.endswith(COUNTER)
    }
    found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    unlike = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
    if unlike:
        shown = "; ".join(
            f"{n}: {found.get(n, 'none')} in the file, {wanted.get(n, 'none')} by the card"
            for n in unlike[:3]
        )
        raise CheckpointError(f"{path.name}: weights do not fit the card's network ({shown})")
