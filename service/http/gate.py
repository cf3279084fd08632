"""What every request passes: host, keys, rates, origin, body; and every answer: headers, log."""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotations.errors import ExtentError

from ..failures import DISK_FULL
from ..lifecycle import Lifecycle
from ..services import Services
from .bodies import Body, BodyRule, Kind, check_depth, has_body
from .exchange import ON_EVERYTHING, OVER_HTTPS, Exchange
from .hosts import AllowedHosts
from .identity import Identity
from .limits import Rate, address_of
from .origins import check_origin
from .principals import Principal
from .problems import DISK, Problem, problem_of
from .request_log import CUT_OFF, log_fault, log_request, method_of
from .urls import check_url

Headers = Mapping[bytes, bytes]

ONCE = frozenset(
    {b"host", b"authorization", b"origin", b"content-length", b"content-type", b"content-encoding"}
)
COMPRESSED = frozenset({b"content-encoding", b"content-length"})  # no longer so once expanded
OUR_FAULT = "Something went wrong in Extent; its log says where."
SUBMISSIONS = frozenset({"/v1/jobs", "/v1/trainings"})


class Gate:
    """ASGI middleware around the whole app; sets `scope["extent.principal"]`."""

    def __init__(
        self, app: ASGIApp, services: Services, identity: Identity, lifecycle: Lifecycle
    ) -> None:
        settings = services.settings
        self._app, self._settings, self._lifecycle = app, settings, lifecycle
        self._metrics = services.metrics
        self._hosts = AllowedHosts(settings)
        self._identity = identity
        self._scheme = "https" if settings.https else "http"
        self._usual = (*ON_EVERYTHING, *(OVER_HTTPS if settings.https else ()))
        limits = settings.limits
        self._rate = Rate(limits.requests_per_minute)
        self._anonymous = Rate(limits.anonymous_per_minute)
        self._submissions = Rate(limits.submissions_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            exchange = Exchange(scope, send, self._usual)
            try:
                await self._guarded(exchange, receive)
            finally:
                self._note(exchange)

    async def _guarded(self, exchange: Exchange, receive: Receive) -> None:
        """Every failure becomes an answer here; one that has begun is cut off."""
        try:
            await self._passed(exchange, receive)
        except ClientDisconnect:
            return
        except Problem as problem:
            await exchange.refuse(problem)
        except ExtentError as error:
            await exchange.refuse(problem_of(error))
        except OSError as error:
            log_fault(error, exchange)
            full = error.errno in DISK_FULL
            await exchange.refuse(Problem(503, DISK) if full else Problem(500, OUR_FAULT))
        except Exception as error:
            log_fault(error, exchange)
            await exchange.refuse(Problem(500, OUR_FAULT))

    async def _passed(self, exchange: Exchange, receive: Receive) -> None:
        scope = exchange.scope
        method, path = scope["method"], scope["path"]
        headers = _headers(scope)
        self._hosts.check(headers.get(b"host"))
        check_url(scope)
        principal = await self._admitted(method, path, headers, scope)
        scope["extent.principal"] = principal
        if principal is None or principal.via != "key":
            cookie = principal is not None and principal.via == "cookie"
            check_origin(method, headers, self._scheme, cookie)
        if not has_body(headers):
            await self._app(scope, receive, exchange.send)
            return
        await self._with_body(exchange, receive, headers)

    async def _admitted(
        self, method: str, path: str, headers: Headers, scope: Scope
    ) -> Principal | None:
        """Who asks, counted."""
        asker = address_of(scope.get("client"))
        if not path.startswith(("/v1/", "/metrics")):
            self._anonymous.take(asker)
            return None
        if not self._lifecycle.prepared and path.startswith("/v1/"):
            raise Problem(503, "The database is not there yet; try again soon.")
        principal = await self._identity.of(headers, scope.get("client"), asker)
        if principal is None:
            self._anonymous.take(asker)
            return None
        self._rate.take(principal.key_id)
        if method == "POST" and path in SUBMISSIONS:
            self._submissions.take(principal.key_id)
        return principal

    async def _with_body(self, exchange: Exchange, receive: Receive, headers: Headers) -> None:
        scope, limits = exchange.scope, self._settings.limits
        rule = BodyRule.of(scope["method"], scope["path"], limits)
        body = exchange.body = Body(receive, rule, headers)
        if b"content-encoding" in headers:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in COMPRESSED]
        received: Receive = body.receive
        if rule.kind is Kind.JSON:
            whole = await body.whole()
            check_depth(whole, limits.json_depth)
            received = _again(whole, receive)
        await self._app(scope, received, exchange.send)

    def _note(self, exchange: Exchange) -> None:
        log_request(exchange, exchange.scope.get("extent.principal"))
        status = exchange.status or CUT_OFF
        self._metrics.count(method_of(exchange), exchange.route, status, exchange.seconds)


def _headers(scope: Scope) -> Headers:
    """A request's headers; those that decide something may come once only.

    Raises:
        Problem: 400.
    """
    pairs = scope["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        if any(names.count(name) > 1 for name in ONCE):
            raise Problem(400, "A header that may come only once came twice.")
    return headers


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was already taken in, then goes on."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
