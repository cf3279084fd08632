"""What a Dask worker runs of a job: one attempt, once. Light to import."""

from collections.abc import Callable

from ..engine.attempt import FENCE, Attempt, AttemptEnd

Task = Callable[[Attempt], AttemptEnd]
UNSEEN = "its worker does not see the server's state folder"


def run_once(task: Task, attempt: Attempt) -> AttemptEnd:
    """Run an attempt, unless it may not go on any more or was begun before.

    A scheduler begins a task anew when it has lost the worker, which may be alive all the same:
    then two processes would write to one folder. So the folder is made by the first alone, and
    the server sends another attempt.
    """
    stopped = AttemptEnd(attempt.job_id, attempt.number, "stopped")
    try:
        allowed = (attempt.folder.parent / FENCE).read_text(encoding="ascii")
        if allowed != str(attempt.number):
            return stopped
        attempt.folder.mkdir()
    except FileNotFoundError:
        return AttemptEnd(attempt.job_id, attempt.number, "stopped", UNSEEN)
    except FileExistsError:
        return stopped
    return task(attempt)


def run_engine(attempt: Attempt) -> AttemptEnd:
    """The task of every server; imported where it runs, because it is heavy."""
    from ..engine.run import run_attempt

    return run_attempt(attempt)
