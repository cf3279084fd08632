"""How much of a training's time is arithmetic, and what a crop costs to make.

    python -m benchmarks.train_loader [--config breast-idc] [--cohort COHORT.csv]
        [--steps 24] [--rounds 4] [--loading own] [--crops 64] [--markdown benchmarks/RESULTS.md]

Epochs of a real training on drawn slides take turns with epochs whose crops were made ahead of
time: what these take is the arithmetic, and their share of the real ones' time is the answer. The
first epoch of all also decodes the slides; it stands apart. `--loading 2+0,1+3` compares ways of
making crops (threads + batches ahead) with the training's own. Then a number of crops is made on
one thread, and the processor's time for them is told by part.
"""

import argparse
import cProfile
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.tables import Table, put_section
from model.cohort import read_cohort
from model.config import SHIPPED_CONFIGS, TrainConfig
from model.dataset import Batch, CropSampler, Loading, open_cases
from model.shelf import Shelf
from model.trainer import BatchSource, Trainer, TrainReport
from tiling.synthetic_cohort import draw_cohort

SITES, SLIDES_PER_SITE = 3, 2
# Where the processor's time for a crop goes: (module, function) of each part
PARTS = {
    "drawing what is done to it": ("augment", "drawn"),
    "its pixels and labels, decoded before": ("pieces", "piece"),
    "warp of the pixels": ("warp", "pixels"),
    "warp of the labels": ("warp", "labels"),
    "stain": ("optics", "restain"),
    "blur": ("optics", "blur"),
}
WHOLE = ("dataset", "varied")


@dataclass(frozen=True)
class Ready:
    """Batches made ahead of time."""

    made: Sequence[Batch]

    def batches(self, first: int, count: int, loading: Loading) -> Iterator[Batch]:
        """All of them."""
        yield from self.made


@dataclass(frozen=True)
class Loaded:
    """A sampler that makes its crops in a way of one's choice."""

    sampler: CropSampler
    loading: Loading

    def batches(self, first: int, count: int, loading: Loading) -> Iterator[Batch]:
        """As the sampler makes them, but for `loading`."""
        yield from self.sampler.batches(first, count, self.loading)


class Epochs:
    """A training whose epochs are timed, seconds a step each."""

    def __init__(self, config: TrainConfig, sampler: CropSampler) -> None:
        self._sampler, self._trainer = sampler, Trainer(config, seed=0)
        self._loading = Loading.beside(self._trainer.device)

    def real(self, loading: Loading | None = None) -> float:
        """Crops are made while it trains, in the training's own way unless told otherwise."""
        return self._timed(Loaded(self._sampler, loading or self._loading))

    def ready(self) -> float:
        """Crops were made before."""
        steps, batch = self._trainer.steps_per_epoch, self._trainer.config.batch
        first = len(self._trainer.epochs) * steps * batch
        return self._timed(Ready(list(self._sampler.batches(first, steps, self._loading))))

    def _timed(self, source: BatchSource) -> float:
        begun = time.perf_counter()
        loss = self._trainer.train_epoch(source, TrainReport())
        seconds = time.perf_counter() - begun
        self._trainer.finish_epoch(loss, ())
        return seconds / self._trainer.steps_per_epoch


