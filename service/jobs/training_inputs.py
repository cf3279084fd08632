"""What a training's attempt works on: its slides, and the outlines as they were when asked for."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotations.errors import SlideError
from tiling.rawplanes import disk_errors

from ..http.problems import Problem
from ..records.database import Records
from ..records.tables import Job, OutlineVersion, SlideRecord
from ..slides.catalog import Catalog

INPUTS = "inputs"  # JOBS/<job id>/inputs/<slide id>.geojson.gz


def lay_out(
    records: Records, catalog: Catalog, job: Job, job_folder: Path
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Write a training's outlines into its folder, for every attempt anew.

    `job.request["cases"]` are {"slide", "version", "patient", "mpp"}. Returns what
    `Attempt.request` and `Attempt.sees` shall be: the cases with `slide_path` and `outlines_path`,
    and all that these name.

    Raises:
        SlideError: a slide or its outlines are gone. ResultError: the disk is full.
    """
    folder = job_folder / INPUTS
    cases, sees = [], [folder]
    with records.read() as session, disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for case in job.request["cases"]:
            slide = session.get(SlideRecord, case["slide"])
            content = session.scalar(
                sa.select(OutlineVersion.content).where(
                    OutlineVersion.slide_id == case["slide"],
                    OutlineVersion.group == job.group,
                    OutlineVersion.version == case["version"],
                )
            )
            if slide is None or content is None:
                raise SlideError("a slide of this training, or its outlines, are gone")
            outlines = folder / f"{case['slide']}.geojson.gz"
            outlines.write_bytes(content)
            try:
                path, own = catalog.path(slide), catalog.sees(slide)
            except Problem as problem:
                raise SlideError("a slide of this training is not there any more") from problem
            sees += own
            cases.append(
                {
                    "slide": case["slide"],
                    "slide_path": str(path),
                    "outlines_path": str(outlines),
                    "patient": case["patient"],
                    "mpp": case["mpp"],
                }
            )
    return {**job.request, "cases": cases}, tuple(sees)
