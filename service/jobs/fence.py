"""The fence: which attempt at a job may go on, where every worker can see it."""

from pathlib import Path

from tiling.rawplanes import disk_errors

from ..engine.attempt import CANCELLED, FENCE


def let_go_on(job_folder: Path, attempt: int) -> None:
    """Let only this attempt go on: all others stop within seconds.

    Written with the job's row locked, so that it and the row cannot say two things.

    Raises:
        ResultError: the disk is full or refuses.
    """
    _write(job_folder, str(attempt))


def stop_all(job_folder: Path) -> None:
    """Let no attempt go on, ever; errors as of `let_go_on`."""
    _write(job_folder, CANCELLED)


def _write(job_folder: Path, word: str) -> None:
    partial = job_folder / f".{FENCE}.part"
    with disk_errors(job_folder):
        job_folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(word, encoding="ascii")
        partial.replace(job_folder / FENCE)