def shares(epochs: Epochs, rounds: int, ways: Sequence[Loading | None]) -> Table:
    """Real epochs in turns with ready ones; a row a way of making crops."""
    first = epochs.real()
    epochs.ready()  # the processor, too, needs to get going
    ready: list[float] = []
    real: dict[Loading | None, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        ready.append(epochs.ready())
        for way in ways[:: 1 if number % 2 else -1]:
            real[way].append(epochs.real(way))
    arithmetic = statistics.median(ready)
    rows = [["crops made ahead of time: the arithmetic", f"{arithmetic * 1e3:.1f}", ""]]
    for way, seconds in real.items():
        share = statistics.median(a / b for a, b in zip(ready, seconds, strict=True))
        rows.append([_name(way), f"{statistics.median(seconds) * 1e3:.1f}", f"{share:.1%}"])
    rows.append(
        ["the first epoch, which decodes", f"{first * 1e3:.1f}", f"{arithmetic / first:.1%}"]
    )
    return Table(
        "How much of a training step is arithmetic",
        ("epochs", "ms a step", "arithmetic"),
        rows,
        [f"Medians of {rounds} rounds of one run, in turns."],
    )


def _name(way: Loading | None) -> str:
    if way is None:
        return "as the training makes them"
    return f"made on {way.threads} threads, {way.ahead} batches ahead"


def crop_costs(sampler: CropSampler, count: int) -> Table:
    """Milliseconds of one core for a crop, by part; what is read was decoded before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number in range(count):
        sampler.varied(number)
    begun = time.thread_time()
    for number in range(count):
        sampler.varied(number)
    whole = (time.thread_time() - begun) / count
    profile = cProfile.Profile(time.thread_time)
    for number in range(count):
        profile.runcall(sampler.varied, number)
    torch.set_num_threads(threads)
    spent = _spent(profile)
    parts = {name: spent.get(place, 0.0) / spent[WHOLE] for name, place in PARTS.items()}
    parts["turns, rounding, blank squares, choice"] = 1 - sum(parts.values())
    rows = [[name, f"{share * whole * 1e3:.2f}", f"{share:.0%}"] for name, share in parts.items()]
    return Table(
        "What a crop costs",
        ("part", "CPU ms", "share"),
        [*rows, ["all", f"{whole * 1e3:.2f}", ""]],
        [f"Means over {count} crops; warps and blurs fall to some only. Shares by a profile."],
    )


def _spent(profile: cProfile.Profile) -> dict[tuple[str, str], float]:
    """Seconds in each function of each module, with all that it calls."""
    profile.create_stats()
    found: dict[tuple[str, str], float] = {}
    for (file, _, function), row in profile.stats.items():  # type: ignore[attr-defined]
        place = (Path(file).stem, function)
        found[place] = found.get(place, 0.0) + row[3]
    return found


def measure(config: TrainConfig, cohort: Path, asked: argparse.Namespace) -> list[Table]:
    """Both tables."""
    config = replace(config, epoch_crops=asked.steps * config.batch, epochs=1000)
    with closing(Shelf()) as shelf:
        slides = open_cases(read_cohort(cohort).cases, config, shelf)
        sampler = CropSampler(slides, config, seed=0)
        epochs = Epochs(config, sampler)
        return [shares(epochs, asked.rounds, asked.loading), crop_costs(sampler, asked.crops)]


def loadings(text: str) -> list[Loading | None]:
    """`own`, or threads + batches ahead, after commas; the training's own always comes first."""
    ways = [part.split("+") for part in text.split(",") if part != "own"]
    return [None, *(Loading(int(threads), int(ahead)) for threads, ahead in ways)]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="breast-idc", help="the name of shipped settings")
    parser.add_argument("--cohort", type=Path, help="instead of drawn slides")
    parser.add_argument("--steps", type=int, default=24, help="of each epoch")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--loading", type=loadings, default="own")
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args(arguments)


def main() -> None:
    asked, console = parse(), Console()
    machine = describe_machine()
    console.print(machine, highlight=False)
    config = TrainConfig.from_toml(SHIPPED_CONFIGS / f"{asked.config}.toml")
    with tempfile.TemporaryDirectory() as scratch:
        cohort = asked.cohort or draw_cohort(
            Path(scratch), sites=SITES, slides_per_site=SLIDES_PER_SITE, seed=1
        )
        tables = measure(config, cohort, asked)
    for table in tables:
        table.show(console)
    if asked.markdown:
        text = "\n\n".join(table.markdown() for table in tables)
        put_section(asked.markdown, "train-loader", f"{machine}\n\n{text}")


if __name__ == "__main__":
    main()
