"""Contenders timed in turns, each looked at alone first."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from benchmarks.apart import Apart, Contender, Started, Timing
from benchmarks.one_pass import Crop, Deviation
from benchmarks.pss import PeakPss

Start = Callable[[Contender], Started]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Alone:
    """What a contender takes in processes that have the machine for themselves.

    `ready_first`, `ready_again`: seconds of the first process and of a second one from its start
    until its model is loaded; the second may find it compiled. `first`: what the second then ran.
    `loading_bytes`, `peak_bytes`: the most that the tree of the first and of the second process
    held (PSS).
    """

    ready_first: float
    ready_again: float
    first: Timing
    loading_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Measured:
    """All that was seen of one contender; `timings` a run each, after one that is not counted."""

    name: str
    alone: Alone
    timings: Sequence[Timing]
    deviation: Deviation | None = None

    @property
    def seconds(self) -> float:
        """The median of the runs."""
        return median(timing.seconds for timing in self.timings)

    @property
    def cpu_seconds(self) -> float:
        return median(timing.cpu_seconds for timing in self.timings)

    @property
    def phases(self) -> Mapping[str, float]:
        """Medians, in the order of the first run."""
        named = list(self.timings[0].phases)
        return {p: median(t.phases.get(p, 0.0) for t in self.timings) for p in named}

    def ratios_to(self, other: "Measured") -> list[float]:
        """This one's seconds by the other's, round by round."""
        pairs = zip(self.timings, other.timings, strict=True)
        return [mine.seconds / theirs.seconds for mine, theirs in pairs]


def look_alone(contender: Contender, start: Start = Apart) -> Alone:
    """Start a contender twice; let it run once the second time."""
    with start(contender) as child, PeakPss(child.pid) as loading:
        ready_first = child.ready_seconds()
    with start(contender) as child, PeakPss(child.pid) as peak:
        ready_again = child.ready_seconds()
        first = child.run()
    return Alone(ready_first, ready_again, first, loading.bytes, peak.bytes)


def measure(
    contenders: Sequence[Contender],
    repeats: int,
    *,
    crop: Crop | None = None,
    start: Start = Apart,
    say: Say = print,
) -> list[Measured]:
    """First each alone, for its memory; then all in turns, `repeats` times, for their speed.

    Alone, because pages that processes share count in parts; in turns, so that what slows the
    machine down for a while slows all of them; and after a run each that does not count. `crop`:
    what the maps are compared with in the end. `say` hears what is going on.
    """
    alone = []
    for contender in contenders:
        say(f"alone: {contender.name}")
        alone.append(look_alone(contender, start))
    with ExitStack() as stack:
        children = []
        for contender in contenders:
            child = stack.enter_context(start(contender))
            child.ready_seconds()
            child.run()
            children.append(child)
        rounds = []
        for number in range(repeats):
            say(f"round {number + 1} of {repeats}")
            rounds.append([child.run() for child in children])
        return [
            Measured(
                contender.name,
                alone[i],
                [timings[i] for timings in rounds],
                None if crop is None else children[i].deviation(crop),
            )
            for i, contender in enumerate(contenders)
        ]
