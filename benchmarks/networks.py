"""What networks of different shapes cost on tissue: arithmetic, halo, seconds a mm².

    python benchmarks/networks.py [--side 16384] [--rounds 5] [--mpp 1.0,4.0] [--markdown FILE]

Random weights: only the shape counts. Each is run over windows as large as Extent's, in turns; a
halo is part of the price, so the pixels that a slide's plan reads are counted, on a drawn slide at
1 µm/px, a third of it tissue. What each is worth, `extent crossvalidate --config` tells, with the
shape under [network] in the configuration.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.tables import Table, put_section
from model.network import Network
from model.network_config import NetworkConfig
from model.openvino_predictor import OpenVinoPredictor
from model.predictor import Execution, resolved
from model.segment import WRITE_SIDE
from model.windows import area_read
from tiling.grid import plan_windows
from tiling.slide import Slide
from tiling.synthetic_blocks import write_blocks_slide
from tiling.tissue import find_tissue

SHAPES = {
    "shipped": NetworkConfig(),
    "two convolutions at each stride": NetworkConfig(convolutions=(1, 2, 2, 2)),
    "without stride 32": NetworkConfig(widths=(48, 96, 160), convolutions=(1, 2, 3)),
    "output stride 8": NetworkConfig(output_stride=8),
    "stem of stride 2": NetworkConfig(
        stem_stride=2, widths=(24, 48, 96, 160, 192), convolutions=(1, 1, 2, 1, 1)
    ),
    "wider": NetworkConfig(widths=(48, 128, 192, 256)),
}


@dataclass(frozen=True)
class Cost:
    """`read_to_tissue`: pixels read over pixels of tissue, at each of the resolutions asked for."""

    name: str
    config: NetworkConfig
    megapixels_per_second: float
    read_to_tissue: tuple[float, ...]


def speeds(configs: Sequence[NetworkConfig], rounds: int) -> list[float]:
    """Megapixels a second of each, the best of some rounds, in which they take turns."""
    execution = resolved(Execution(runtime="openvino"))
    patches = []
    for config in configs:
        side = WRITE_SIDE + 2 * config.halo
        rng = np.random.default_rng(0)
        patches.append(rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8))
    torch.manual_seed(0)
    predictors = [OpenVinoPredictor.of(Network(config).eval(), execution) for config in configs]
    best = [float("inf")] * len(configs)
    for _ in range(rounds + 1):  # the first compiles for this shape
        for number, (predictor, patch) in enumerate(zip(predictors, patches, strict=True)):
            started = time.perf_counter()
            predictor(patch)
            best[number] = min(best[number], time.perf_counter() - started)
    return [patch.size / 3 / 1e6 / s for patch, s in zip(patches, best, strict=True)]


def read_to_tissue(path: Path, config: NetworkConfig, mpp: float) -> float:
    """The pixels that a plan reads over those that are tissue."""
    with Slide.open(path) as slide:
        frame = slide.frame(mpp)
        tissue = find_tissue(slide, frame, output_stride=config.output_stride)
    windows = plan_windows(
        frame, tissue, write_side=WRITE_SIDE, halo=config.halo, stride=config.total_stride
    )
    return area_read(windows) * frame.pixel_area_mm2 / tissue.area_mm2


def table_of(costs: Sequence[Cost], mpps: Sequence[float]) -> Table:
    rows = []
    for cost in costs:
        config = cost.config
        weights = sum(p.numel() for p in Network(config).parameters()) / 1e6
        per_mm2 = [
            ratio / (mpp**2 * cost.megapixels_per_second) * 1e3
            for ratio, mpp in zip(cost.read_to_tissue, mpps, strict=True)
        ]
        rows.append(
            [
                cost.name,
                f"{weights:.2f}",
                str(config.halo),
                f"{cost.megapixels_per_second:.1f}",
                *(f"{ratio:.2f}" for ratio in cost.read_to_tissue),
                *(f"{value:.1f}" for value in per_mm2),
            ]
        )
    at = [f"{mpp:g} µm/px" for mpp in mpps]
    columns = ["network", "M weights", "halo, px", "MP/s"]
    columns += [f"read / tissue at {place}" for place in at]
    columns += [f"ms a mm² at {place}" for place in at]
    return Table("What networks cost", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mpp", default="1.0,4.0")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    mpps = [float(text) for text in arguments.mpp.split(",")]
    console = Console()
    console.print(describe_machine(), highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "drawn.tiff"
        write_blocks_slide(path, arguments.side, arguments.side, mpp=1.0)
        rates = speeds(list(SHAPES.values()), arguments.rounds)
        costs = [
            Cost(name, config, rate, tuple(read_to_tissue(path, config, mpp) for mpp in mpps))
            for (name, config), rate in zip(SHAPES.items(), rates, strict=True)
        ]
    table = table_of(costs, mpps)
    table.show(console)
    if arguments.markdown:
        put_section(arguments.markdown, "networks", table.markdown())


if __name__ == "__main__":
    main()
