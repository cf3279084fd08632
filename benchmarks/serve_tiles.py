"""Tiles a second of a running server, cold and hot, alone and while a job runs.

    python benchmarks/serve_tiles.py [SLIDE] [--clients 16] [--seconds 10] [--job breast-idc]

Starts `extent serve` on a folder that holds the slide alone (without SLIDE: one drawn, 32,768
pixels square, a third of it tissue) and asks for tiles with wrk, which must be installed:

    cold      each tile once: first of the finest level in random order, then as a viewer does,
              screens of 8 x 5 neighbours at random levels
    hot       the same 400 tiles again and again

`--job MODEL` keeps a job running meanwhile. tiles/s counts what was answered; failed, the 429s of
a client that asks for more than its rate, 60,000 a minute.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tiling.deepzoom import DeepZoom
from tiling.synthetic_blocks import write_blocks_slide

SIDE = 32_768
SCREEN = (8, 5)
LEVELS = 5  # the finest ones, which viewers spend their time on
HOT_TILES = 400
Tile = tuple[int, int, int]  # level, column, row

SCRIPT = """
local paths = {}
for line in io.lines("PATHS") do paths[#paths + 1] = line end
local at, again = 0, AGAIN
function request()
  at = at + 1
  if at > #paths then
    if not again then wrk.thread:stop(); at = #paths else at = 1 end
  end
  return wrk.format("GET", paths[at])
end
function done(summary, latency)
  io.write(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p99": %f}\\n',
    summary.requests, summary.duration / 1e6, summary.errors.status + summary.errors.timeout
    + summary.errors.read, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """How hard to ask: connections at once, and for how long at most."""

    clients: int
    seconds: int

    def run(self, base: str, paths: list[str], *, again: bool) -> dict[str, float]:
        """What wrk measured: requests, seconds, failed, p50 and p99 in ms."""
        with tempfile.TemporaryDirectory() as folder:
            listed, script = Path(folder, "paths"), Path(folder, "tiles.lua")
            listed.write_text("\n".join(paths) + "\n")
            text = SCRIPT.replace("PATHS", str(listed)).replace("AGAIN", str(again).lower())
            script.write_text(text)
            command = ["wrk", "-t1", f"-c{self.clients}", f"-d{self.seconds}s", "--timeout", "20s"]
            done = subprocess.run(
                [*command, "-s", str(script), base], capture_output=True, text=True, check=True
            )
        measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return measured


@contextmanager
def server(slide: Path, folder: Path, *options: str) -> Iterator[str]:
    """`extent serve` with these options on a folder of this slide; its address."""
    data = folder / "data"
    data.mkdir()
    (data / slide.name).hardlink_to(slide)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service.cli", "serve", "--data", str(data)]
    command += ["--state", str(folder / "state"), "--port", str(port), *options]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base)
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(base: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{base}/v1/slides").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise SystemExit("the server does not start")
        time.sleep(0.2)


def finest(zoom: DeepZoom, random_: random.Random) -> list[Tile]:
    """All tiles of the finest level, shuffled."""
    level = zoom.levels - 1
    columns, rows = zoom.tiles(level)
    tiles = [(level, column, row) for column in range(columns) for row in range(rows)]
    random_.shuffle(tiles)
    return tiles


def screens(zoom: DeepZoom, random_: random.Random) -> list[Tile]:
    """All tiles of the finer levels by screens, which come in any order."""
    blocks = []
    for level in range(max(0, zoom.levels - LEVELS), zoom.levels):
        columns, rows = zoom.tiles(level)
        for left in range(0, columns, SCREEN[0]):
            for top in range(0, rows, SCREEN[1]):
                right, bottom = min(columns, left + SCREEN[0]), min(rows, top + SCREEN[1])
                blocks.append(
                    [(level, c, r) for r in range(top, bottom) for c in range(left, right)]
                )
    random_.shuffle(blocks)
    return [tile for block in blocks for tile in block]


def keep_busy(client: httpx.Client, slide: str, model: str) -> None:
    """Submit more work than the benchmark lasts, and wait until it runs."""
    for number in range(20):
        body = {"slide": slide, "model": model, "threshold": 0.3 + number / 100}
        client.post("/v1/jobs", json=body).raise_for_status()
    until = time.monotonic() + 120
    while not client.get("/v1/jobs", params={"state": "running"}).json()["items"]:
        if time.monotonic() > until:
            raise SystemExit("no job runs")
        time.sleep(0.5)


def measure(slide: Path, load: Load, model: str | None) -> Iterator[tuple[str, dict[str, float]]]:
    """A row each: what was asked for, what wrk measured."""
    for name, choose in (("cold, finest level", finest), ("cold, screens", screens)):
        with tempfile.TemporaryDirectory() as folder, server(slide, Path(folder)) as base:
            client = httpx.Client(base_url=base, timeout=60)
            slide_id = client.get("/v1/slides").json()["items"][0]["id"]
            facts = client.get(f"/v1/slides/{slide_id}").raise_for_status().json()
            width, height = facts["size_level0"]
            zoom = DeepZoom(width, height, facts["tile_size"])
            if model is not None:
                keep_busy(client, slide_id, model)
            tiles = choose(zoom, random.Random(0))
            paths = [f"/v1/slides/{slide_id}_files/{z}/{x}_{y}.jpeg" for z, x, y in tiles]
            yield name, load.run(base, paths, again=False)
            if choose is screens:
                load.run(base, paths[:HOT_TILES], again=False)
                yield "hot", load.run(base, paths[:HOT_TILES], again=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--job", metavar="MODEL")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    with tempfile.TemporaryDirectory() as folder:
        slide = arguments.slide or Path(folder, "drawn.tiff")
        if arguments.slide is None:
            write_blocks_slide(slide, SIDE, SIDE)
        print(f"{'':20} {'tiles/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7} {'tiles':>8}")
        load = Load(arguments.clients, arguments.seconds)
        for name, row in measure(slide, load, arguments.job):
            rate = (row["requests"] - row["failed"]) / row["seconds"]
            print(
                f"{name:20} {rate:8.0f} {row['p50']:8.1f} {row['p99']:8.1f} "
                f"{row['failed']:7.0f} {row['requests']:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
