"""What routes ask for: the server's parts, who is asking, and what many requests may say."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from .http.cursors import MOST_CHARACTERS
from .http.principals import Principal, Scope
from .http.problems import Problem
from .services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


class Needs:
    """A route's rule: who may use it. Every route has one, or is named in `http/openings.py`."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        """The principal that the gate (`http/gate.py`) found, when its scope suffices."""
        principal: Principal | None = request.scope.get("extent.principal")
        if principal is None:
            raise Problem(
                401,
                "This needs a key: send it as `Authorization: Bearer …`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if principal.scope < self.scope:
            raise Problem(
                403,
                f"This needs a key of scope {self.scope.word}; yours is {principal.scope.word}.",
            )
        return principal


Parts = Annotated[Services, Depends(_services)]
Reader = Annotated[Principal, Depends(Needs(Scope.READ))]
Writer = Annotated[Principal, Depends(Needs(Scope.WRITE))]
Admin = Annotated[Principal, Depends(Needs(Scope.ADMIN))]

Known = Annotated[
    str | None, Header(alias="If-None-Match", description="What is known already: its ETag.")
]
LastEventId = Annotated[
    str | None, Header(description="What is known already: the id of an event.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="The same key with the same request gives the same job.",
        examples=["batch-7/slide-1"],
    ),
]
Cursor = Annotated[
    str | None, Query(max_length=MOST_CHARACTERS, description="`next` of the page before.")
]
PageSize = Annotated[int, Query(ge=1, le=200)]
