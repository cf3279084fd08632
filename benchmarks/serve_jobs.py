"""Submissions a second of a running server: each accepted or answered 429, none lost.

    python benchmarks/serve_jobs.py [--jobs 1000] [--seconds 10] [--clients 50]

Starts `extent serve` on a folder with one small drawn slide and submits jobs evenly over the
seconds, whether earlier ones are answered or not; workers run jobs meanwhile. Each submission has
an Idempotency-Key of its own, and one in ten is sent twice at once. Then every accepted job is
looked for in the list.
"""

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from serve_tiles import server

from tiling.synthetic_blocks import write_blocks_slide

SIDE = 2_048
TWICE = 10  # one in so many is sent twice
MODEL = "breast-idc"


@dataclass(frozen=True)
class Answer:
    """What came of one submission, and after how many seconds."""

    number: int
    status: int
    job: str
    seconds: float


async def submit_all(
    base: str, slide: str, jobs: int, seconds: float, clients: int
) -> list[Answer]:
    """Submit evenly over the seconds; answers in any order."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=60) as client:
        began = time.perf_counter()

        async def submit(number: int) -> Answer:
            await asyncio.sleep(began + number * seconds / jobs - time.perf_counter())
            sent = time.perf_counter()
            answer = await client.post(
                "/v1/jobs",
                json={"slide": slide, "model": MODEL, "threshold": number / jobs},
                headers={"Idempotency-Key": f"load/{number}"},
            )
            took = time.perf_counter() - sent
            said = answer.json()
            return Answer(number, answer.status_code, said.get("id", ""), took)

        numbers = [n for n in range(jobs) for _ in range(2 if n % TWICE == 0 else 1)]
        return list(await asyncio.gather(*map(submit, numbers)))


def listed(base: str) -> list[str]:
    """The ids of all jobs in the list."""
    found: list[str] = []
    cursor = ""
    with httpx.Client(base_url=base, timeout=60) as client:
        while True:
            query = f"limit=200&cursor={cursor}" if cursor else "limit=200"
            page = client.get(f"/v1/jobs?{query}").json()
            found += [job["id"] for job in page["items"]]
            if page["next"] is None:
                return found
            cursor = page["next"]


def measures(answers: list[Answer], found: list[str], seconds: float) -> dict[str, Any]:
    accepted: dict[int, set[str]] = {}
    for answer in answers:
        if answer.status == 202:
            accepted.setdefault(answer.number, set()).add(answer.job)
    ids = {job for made in accepted.values() for job in made}
    times = np.array([answer.seconds for answer in answers]) * 1000
    return {
        "submissions": len(answers),
        "seconds": round(seconds, 2),
        "accepted": sum(answer.status == 202 for answer in answers),
        "refused_429": sum(answer.status == 429 for answer in answers),
        "other": sum(answer.status not in (202, 429) for answer in answers),
        "jobs": len(ids),
        "made_twice": sum(len(made) > 1 for made in accepted.values()),
        "lost": len(ids - set(found)),
        "not_asked_for": len(set(found) - ids),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "max_ms": round(float(times.max()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "drawn.tiff")
        write_blocks_slide(path, SIDE, SIDE)
        (work := Path(folder, "work")).mkdir()
        with server(path, work) as base:
            slide = httpx.get(f"{base}/v1/slides").json()["items"][0]["id"]
            began = time.perf_counter()
            answers = asyncio.run(submit_all(base, slide, asked.jobs, asked.seconds, asked.clients))
            took = time.perf_counter() - began
            print(json.dumps(measures(answers, listed(base), took), indent=2))


if __name__ == "__main__":
    main()
