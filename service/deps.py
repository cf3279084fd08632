"""What routes ask for: the server's parts, and who is asking."""

from typing import Annotated

from fastapi import Depends, Request

from .http.principals import Principal, Scope
from .http.problems import Problem
from .services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


class Needs:
    """A route's rule: who may use it. Every route has one, or is named open in `app.py`."""

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
