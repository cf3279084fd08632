"""The card in a checkpoint's metadata, read without the weights and without torch."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from annotations.errors import CheckpointError

from .card import ModelCard

CARD_KEY = "extent.card"
MAX_FILE_BYTES = 1 << 30
MAX_CARD_BYTES = 4 << 20


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint without its weights; `digest` is the SHA-256 of the whole file."""

    card: ModelCard
    digest: str


def read_model_file(path: Path) -> ModelFile:
    """Card and digest. That the weights are all there is checked, not what they are.

    Raises:
        CheckpointError: not a checkpoint of Extent.
    """
    return ModelFile(read_card(path), file_digest(path))


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_card(path: Path) -> ModelCard:
    """The card alone. That the weights are all there is checked, not what they are.

    Raises:
        CheckpointError: not a checkpoint of Extent.
    """
    with opened(path, "np") as file:
        return card_in(path, file)


def count_weights(path: Path) -> int:
    """How many numbers a model's file holds.

    Raises:
        CheckpointError: not a checkpoint of Extent.
    """
    with opened(path, "np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    return sum(math.prod(shape) for shape in shapes)


@contextmanager
def opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[safe_open]:
    """The file, its tensors as those of `framework`, its faults told as ours."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CheckpointError(f"{path.name}: larger than any model of Extent")
        with safe_open(path, framework=framework, device="cpu") as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path.name}: not a safetensors file, or cut short ({error}); copy it again"
        ) from error


def card_in(path: Path, file: safe_open) -> ModelCard:
    """The card that an open file holds.

    Raises:
        CheckpointError: none, or none that this version can read.
    """
    text = (file.metadata() or {}).get(CARD_KEY)
    if text is None:
        raise CheckpointError(f"{path.name}: weights of another program (no model card inside)")
    if len(text) > MAX_CARD_BYTES:
        raise CheckpointError(f"{path.name}: the model card is too large")
    try:
        return ModelCard.from_json(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name}: {error}") from error
