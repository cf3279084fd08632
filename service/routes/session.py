"""A browser's session: its key exchanged for a cookie that scripts cannot read."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ..deps import Parts, Reader
from ..http.cookies import session_token, set_cookie
from ..http.principals import Principal
from ..http.problems import Problem
from ..schemas import Answer, Body, problems
from ..services import Services

router = APIRouter(tags=["session"])


class KeyOffered(Body):
    """The key to exchange. The page that asks for it keeps it nowhere."""

    key: Annotated[
        str, Field(min_length=1, max_length=200, examples=["extent_0123456789abcdef_0123…cdef"])
    ]


class Session(Answer):
    """Who asks, and what they may."""

    name: Annotated[str, Field(examples=["Reading room"])]
    group: Annotated[str, Field(examples=["pathology"])]
    scope: Annotated[str, Field(pattern="^(read|write|admin)$", examples=["write"])]
    via: Annotated[str, Field(pattern="^(key|cookie|loopback)$", examples=["cookie"])]


@router.post(
    "/v1/session", status_code=204, responses=problems(413, 415, 422), response_class=Response
)
async def start_session(offered: KeyOffered, request: Request, parts: Parts) -> Response:
    """Exchange a key for a session cookie (HttpOnly, SameSite=Strict)."""
    principal = await request.app.state.identity.offered(offered.key, request.scope.get("client"))
    if principal is None:
        raise Problem(
            401, "This key is not known, or no longer good.", headers={"WWW-Authenticate": "Bearer"}
        )
    old = _token(request, parts)
    ticket = await asyncio.to_thread(parts.keys.sessions.start, principal.key_id, old)
    return _with_cookie(parts, ticket.token, ticket.seconds)


@router.get("/v1/session", response_model=Session, responses=problems())
async def who_am_i(
    principal: Reader, request: Request, response: Response, parts: Parts
) -> Session:
    """Who asks. Now and then a browser gets a fresh cookie with the answer."""
    token = _token(request, parts)
    if principal.via == "cookie" and token is not None:
        ticket = await asyncio.to_thread(parts.keys.sessions.rotated, token)
        if ticket is not None:
            fresh = _with_cookie(parts, ticket.token, ticket.seconds)
            response.headers["Set-Cookie"] = fresh.headers["Set-Cookie"]
    return _session(principal)


@router.delete("/v1/session", status_code=204, responses=problems(), response_class=Response)
async def end_session(_: Reader, request: Request, parts: Parts) -> Response:
    """End the browser's session and take its cookie away. Without one nothing happens."""
    token = _token(request, parts)
    if token is not None:
        await asyncio.to_thread(parts.keys.sessions.end, token)
    response = _with_cookie(parts, "", 0)
    response.headers["Clear-Site-Data"] = '"cache"'  # tiles that the browser kept
    return response


def _session(principal: Principal) -> Session:
    return Session(
        name=principal.name,
        group=principal.group,
        scope=principal.scope.word,
        via=principal.via,
    )


def _token(request: Request, parts: Services) -> str | None:
    return session_token(dict(request.scope["headers"]), parts.settings.https)


def _with_cookie(parts: Services, token: str, seconds: int) -> Response:
    cookie = set_cookie(token, seconds, parts.settings.https)
    return Response(status_code=204, headers={"Set-Cookie": cookie})
