"""Errors as problem documents (RFC 9457): one table from exception to status.

No text here or passed to here names a file, a path or what an outline says: problem documents
end up in logs.
"""

from collections.abc import Mapping
from http import HTTPStatus

from annotations.errors import (
    CheckpointError,
    CohortError,
    ExtentError,
    OutlineError,
    RecordsError,
    ResolutionError,
    ResultError,
    SlideError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
TITLES = {460: "Checksum Mismatch"}  # what tus adds to the statuses of HTTP

STATUS: Mapping[type[ExtentError], HTTPStatus] = {
    OutlineError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ResolutionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    SlideError: HTTPStatus.UNPROCESSABLE_ENTITY,
    CohortError: HTTPStatus.UNPROCESSABLE_ENTITY,
    CheckpointError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RecordsError: HTTPStatus.SERVICE_UNAVAILABLE,
    ResultError: HTTPStatus.SERVICE_UNAVAILABLE,  # the disk is full or refuses
    ExtentError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
DISK = "The server's disk is full or refuses to be written to; try again later."
INSTEAD: Mapping[type[ExtentError], str] = {  # of texts that are for whoever sees the files
    ResultError: DISK,
    CheckpointError: "This model cannot be used; `extent models` on the server may say why.",
    CohortError: "These slides cannot be used together.",
    ExtentError: "Something went wrong in Extent.",
}


class Problem(Exception):  # noqa: N818  (RFC 9457 calls it that)
    """A request that is refused: the status, and a sentence that says the way out.

    Refusals that a later try may not meet (429, 503) say when, in Retry-After.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = int(status)
        self.detail = detail
        self.headers = dict(headers or {})
        if self.status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    @property
    def document(self) -> dict[str, object]:
        return {
            "type": "about:blank",
            "title": TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }


def problem_of(error: ExtentError) -> Problem:
    """The problem that a foreseen error is to a client."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    detail = INSTEAD.get(kind) or str(error)
    return Problem(STATUS[kind], detail)


def not_found(what: str) -> Problem:
    """For what is not there and for what is another group's alike: nobody can tell them apart."""
    return Problem(404, f"There is no such {what}, or it is not yours.")
