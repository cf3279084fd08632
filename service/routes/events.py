"""A job's progress as server-sent events."""

from fastapi import APIRouter, Response

from ..deps import LastEventId, Parts, Reader
from ..event_stream import MEDIA_TYPE, Watch
from ..schemas import EVENT, Id, problems
from .job_schemas import JobAnswer
from .jobs import MAP

router = APIRouter(tags=["jobs"])
EXAMPLE = 'event: job\nid: 7\ndata: {"id":"6f1e…","state":"running","share":0.31,…}\n\n'


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=Response,
    summary="Watch a job",
    responses={
        **problems(404, 422),
        200: {
            "description": "An event for every change; it ends with the job.",
            "content": {MEDIA_TYPE: {"schema": EVENT, "example": EXAMPLE}},
        },
        204: {"description": "The job is finished and `Last-Event-ID` was its last event."},
    },
)
async def watch_job(
    job_id: Id,
    parts: Parts,
    principal: Reader,
    last_event_id: LastEventId = None,
) -> Response:
    """Each event `job` has the job as its data and its revision as its id.

    Comments keep the connection open while nothing changes.
    """
    watch = Watch(parts.streams, principal, job_id, MAP, JobAnswer.of)
    return await watch.answer(last_event_id)
