"""What many tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
