"""What a finished job made: its files, and a sheet to print."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from model.stored import MAP_FILE, SUMMARY_FILE

from ..deps import Known, Parts, Reader
from ..http.preconditions import etag, names
from ..http.principals import Principal
from ..http.problems import Problem
from ..http.ranged_file import RangedFile
from ..printable import POLICY, Sheet, printable
from ..records.tables import Job
from ..results import OUTLINE_FILE, OVERLAY_FILE
from ..schemas import Id, problems
from ..services import Services
from .jobs import MAP

KEEPING = "private, no-cache"  # kept, but asked for again: results can be deleted
REFUSALS = problems(404, 409, 410, 422)

router = APIRouter(tags=["results"])


def _told(media_type: str, schema: dict[str, Any], description: str) -> dict[int | str, Any]:
    content = {media_type: {"schema": schema}}
    return {**REFUSALS, 200: {"description": description, "content": content}}


UNCHANGED: dict[int | str, Any] = {304: {"description": "It is what `If-None-Match` names."}}
BINARY = {"type": "string", "format": "binary"}


@router.head("/v1/jobs/{job_id}/summary.json", include_in_schema=False)
@router.get(
    "/v1/jobs/{job_id}/summary.json",
    response_class=Response,
    summary="Figures, regions and provenance",
    responses=UNCHANGED
    | _told("application/json", {"type": "object"}, "The figures; see the file formats."),
)
def get_summary(job_id: Id, parts: Parts, principal: Reader, known: Known = None) -> Response:
    """Areas in mm² and their interval, a row a region, quality, digests of what went in and out."""
    return _file(parts, principal, job_id, SUMMARY_FILE, "application/json", known)


@router.head("/v1/jobs/{job_id}/extent.geojson", include_in_schema=False)
@router.get(
    "/v1/jobs/{job_id}/extent.geojson",
    response_class=Response,
    summary="Outlines of the tumour",
    responses=UNCHANGED
    | _told("application/geo+json", {"type": "object"}, "A FeatureCollection for QuPath."),
)
def get_extent(job_id: Id, parts: Parts, principal: Reader, known: Known = None) -> Response:
    """Valid polygons with holes, in level-0 pixels: regions, then the contours as detections."""
    return _file(parts, principal, job_id, OUTLINE_FILE, "application/geo+json", known)


@router.head("/v1/jobs/{job_id}/probability.tiff", include_in_schema=False)
@router.get(
    "/v1/jobs/{job_id}/probability.tiff",
    response_class=Response,
    summary="The whole map",
    responses={
        **UNCHANGED,
        **_told("image/tiff", BINARY, "A tiled pyramid, 8 bits, 255 = probability 1."),
        206: {"description": "The bytes that `Range` names."},
        416: problems(416)[416],
    },
)
def get_map_file(
    job_id: Id,
    parts: Parts,
    principal: Reader,
    known: Known = None,
    _: Annotated[
        str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=0-7"])
    ] = None,
) -> Response:
    """The map as OpenSlide and QuPath open it. `Range` gives parts of it."""
    return _file(parts, principal, job_id, MAP_FILE, "image/tiff", known)


@router.head("/v1/jobs/{job_id}/overlay.png", include_in_schema=False)
@router.get(
    "/v1/jobs/{job_id}/overlay.png",
    response_class=Response,
    summary="The slide with the outlines on it",
    responses=UNCHANGED | _told("image/png", BINARY, "A picture to look at."),
)
def get_overlay(job_id: Id, parts: Parts, principal: Reader, known: Known = None) -> Response:
    """At most 1,600 pixels a side, with a scale bar."""
    return _file(parts, principal, job_id, OVERLAY_FILE, "image/png", known)


@router.head("/v1/jobs/{job_id}/report.html", include_in_schema=False)
@router.get(
    "/v1/jobs/{job_id}/report.html",
    response_class=HTMLResponse,
    summary="The result on one sheet of paper",
    responses=_told("text/html", {"type": "string"}, "A page that prints on one sheet of A4."),
)
def get_report(job_id: Id, parts: Parts, principal: Reader) -> HTMLResponse:
    """Picture, areas, the largest regions, the model's measures and limits. Without scripts."""
    job = parts.jobs.get(principal, job_id, MAP)
    folder = parts.jobs.result_folder(job)
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_bytes())
        overlay = (folder / OVERLAY_FILE).read_bytes()
    except OSError:
        raise _lost() from None
    sheet = Sheet(
        job_id=job.id,
        slide_name=job.request["slide_name"],
        finished_at=job.finished_at or job.created_at,
        summary=summary,
        overlay_png=overlay,
        card=_card(parts, principal, job),
        region_level0=job.request["region_level0"],
    )
    headers = {
        "Content-Security-Policy": POLICY,
        "Content-Disposition": f'inline; filename="extent-{job.id}.html"',
        "Cache-Control": KEEPING,
    }
    return HTMLResponse(printable(sheet), headers=headers)


def _card(parts: Services, principal: Principal, job: Job) -> dict[str, Any] | None:
    """The card of the very model that the job used, where it is still there."""
    try:
        model = parts.models.find(principal, job.model)
    except Problem:
        return None
    return model.card if model.digest == job.model_digest else None


def _file(
    parts: Services,
    principal: Principal,
    job_id: str,
    name: str,
    media_type: str,
    known: str | None,
) -> Response:
    """A file of a result.

    Raises:
        Problem: 404, 409 or 410; there is no result.
    """
    folder = parts.jobs.result_folder(parts.jobs.get(principal, job_id, MAP))
    try:
        tag = etag(_digests(folder)[name])
        found = (folder / name).stat()
    except OSError:
        raise _lost() from None
    headers = {"ETag": tag, "Cache-Control": KEEPING}
    if names(known, tag.strip('"')):
        return Response(status_code=304, headers=headers)
    return RangedFile(
        folder / name,
        media_type=media_type,
        headers=headers,
        stat_result=found,
        filename=f"extent-{job_id}-{name}",
    )


@lru_cache(maxsize=256)
def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a result; a published result never changes.

    Raises:
        OSError: the result is not there.
    """
    content = (folder / SUMMARY_FILE).read_bytes()
    outputs: dict[str, str] = json.loads(content)["provenance"]["outputs"]
    return outputs | {SUMMARY_FILE: hashlib.sha256(content).hexdigest()}


def _lost() -> Problem:
    return Problem(410, "The result's files are not there any more; run the job again.")
