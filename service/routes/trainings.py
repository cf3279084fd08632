"""Trainings: outlined slides in, a model out, private until it is published."""

import asyncio
import json
from typing import Any, Final

from fastapi import APIRouter, Response

from ..deps import Admin, Cursor, IdempotencyKey, LastEventId, PageSize, Parts, Reader
from ..engine.attempt import RESULT
from ..engine.training_files import CURVES, PICTURE, WORK
from ..event_stream import MEDIA_TYPE, Watch
from ..http.principals import Principal
from ..http.problems import Problem
from ..jobs.submission import Submission
from ..records.tables import Job, State
from ..schemas import EVENT, Id, problems
from ..services import Services
from ..training_request import check_config, check_name, checked_cases, checked_label
from .training_schemas import Curves, TrainingAnswer, TrainingRequest, TrainingsAnswer

TRAINING: Final = "training"
SECONDS_TO_LOOK_AGAIN = 10

router = APIRouter(tags=["trainings"])


@router.post(
    "/v1/trainings",
    status_code=202,
    response_model=TrainingAnswer,
    summary="Train a model on outlined slides",
    responses=problems(404, 409, 410, 413, 415, 422),
)
async def submit_training(
    body: TrainingRequest,
    parts: Parts,
    principal: Admin,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> TrainingAnswer:
    """Accept a training. Its model is your group's until `POST /v1/models/{name}/publish`."""
    check_config(body.config)
    label = checked_label(body.foreground_label)
    cases = await checked_cases(parts, principal, body.slides, body.patients, body.mpp)
    request = {
        "name": body.name,
        "config": body.config,
        "foreground_label": label,
        "seed": body.seed,
        "epochs": body.epochs,
        "hours": body.hours,
        "cases": cases,
    }
    job = await asyncio.to_thread(_submit, parts, principal, body, request, idempotency_key)
    response.headers["Location"] = f"/v1/trainings/{job.id}"
    response.headers["Retry-After"] = str(SECONDS_TO_LOOK_AGAIN)
    return TrainingAnswer.of(job)


@router.get(
    "/v1/trainings",
    response_model=TrainingsAnswer,
    summary="List trainings",
    responses=problems(422),
)
def list_trainings(
    parts: Parts,
    principal: Reader,
    state: State | None = None,
    limit: PageSize = 50,
    cursor: Cursor = None,
) -> TrainingsAnswer:
    """The trainings of your group, newest first."""
    jobs, following = parts.jobs.page(
        principal, kind=TRAINING, state=state, cursor=cursor, limit=limit
    )
    return TrainingsAnswer(items=[TrainingAnswer.of(job) for job in jobs], next=following)


@router.get(
    "/v1/trainings/{training_id}",
    response_model=TrainingAnswer,
    summary="See how far a training is",
    responses=problems(404, 422),
)
def get_training(training_id: Id, parts: Parts, principal: Reader) -> TrainingAnswer:
    """A training as it is now."""
    return TrainingAnswer.of(parts.jobs.get(principal, training_id, TRAINING))


@router.delete(
    "/v1/trainings/{training_id}",
    status_code=202,
    response_model=TrainingAnswer,
    summary="Cancel a training",
    responses=problems(404, 409, 422),
)
def cancel_training(training_id: Id, parts: Parts, principal: Admin) -> TrainingAnswer:
    """Stop a training that waits or runs. No model comes of it."""
    return TrainingAnswer.of(parts.jobs.ask_cancel(principal, training_id, TRAINING))


@router.get(
    "/v1/trainings/{training_id}/curves",
    response_model=Curves,
    summary="The learning curves, while it runs and after",
    responses=problems(404, 410, 422),
)
def get_curves(training_id: Id, parts: Parts, principal: Reader) -> Any:
    """A value an epoch; empty before the first epoch is over."""
    job = parts.jobs.get(principal, training_id, TRAINING)
    curves = _made(parts, job, CURVES)
    return {"epochs": [], "series": {}} if curves is None else json.loads(curves)


@router.get(
    "/v1/trainings/{training_id}/curves.png",
    response_class=Response,
    summary="The learning curves as a picture",
    responses={
        **problems(404, 410, 422),
        200: {"description": "The curves so far.", "content": {"image/png": {}}},
    },
)
def get_curves_picture(training_id: Id, parts: Parts, principal: Reader) -> Response:
    """Loss and accuracy by epoch."""
    job = parts.jobs.get(principal, training_id, TRAINING)
    picture = _made(parts, job, PICTURE)
    if picture is None:
        raise Problem(404, "The training has no curves yet: its first epoch is not over.")
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-cache"})


@router.get(
    "/v1/trainings/{training_id}/events",
    response_class=Response,
    summary="Watch a training",
    responses={
        **problems(404, 422),
        200: {
            "description": "An event `job` for every change; it ends with the training.",
            "content": {MEDIA_TYPE: {"schema": EVENT}},
        },
        204: {"description": "It is finished and `Last-Event-ID` was its last event."},
    },
)
async def watch_training(
    training_id: Id,
    parts: Parts,
    principal: Reader,
    last_event_id: LastEventId = None,
) -> Response:
    """Each event has the training as its data and its revision as its id."""
    watch = Watch(parts.streams, principal, training_id, TRAINING, TrainingAnswer.of)
    return await watch.answer(last_event_id)


def _submit(
    parts: Services,
    principal: Principal,
    body: TrainingRequest,
    request: dict[str, Any],
    idempotency_key: str | None,
) -> Job:
    check_name(parts, principal, body.name, idempotency_key)
    submission = Submission(
        kind=TRAINING,
        slide_id=None,
        model=body.name,
        model_digest=None,
        request=request,
        idempotency_key=idempotency_key,
        body=body.model_dump_json().encode(),
    )
    return parts.jobs.submit(principal, submission)[0]


def _made(parts: Services, job: Job, name: str) -> bytes | None:
    """A file of the result, or of the work so far; None where it is not there yet.

    Raises:
        Problem: 410; it was deleted.
    """
    if job.deleted_at is not None:
        raise Problem(410, "What the training left was deleted; its model stays.")
    folder = parts.jobs.attempt_folder(job)
    for path in (folder / RESULT / name, folder / WORK / name):
        if path.is_file():
            return path.read_bytes()
    return None
