"""What predicting a slide costs, side by side: Extent, the forward pass alone, MONAI's inferer.

    python benchmarks/predict.py [SLIDE] [--side 16384] [--model breast-idc]
        [--model-mpp 1.0,own]
        [--ways openvino-int8,openvino-bf16,openvino-fp32,torch-bf16,torch-fp32] [--monai 4-8]
        [--repeats 3] [--scaling [16384,32768,65536]] [--workers 1,2]
        [--markdown benchmarks/RESULTS.md]

Without a slide it draws one of --side x --side pixels at 1 µm/px, a third of it tissue. All use the
same weights, by default once as if they were for 1 µm/px and once at the model's own resolution.
Each contender runs in a process of its own: first alone, watched for its memory, then in turns with
the others. MONAI takes part where it is installed (`pip install '.[benchmark]'`) and the slide has
a level of the model's resolution; see `benchmarks/monai_wsi.py` for how it is used.

--scaling repeats Extent's default and the forward pass on drawn slides of growing size; --workers
times the command `extent predict` on several slides; --no-side-by-side leaves out all else.
--markdown also writes the tables into their sections of a file.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks.apart import Contender
from benchmarks.contenders import Extent, Forward, Way
from benchmarks.job import Facts, Job, prepare
from benchmarks.machine import describe_machine
from benchmarks.measure import Measured, measure
from benchmarks.monai_wsi import Monai
from benchmarks.one_pass import Crop
from benchmarks.scaling import Sized, batch_table, run_batch, size_table
from benchmarks.side_by_side import SideBySide
from benchmarks.tables import Table, put_section
from service.cluster import ALLOCATOR
from tiling.synthetic_blocks import write_blocks_slide

MPP = 1.0  # of drawn slides, µm per level-0 pixel
WAYS = "openvino-int8,openvino-bf16,openvino-fp32,torch-bf16,torch-fp32"
MONAI = "4-8"  # batches of 4, 8 windows decoded ahead
SIDES = "16384,32768,65536"
Prepared = tuple[Job, Facts, Crop]
T = TypeVar("T")


class Benchmark:
    """One run of the benchmark: what was asked for, and where its files go meanwhile."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self._asked = arguments
        self._scratch = scratch
        self._console = Console(log_path=False)
        self._folders = 0

    def run(self) -> None:
        """Do all parts; each shows its tables as soon as it has them."""
        machine = describe_machine()
        self._console.print(machine, highlight=False)
        if self._asked.markdown:
            put_section(self._asked.markdown, "machine", machine)
        if self._asked.side_by_side or self._asked.workers:
            self._one_slide()
        if self._asked.scaling:
            self._over_sizes()

    def _one_slide(self) -> None:
        slide = self._asked.slide or self._drawn(self._asked.side)
        for mpp in self._asked.model_mpp:
            prepared = self._prepared(slide, mpp)
            if self._asked.side_by_side:
                self._publish(f"side-by-side-{_at(mpp)}", self._side_by_side(*prepared))
            if self._asked.workers:
                self._publish(f"workers-{_at(mpp)}", [self._over_workers(*prepared)])
        if self._asked.slide is None:
            slide.unlink()

    def _side_by_side(self, job: Job, facts: Facts, crop: Crop) -> list[Table]:
        ways = self._asked.ways
        extent = [Extent(job, way, self._folder()) for way in ways]
        forward = [Forward(job, way) for way in ways]
        monai = [
            Monai(job, precision, batch, ahead)
            for precision in ("fp32", "bf16")
            for batch, ahead in self._asked.monai
        ]
        pairs = [one for pair in zip(extent, forward, strict=True) for one in pair]
        found = self._measured([*pairs, *monai], crop)
        count = 2 * len(ways)
        return SideBySide(facts, ways, found[:count:2], found[1:count:2], found[count:]).tables()

    def _over_sizes(self) -> None:
        way = self._asked.ways[0]
        sized: dict[float | None, list[Sized]] = {mpp: [] for mpp in self._asked.model_mpp}
        for side in self._asked.scaling:
            slide = self._drawn(side)
            for mpp, rows in sized.items():
                job, facts, _ = self._prepared(slide, mpp)
                found = self._measured([Extent(job, way, self._folder()), Forward(job, way)])
                rows.append(Sized(facts, *found))
            slide.unlink()
        for mpp, rows in sized.items():
            self._publish(f"scaling-{_at(mpp)}", [size_table(rows)])

    def _over_workers(self, job: Job, facts: Facts, _: Crop) -> Table:
        slides = self._asked.batch_slides
        runs = []
        for number in range(self._asked.repeats):
            for workers in self._asked.workers:
                self._say(f"extent predict --workers {workers}, round {number + 1}")
                runs.append(run_batch(job, slides, workers, self._folder()))
        return batch_table(runs, slides, facts)

    def _measured(
        self, contenders: Sequence[Contender], crop: Crop | None = None
    ) -> list[Measured]:
        return measure(contenders, self._asked.repeats, crop=crop, say=self._say)

    def _prepared(self, slide: Path, mpp: float | None) -> Prepared:
        self._say("one pass over a crop")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(prepare, slide, self._asked.model, mpp, self._folder()).result()

    def _drawn(self, side: int) -> Path:
        self._say(f"drawing {side:,} x {side:,} pixels")
        path = self._scratch / f"drawn-{side}.tiff"
        write_blocks_slide(path, side, side, mpp=MPP)
        return path

    def _folder(self) -> Path:
        self._folders += 1
        folder = self._scratch / str(self._folders)
        folder.mkdir()
        return folder

    def _publish(self, section: str, tables: list[Table]) -> None:
        for table in tables:
            table.show(self._console)
        if self._asked.markdown:
            text = "\n\n".join(table.markdown() for table in tables)
            put_section(self._asked.markdown, section, text)

    def _say(self, what: str) -> None:
        self._console.log(what, highlight=False, markup=False)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--model", default="breast-idc")
    parser.add_argument("--model-mpp", type=listed(mpp_of), default="1.0,own")
    parser.add_argument("--ways", type=listed(Way.of), default=WAYS)
    monai = MONAI if find_spec("monai") else ""
    parser.add_argument("--monai", type=listed(batch_and_ahead), default=monai)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side-by-side", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--scaling", type=listed(int), nargs="?", const=SIDES, default="")
    parser.add_argument("--workers", type=listed(int), default="")
    parser.add_argument("--batch-slides", type=int, default=4)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args(arguments)


def _at(mpp: float | None) -> str:
    """What a resolution is called in the names of sections."""
    return "own" if mpp is None else f"{mpp:g}"


def mpp_of(text: str) -> float | None:
    """µm/px; None for `own`."""
    return None if text == "own" else float(text)


def batch_and_ahead(text: str) -> tuple[int, int]:
    """Sizes of a batch and of what is decoded ahead of it, in windows."""
    batch, ahead = text.split("-")
    return int(batch), int(ahead)


def listed(of: Callable[[str], T]) -> Callable[[str], list[T]]:
    """What turns `a,b` into a list; nothing into an empty one."""
    return lambda text: [of(part) for part in text.split(",") if part]


def main() -> None:
    arguments = parse()
    os.environ.update({name: str(size) for name, size in ALLOCATOR.items()})  # as workers have it
    with tempfile.TemporaryDirectory() as scratch:
        Benchmark(arguments, Path(scratch)).run()


if __name__ == "__main__":
    main()
