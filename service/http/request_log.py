"""The request log: a line a request, without paths, names or query strings; and faults."""

import logging
import traceback
from pathlib import Path

from .exchange import Exchange
from .principals import Principal

requests = logging.getLogger("extent.requests")
faults = logging.getLogger("extent.faults")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CUT_OFF = 499  # the client went away, or the server stopped, before anything was answered
FRAMES_SHOWN = 8


def method_of(exchange: Exchange) -> str:
    """The request's method; one that nobody knows could be any text."""
    method: str = exchange.scope["method"]
    return method if method in METHODS else "OTHER"


def log_request(exchange: Exchange, principal: Principal | None) -> None:
    if requests.isEnabledFor(logging.INFO):
        requests.info(
            "%s %s %d %.1f ms key=%s request=%s",
            method_of(exchange),
            exchange.route,
            exchange.status or CUT_OFF,
            exchange.seconds * 1000,
            principal.key_id if principal else "-",
            exchange.request_id,
        )


def log_fault(error: BaseException, exchange: Exchange) -> None:
    """Where a fault of Extent is. What the error says is left out: it may name files."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    places = " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
    faults.error("%s at %s request=%s", type(error).__name__, places, exchange.request_id)
