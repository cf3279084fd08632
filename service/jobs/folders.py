"""What attempts leave in STATE/jobs/<job id>/, and what of it goes when."""

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from ..engine.attempt import RESULT
from ..engine.training_files import STATE, WORK
from ..results import ResultPlace


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
    return next((path for _, path in earlier if _has_begun(path)), None)


def _has_begun(attempt: Path) -> bool:
    """Whether there is a part of a map, or the state of a training."""
    return ResultPlace(attempt, RESULT).canvas.exists() or (attempt / WORK / STATE).exists()
