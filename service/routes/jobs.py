"""Jobs: a slide and a model in, a map out, later."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Response

from ..deps import Cursor, IdempotencyKey, PageSize, Parts, Reader, Writer
from ..http.principals import Principal
from ..http.problems import Problem
from ..jobs.submission import Submission
from ..records.tables import Job, SlideRecord, State
from ..schemas import Id, problems
from ..services import Services
from .job_schemas import JobAnswer, JobRequest, JobsAnswer, Region

MAP: Final = "map"  # the kind of job that these routes show; trainings have their own
SECONDS_TO_LOOK_AGAIN = 2

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=JobAnswer,
    summary="Have a slide mapped",
    responses=problems(404, 409, 410, 413, 415, 422),
)
async def submit_job(
    body: JobRequest,
    parts: Parts,
    principal: Writer,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Accept a job. It begins when a worker is free; `Location` says where to look for it."""
    found = await asyncio.to_thread(parts.catalog.get, principal, body.slide)
    slide = await parts.catalog.examined(found)
    job = await asyncio.to_thread(_submit, parts, principal, slide, body, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = str(SECONDS_TO_LOOK_AGAIN)
    return JobAnswer.of(job)


@router.get(
    "/v1/jobs",
    response_model=JobsAnswer,
    summary="List jobs",
    responses=problems(422),
)
def list_jobs(
    parts: Parts,
    principal: Reader,
    state: State | None = None,
    slide: Id | None = None,
    limit: PageSize = 50,
    cursor: Cursor = None,
) -> JobsAnswer:
    """The jobs of your group, newest first."""
    jobs, following = parts.jobs.page(
        principal, kind=MAP, state=state, slide_id=slide, cursor=cursor, limit=limit
    )
    return JobsAnswer(items=[JobAnswer.of(job) for job in jobs], next=following)


@router.get(
    "/v1/jobs/{job_id}",
    response_model=JobAnswer,
    summary="See how far a job is",
    responses=problems(404, 422),
)
def get_job(job_id: Id, parts: Parts, principal: Reader) -> JobAnswer:
    """A job as it is now."""
    return JobAnswer.of(parts.jobs.get(principal, job_id, MAP))


@router.delete(
    "/v1/jobs/{job_id}",
    status_code=202,
    response_model=JobAnswer,
    summary="Cancel a job",
    responses=problems(404, 409, 422),
)
def cancel_job(job_id: Id, parts: Parts, principal: Writer) -> JobAnswer:
    """Stop a job that waits or runs. What it has made so far is given up."""
    return JobAnswer.of(parts.jobs.ask_cancel(principal, job_id, MAP))


@router.delete(
    "/v1/jobs/{job_id}/results",
    status_code=204,
    summary="Delete a job's result",
    responses=problems(404, 409, 422),
)
def delete_results(job_id: Id, parts: Parts, principal: Writer) -> None:
    """Free the disk that a finished job takes. Its record and its figures stay."""
    parts.jobs.delete_result(principal, job_id, MAP)


def _submit(
    parts: Services,
    principal: Principal,
    slide: SlideRecord,
    body: JobRequest,
    idempotency_key: str | None,
) -> Job:
    _check_slide(slide, body)
    model = parts.models.find(principal, body.model)
    threshold = model.card["threshold"] if body.threshold is None else body.threshold
    request = {
        "slide_name": slide.name,
        "mpp": body.mpp,
        "threshold": threshold,
        "region_level0": body.region_level0 and list(body.region_level0),
        "adaptive": body.adaptive,
        "foreground_class": model.card["classes"][model.card["foreground"]],
    }
    submission = Submission(
        kind=MAP,
        slide_id=slide.id,
        model=model.name,
        model_digest=model.digest,
        request=request,
        idempotency_key=idempotency_key,
        body=body.model_dump_json().encode(),
    )
    return parts.jobs.submit(principal, submission)[0]


def _check_slide(slide: SlideRecord, body: JobRequest) -> None:
    """Refuse at once what could only fail later.

    Raises:
        Problem: 422.
    """
    facts = slide.facts
    if slide.unusable is not None or facts is None:
        raise Problem(422, slide.unusable or "The slide cannot be read.")
    if facts["mpp"] is None and body.mpp is None:
        raise Problem(
            422,
            "The slide's file does not say its resolution: give `mpp`, the µm per pixel of its "
            "finest level (0.25 is usual for a 40x scan, 0.5 for 20x).",
        )
    if body.region_level0 is not None:
        _check_region(body.region_level0, facts)


def _check_region(region_level0: Region, facts: dict[str, Any]) -> None:
    x, y, width, height = region_level0
    across, down = facts["size_level0"]
    if x + width > across or y + height > down:
        raise Problem(
            422,
            f"`region_level0` reaches beyond the slide, which has {across} x {down} pixels at "
            "level 0: x + width and y + height must stay within those.",
        )
