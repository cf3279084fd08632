"""Many slides on a cluster, each a task of its own: what kills a worker fails alone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

from .tasks import SlideJob, SlideOutcome, Update, predict_slide, topic_of

if TYPE_CHECKING:
    from distributed import Client, Future

Task = Callable[[SlideJob], SlideOutcome]
Hear = Callable[[Update], None]
TRIES_ALONE = 1
KILLS = "its reading or computing killed the worker process every time; the file may be damaged"


class Batch:
    """Jobs under way on a cluster.

    A slide whose worker dies may be innocent, when another was there too. So it comes again at
    the end, with nothing beside it; only one that then kills its worker once more has failed.
    """

    def __init__(
        self,
        client: "Client",
        jobs: Sequence[SlideJob],
        *,
        hear: Hear,
        task: Task = predict_slide,
    ) -> None:
        self._client, self._task, self._hear = client, task, hear
        self.jobs = jobs
        self._events: SimpleQueue[Update | tuple[SlideJob, Future]] = SimpleQueue()

    def outcomes(self) -> Iterator[SlideOutcome]:
        """Each slide's outcome as soon as it is known; progress is heard in between."""
        for topic in {topic_of(job.out) for job in self.jobs}:
            self._client.subscribe_topic(topic, self._received)
        suspects = []
        for job, outcome in self._run(self.jobs, width=None):
            if outcome:
                yield outcome
            else:
                suspects.append(job)
                self._hear(Update(job.slide.name, "again-later"))
        for job in suspects:
            for _ in range(TRIES_ALONE):
                _, outcome = next(self._run([job], width=1))
                if outcome:
                    break
            yield outcome or SlideOutcome(job.slide.name, "failed", KILLS)

    def _received(self, event: tuple[float, object]) -> None:
        """Called on the client's thread."""
        with suppress(KeyError, TypeError, ValueError):
            self._events.put(Update.from_message(event[1]))  # type: ignore[arg-type]

    def _run(
        self, jobs: Sequence[SlideJob], width: int | None
    ) -> Iterator[tuple[SlideJob, SlideOutcome | None]]:
        """Each job with its outcome, None where its worker died; at most `width` at a time.

        By default as many as there are workers: a queue at a worker would share its death.
        """
        waiting, running = deque(jobs), 0
        while waiting or running:
            while waiting and running < (width or self._workers()):
                self._submit(waiting.popleft())
                running += 1
            event = self._events.get()
            if isinstance(event, Update):
                self._hear(event)
                continue
            running -= 1
            job, future = event
            yield job, _outcome(job, future)

    def _workers(self) -> int:
        return max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def _submit(self, job: SlideJob) -> None:
        future = self._client.submit(self._task, job, pure=False)
        future.add_done_callback(lambda done: self._events.put((job, done)))


def _outcome(job: SlideJob, future: "Future") -> SlideOutcome | None:
    from distributed import KilledWorker

    try:
        outcome = future.result()
    except KilledWorker:
        return None
    except Exception as error:
        return SlideOutcome(job.slide.name, "failed", f"the cluster gave up on it: {error}")
    return outcome if isinstance(outcome, SlideOutcome) else None
