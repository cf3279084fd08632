"""The HTTP server: `create_app(settings)`."""

import re
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from annotations.errors import ExtentError

from .http.exchange import answer_to
from .http.gate import Gate
from .http.identity import Identity
from .http.openapi import openapi_of
from .http.problems import Problem, problem_of
from .lifecycle import Lifecycle
from .readiness import gauges_of
from .routes import (
    audit,
    events,
    health,
    jobs,
    maps,
    models,
    outlines,
    results,
    session,
    slides,
    tiles,
    trainings,
    uploads,
    viewer,
)
from .services import Services
from .settings import Settings
from .versions import extent_version

SUBJECTS = (
    tiles,  # first: what is asked for most is found soonest
    maps,
    session,
    slides,
    uploads,
    outlines,
    models,
    jobs,
    events,
    results,
    trainings,
    audit,
    health,
    viewer,
)
DESCRIPTION = (
    "Slides, outlines, models and jobs of one server. Everything is in level-0 pixels of a slide's "
    "full plane unless its name says otherwise. Refusals are problem documents (RFC 9457)."
)
SAID = {  # of what no route answers
    404: "There is nothing at this address.",
    405: "This address does not take that method; Allow has those that it takes.",
}
FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}|\d+", re.ASCII)
FAULTS_SHOWN = 5


def create_app(settings: Settings) -> FastAPI:
    """One server's application. Nothing runs until it is started.

    Raises:
        UsageError: the settings make no sense.
    """
    services = Services.of(settings)
    services.metrics.watch(partial(gauges_of, services))
    lifecycle = Lifecycle(services)
    identity = Identity(settings, services.keys)
    app = FastAPI(
        title="Extent",
        summary="How far a tumour reaches on histology slides. Research use only.",
        description=DESCRIPTION,
        version=extent_version(),
        openapi_url=None,  # a route of its own, with a rule
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifecycle.running,
    )
    app.state.services, app.state.lifecycle, app.state.identity = services, lifecycle, identity
    app.openapi = partial(openapi_of, app, settings.https)  # type: ignore[method-assign]
    for subject in SUBJECTS:
        app.router.routes.extend(subject.router.routes)  # flat: found faster than in sub-routers
    app.add_middleware(Gate, services=services, identity=identity, lifecycle=lifecycle)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(ExtentError, _foreseen)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return answer_to(error)


async def _foreseen(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ExtentError)
    return answer_to(problem_of(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What was wrong and where, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()[:FAULTS_SHOWN]
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer_to(Problem(400, "The body is not JSON."))
    said = (f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults)
    return answer_to(Problem(422, "; ".join(said)))


def _place(parts: tuple[int | str, ...]) -> str:
    """Where in a request something is; what is no field's name may say anything."""
    return ".".join(str(part) if FIELD.fullmatch(str(part)) else "…" for part in parts)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = SAID.get(error.status_code) or str(error.detail)
    return answer_to(Problem(error.status_code, detail, headers=error.headers))
