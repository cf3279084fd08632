"""What a training's attempt leaves, and where. Light to import."""

from pathlib import Path

WORK = Path(".work", "training")  # in an attempt's folder, while it runs
STATE = "state.safetensors"  # from which the next attempt goes on
MODEL, CURVES, PICTURE = "model.safetensors", "curves.json", "curves.png"  # in its result as well
