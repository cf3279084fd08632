"""Whose turn it is: fair between groups, oldest first within one, suspects alone."""

import time
from collections import Counter
from collections.abc import Mapping

from ..engine.attempt import Attempt
from ..records.tables import Job

FIRST_REST, LONGEST_REST = 0.25, 5.0  # seconds


class Turns:
    """The attempts under way, and which waiting job comes next.

    A job that crashed before is a suspect: it runs with nothing beside it. One that ended its
    worker rests for a while, the longer the more often it did.
    """

    def __init__(self) -> None:
        self.under_way: dict[str, Attempt] = {}  # job id -> attempt
        self._jobs: dict[str, Job] = {}
        self._served: Counter[str] = Counter()  # group -> the number of its last turn
        self._turn = 0
        self._resting: dict[str, float] = {}  # job id -> until when, on the monotonic clock

    @property
    def resting(self) -> list[str]:
        """The jobs that may not begin yet."""
        at = time.monotonic()
        self._resting = {job_id: until for job_id, until in self._resting.items() if until > at}
        return list(self._resting)

    def next(self, heads: Mapping[str, Job]) -> Job | None:
        """Of the jobs that have waited longest in their groups, the one to begin; None for now.

        The group with the fewest jobs under way comes first, then the one whose last turn is
        longest ago, then the one whose job is oldest.
        """
        if not heads or any(job.crashes for job in self._jobs.values()):
            return None
        running = Counter(job.group for job in self._jobs.values())
        head = min(
            heads.values(),
            key=lambda job: (running[job.group], self._served[job.group], job.created_at),
        )
        return None if head.crashes and self._jobs else head

    def begun(self, job: Job, attempt: Attempt) -> None:
        """The job has had its turn."""
        self._turn += 1
        self._served[job.group] = self._turn
        self._jobs[job.id], self.under_way[job.id] = job, attempt

    def ended(self, job_id: str, attempt: int) -> None:
        """That attempt is under way no more."""
        known = self.under_way.get(job_id)
        if known is not None and known.number == attempt:
            del self.under_way[job_id], self._jobs[job_id]

    def rest(self, job: Job) -> None:
        """Let a job wait before it begins again."""
        often = min(job.crashes + job.kills + job.losses, 10)
        self._resting[job.id] = time.monotonic() + min(FIRST_REST * 2**often, LONGEST_REST)
