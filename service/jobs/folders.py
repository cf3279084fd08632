"""What attempts leave in STATE/jobs/<job id>/, and what of it goes when."""

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path


def attempts(job_folder: Path) -> Iterator[tuple[int, Path]]:
    """The folders of a job's attempts, by number."""
    if job_folder.is_dir():
        for path in job_folder.iterdir():
            if path.name.isdecimal():
                yield int(path.name), path


def remove_attempts(job_folder: Path, *, but: Collection[int | None]) -> None:
    """Remove the folders of all attempts but these; what cannot be removed stays."""
    for number, path in attempts(job_folder):
        if number not in but:
            shutil.rmtree(path, ignore_errors=True)


def previous(job_folder: Path, number: int) -> Path | None:
    """The folder of the last attempt before this one that left something to go on with."""
    earlier = sorted((entry for entry in attempts(job_folder) if entry[0] < number), reverse=True)
    return next((path for _, path in earlier if any(path.iterdir())), None)
