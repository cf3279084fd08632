"""The HTTP server: `create_app(settings)`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from annotations.errors import ExtentError

from .http.gate import Gate
from .http.problems import MEDIA_TYPE, Problem, problem_of
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

log = logging.getLogger("extent")
SUBJECTS = (
    session,
    slides,
    tiles,
    uploads,
    outlines,
    models,
    jobs,
    events,
    results,
    maps,
    trainings,
    audit,
    health,
    viewer,
)


def create_app(settings: Settings) -> FastAPI:
    """One server's application. Nothing runs and no file is touched until it is started.

    Raises:
        UsageError: the settings make no sense.
    """
    services = Services.of(settings)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(services.records.migrate)
        await services.readers.start()
        await asyncio.to_thread(services.runner.start)
        try:
            yield
        finally:
            await asyncio.to_thread(services.runner.drain)
            await services.readers.close()
            services.records.close()

    app = FastAPI(
        title="Extent",
        summary="How far a tumour reaches on histology slides. Research use only.",
        version=extent_version(),
        openapi_url="/v1/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=running,
    )
    app.state.services = services
    for subject in SUBJECTS:
        app.include_router(subject.router)
    app.add_middleware(Gate, services=services)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(ExtentError, _foreseen)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
    return app


def _answer(problem: Problem) -> JSONResponse:
    return JSONResponse(
        problem.document, problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _answer(error)


async def _foreseen(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ExtentError)
    return _answer(problem_of(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What was wrong and where, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()[:5]
    )
    return _answer(Problem(422, said))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _answer(Problem(error.status_code, str(error.detail), headers=error.headers))


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    """A fault of Extent: the log has where, without what was asked for."""
    log.error("unforeseen %s", type(error).__name__, exc_info=error)
    return _answer(Problem(500, "Something went wrong in Extent; its log says where."))
