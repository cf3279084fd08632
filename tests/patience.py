"""How long tests wait for what must happen: every machine, however slow or busy, gets there."""

import time
from collections.abc import Callable

SECONDS = 240.0  # for one thing; the whole of a test has 600


def wait_for(reached: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as it is so; fails where it never is."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never comes to that"
        time.sleep(0.02)
