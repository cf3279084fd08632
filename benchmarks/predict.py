"""What predicting a slide costs beside the network's own arithmetic, in one run.

    python benchmarks/predict.py [SLIDE] [--side 16384] [--model breast-idc] [--mpp 1.0]

Without a slide it draws one of --side x --side pixels at 1 µm/px, a third of it tissue. The steps
that `extent predict` takes in its worker are timed here in one process: opening, digest, tissue,
reading, inference, canvas, then pyramid, tracing, overlay. Beside it stands the forward pass alone
over the same read boxes, decoded beforehand. The start of processes and loading the model are
reported apart.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from model.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from model.predictor import Execution, Predictor, load_predictor
from model.segment import WRITE_SIDE, segment, window_sides
from service.report import ReportOptions, RunFacts, write_result
from tiling.grid import Window, plan_windows
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.slide_files import slide_digest
from tiling.synthetic_blocks import write_blocks_slide
from tiling.tissue import find_tissue

HELD_PATCHES = 8  # decoded at a time for the forward pass alone: memory stays small


def predict_once(
    path: Path, resolution: Resolution, checkpoint: Checkpoint, predictor: Predictor, out: Path
) -> dict[str, float]:
    """From opening the slide to the last file written; seconds of each phase."""
    started = time.perf_counter()
    marks: dict[str, float] = {}
    with Slide.open(path, resolution) as slide:
        digest = slide_digest(path)
        extent_map = segment(slide, checkpoint, predictor, work=out / "canvas", key="benchmark")
        marks["map"] = time.perf_counter() - started
        facts = RunFacts(
            digest, checkpoint.digest, lambda: time.perf_counter() - started, {}, {}, {}
        )
        with extent_map.canvas:
            folder = out / "result"
            folder.mkdir()
            write_result(
                folder,
                slide,
                extent_map,
                card=checkpoint.card,
                facts=facts,
                options=ReportOptions(),
            )
    marks["total"] = time.perf_counter() - started
    marks["files"] = marks["total"] - marks["map"]
    return marks


def forward_alone(
    slide: Slide, windows: list[Window], checkpoint: Checkpoint, predictor: Predictor
) -> float:
    """Seconds of inference over all read boxes, decoding not counted."""
    frame = slide.frame(checkpoint.card.mpp)
    seconds = 0.0
    for first in range(0, len(windows), HELD_PATCHES):
        patches = [slide.read(frame, w.read)[None] for w in windows[first : first + HELD_PATCHES]]
        if first == 0:
            predictor(patches[0])
        started = time.perf_counter()
        for patch in patches:
            predictor(patch)
        seconds += time.perf_counter() - started
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--model", default="breast-idc")
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--runtime", default="auto", choices=["auto", "torch", "openvino"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    checkpoint = load_checkpoint(find_checkpoint(arguments.model))
    network = checkpoint.card.network
    write, read = window_sides(network, WRITE_SIDE)
    started = time.perf_counter()
    execution = Execution(runtime=arguments.runtime, precision=arguments.precision)
    predictor = load_predictor(checkpoint, execution, read)
    loading = time.perf_counter() - started

    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.slide
        if path is None:
            path = Path(scratch) / "drawn.tiff"
            write_blocks_slide(path, arguments.side, arguments.side, mpp=1.0)
        resolution = Resolution(arguments.mpp)
        with Slide.open(path, resolution) as slide:
            frame = slide.frame(checkpoint.card.mpp)
            tissue = find_tissue(slide, frame, output_stride=network.output_stride)
            windows = plan_windows(
                frame, tissue, write_side=write, halo=network.halo, stride=network.total_stride
            )
            rows = []
            for repeat in range(arguments.repeats):
                out = Path(scratch) / f"run-{repeat}"
                out.mkdir()
                marks = predict_once(path, resolution, checkpoint, predictor, out)
                rows.append(
                    {**marks, "forward": forward_alone(slide, windows, checkpoint, predictor)}
                )
            read_mm2 = sum(w.read.area for w in windows) * frame.pixel_area_mm2
    best = {key: min(row[key] for row in rows) for key in rows[0]}
    ratios = sorted(row["total"] / row["forward"] for row in rows)
    print(
        json.dumps(
            {
                "slide": path.name,
                "level0_megapixels": round(slide.size_level0[0] * slide.size_level0[1] / 1e6, 1),
                "predictor": predictor.describe,
                "windows": len(windows),
                "seconds": {key: round(value, 3) for key, value in best.items()},
                "loading_seconds": round(loading, 2),
                "predict_to_forward": {
                    "lowest": round(ratios[0], 2),
                    "median": round(ratios[len(ratios) // 2], 2),
                    "highest": round(ratios[-1], 2),
                },
                "read_to_tissue_area": round(read_mm2 / tissue.area_mm2, 2) if windows else None,
                "tissue_mm2": round(tissue.area_mm2, 2),
                "megapixels_read_per_second": round(
                    sum(w.read.area for w in windows) / 1e6 / best["total"], 2
                ),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
