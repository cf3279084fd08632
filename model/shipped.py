"""What comes with Extent: checkpoints, and the settings that models were trained with."""

from pathlib import Path

from annotations.errors import CheckpointError

SHIPPED = Path(__file__).parent / "weights"
SHIPPED_CONFIGS = Path(__file__).parent / "configs"


def shipped_models() -> list[str]:
    """Names of the checkpoints that come with Extent."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def shipped_configs() -> list[str]:
    """Names of the training settings that come with Extent."""
    return sorted(path.stem for path in SHIPPED_CONFIGS.glob("*.toml"))


def find_checkpoint(name_or_path: str) -> Path:
    """The file of a shipped model's name or of a path.

    Raises:
        CheckpointError: neither; the message lists the shipped names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if name_or_path in shipped_models():
        return SHIPPED / f"{name_or_path}.safetensors"
    known = ", ".join(shipped_models()) or "none yet"
    raise CheckpointError(
        f"{name_or_path}: no such model file, and no shipped model has that name (shipped: {known})"
    )
