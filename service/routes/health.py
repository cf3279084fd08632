"""Whether the server is well, what it counted, and what it can do."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ..deps import Parts, Reader
from ..http.metrics import CONTENT_TYPE
from ..readiness import Part, parts_of
from ..schemas import Answer, problems

router = APIRouter(tags=["health"])


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class PartState(Answer):
    """One part of the server."""

    ok: bool
    detail: Annotated[str, Field(examples=["there"])]


class Readiness(Answer):
    """Whether work can be done, and if not, what is missing."""

    status: Literal["ready", "not ready"]
    parts: dict[Part, PartState]


@router.get("/v2/health/live", response_model=Alive, responses=problems())
async def live() -> Alive:
    """The process answers."""
    return Alive()


@router.get(
    "/v2/health/ready",
    response_model=Readiness,
    responses={**problems(), 503: {"model": Readiness}},
)
async def ready(request: Request, parts: Parts) -> JSONResponse:
    """Whether database, cluster, disk and readers are there: 200 if all are, else 503."""
    prepared: bool = request.app.state.lifecycle.prepared
    found = await asyncio.to_thread(parts_of, parts, prepared)
    well = all(fault is None for fault in found.values())
    answer = Readiness(
        status="ready" if well else "not ready",
        parts={
            part: PartState(ok=fault is None, detail=fault or "there")
            for part, fault in found.items()
        },
    )
    return JSONResponse(answer.model_dump(mode="json"), 200 if well else 503)


@router.get("/metrics", include_in_schema=False)
def metrics(_: Reader, parts: Parts) -> Response:
    """For Prometheus."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/v1/openapi.json", include_in_schema=False)
def openapi(_: Reader, request: Request) -> dict[str, Any]:
    """What this server can do, as OpenAPI."""
    document: dict[str, Any] = request.app.openapi()
    return document
