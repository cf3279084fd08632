"""Whether workers see the folders that the server sees. Light to import."""

import secrets
from dataclasses import dataclass
from pathlib import Path

TOKEN = ".shared"  # in the jobs' folder
NAMES = 20  # of what lies under the data root, to be found by the workers too


@dataclass(frozen=True)
class Shared:
    """What a worker must find on its paths, if they are the server's."""

    data: Path
    names: tuple[str, ...]
    jobs: Path
    token: str

    @classmethod
    def between(cls, data: Path, jobs: Path) -> "Shared":
        """Leave a token with the jobs and look what lies under the data root.

        Raises:
            OSError: a folder is not there, or not writable.
        """
        token = secrets.token_hex(16)
        (jobs / TOKEN).write_text(token, encoding="ascii")
        names = sorted(path.name for path in data.iterdir() if path.exists())[:NAMES]
        return cls(data.absolute(), tuple(names), jobs.absolute(), token)

    def is_seen(self) -> bool:
        """On a worker: whether it sees the same, and can write results."""
        try:
            same = (self.jobs / TOKEN).read_text(encoding="ascii") == self.token
            probe = self.jobs / f"{TOKEN}-{secrets.token_hex(8)}"
            probe.touch()
            probe.unlink()
            return same and all((self.data / name).exists() for name in self.names)
        except OSError:
            return False
