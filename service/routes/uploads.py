"""Resumable uploads of slides by the tus protocol 1.0 (tus.io)."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from ..deps import Parts, Reader, Writer
from ..http import tus
from ..http.principals import Principal
from ..http.problems import Problem
from ..http.tus import Checksum, Tus, TusRoute
from ..records.tables import Upload
from ..schemas import Answer, Id, Time, problems, time_of
from ..services import Services
from ..uploads.files import shown_name

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=TusRoute)
MOST = 1 << 62
BYTES = {
    "requestBody": {
        "description": "The bytes that follow the offset.",
        "content": {tus.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Length = Annotated[int, Header(ge=1, le=MOST, description="Bytes in all.", examples=[48_000_000])]
Metadata = Annotated[
    str,
    Header(
        description="`filename` and its value in base64.",
        examples=["filename Ymlvcmc3LnN2cw=="],
    ),
]
Offset = Annotated[int, Header(ge=0, le=MOST, description="Where these bytes begin.", examples=[0])]
Sum = Annotated[
    str | None,
    Header(
        description="`sha1` or `sha256`, and the digest of these bytes in base64.",
        examples=["sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="],
    ),
]


def _told(status: int, description: str, *names: str) -> dict[int | str, dict[str, Any]]:
    """The answer of a route that says everything in headers."""
    headers = {name: {"schema": {"type": "string"}} for name in ("Tus-Resumable", *names)}
    return {status: {"description": description, "headers": headers}}


PROGRESS = ("Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Extent-Slide")


class UploadAnswer(Answer):
    """What became of an upload."""

    id: Id
    offset: Annotated[int, Field(description="Bytes that are on the server's disk.")]
    length: int
    state: Literal["receiving", "ready", "refused"]
    slide: Annotated[Id | None, Field(description="The slide that it became.")]
    reason: Annotated[str | None, Field(description="Why it was refused.")]
    expires_at: Time

    @classmethod
    def of(cls, upload: Upload) -> "UploadAnswer":
        return cls.model_validate(
            {
                "id": upload.id,
                "offset": upload.offset,
                "length": upload.length,
                "state": upload.state,
                "slide": upload.slide_id,
                "reason": upload.reason,
                "expires_at": time_of(upload.expires_at),
            }
        )


@router.options(
    "",
    status_code=204,
    summary="What the server's tus can",
    responses={
        **_told(
            204,
            "What is spoken here.",
            "Tus-Version",
            "Tus-Extension",
            "Tus-Checksum-Algorithm",
            "Tus-Max-Size",
        ),
        **problems(),
    },
)
async def describe_uploads(parts: Parts, _: Reader) -> Response:
    return tus.answer(
        204,
        Tus_Version=tus.VERSION,
        Tus_Extension=tus.EXTENSIONS,
        Tus_Checksum_Algorithm=",".join(tus.ALGORITHMS),
        Tus_Max_Size=str(parts.settings.limits.upload_bytes),
    )


@router.post(
    "",
    status_code=201,
    response_class=Response,
    summary="Begin an upload",
    description="`Location` says where its bytes go, `Upload-Expires` until when.",
    responses={
        **_told(201, "It has begun.", "Location", "Upload-Expires"),
        **problems(403, 412, 413, 422, 507),
    },
)
def create_upload(
    parts: Parts,
    principal: Writer,
    _: Tus,
    upload_length: Length,
    upload_metadata: Metadata = "",
) -> Response:
    filename = tus.metadata_of(upload_metadata).get("filename")
    if filename is None:
        raise Problem(422, "Upload-Metadata: say the slide's `filename`.")
    upload = parts.uploads.create(principal, shown_name(filename), upload_length)
    return tus.answer(
        201, Location=f"/v1/uploads/{upload.id}", Upload_Expires=tus.expires(upload.expires_at)
    )


@router.head(
    "/{upload_id}",
    response_class=Response,
    summary="How far an upload is",
    responses={**_told(200, "How far.", *PROGRESS), **problems(404, 410, 412, 422)},
)
async def upload_offset(parts: Parts, principal: Writer, _: Tus, upload_id: Id) -> Response:
    return _progress(200, await parts.uploads.settle(principal, upload_id))


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Send bytes",
    description=(
        "After the last byte the file is looked at: the answer names the slide that it became in "
        "`Extent-Slide`, or is 422 and the upload is gone."
    ),
    responses={
        **_told(204, "So far.", *PROGRESS),
        **problems(404, 408, 409, 410, 412, 413, 415, 422, 423, 460, 507),
    },
    openapi_extra=BYTES,
)
async def continue_upload(
    parts: Parts,
    principal: Writer,
    _: Tus,
    request: Request,
    upload_id: Id,
    upload_offset: Offset,
    upload_checksum: Sum = None,
) -> Response:
    return await _received(parts, principal, request, upload_id, upload_offset, upload_checksum)


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Give an upload up",
    responses=problems(404, 409, 412, 423),
)
async def terminate_upload(parts: Parts, principal: Writer, _: Tus, upload_id: Id) -> Response:
    await parts.uploads.terminate(principal, upload_id)
    return tus.answer(204)


@router.post(
    "/{upload_id}",
    status_code=204,
    summary="The same for clients that know GET and POST only",
    responses={
        **_told(204, "So far; or gone.", *PROGRESS),
        **problems(404, 408, 409, 410, 412, 413, 415, 422, 423, 460, 507),
    },
    openapi_extra=BYTES,
)
async def override_method(
    parts: Parts,
    principal: Writer,
    _: Tus,
    request: Request,
    upload_id: Id,
    x_http_method_override: Annotated[Literal["PATCH", "DELETE"], Header()],
    upload_offset: Offset = 0,
    upload_checksum: Sum = None,
) -> Response:
    if x_http_method_override == "DELETE":
        return await terminate_upload(parts, principal, _, upload_id)
    return await _received(parts, principal, request, upload_id, upload_offset, upload_checksum)


@router.get(
    "/{upload_id}",
    summary="What became of an upload",
    response_model=UploadAnswer,
    responses=problems(404),
)
async def read_upload(parts: Parts, principal: Reader, upload_id: Id) -> UploadAnswer:
    return UploadAnswer.of(await asyncio.to_thread(parts.uploads.get, principal, upload_id))


async def _received(
    parts: Services,
    principal: Principal,
    request: Request,
    upload_id: str,
    offset: int,
    checksum: str | None,
) -> Response:
    if request.headers.get("content-type", "").strip().lower() != tus.CONTENT_TYPE:
        raise Problem(415, f"Say `Content-Type: {tus.CONTENT_TYPE}`.")
    told = None if checksum is None else Checksum.of(checksum)
    upload = await parts.uploads.receive(principal, upload_id, offset, request.stream(), told)
    return _progress(204, upload)


def _progress(status: int, upload: Upload) -> Response:
    headers = {
        "Upload_Offset": str(upload.offset),
        "Upload_Length": str(upload.length),
        "Upload_Metadata": tus.metadata(filename=upload.name),
        "Upload_Expires": tus.expires(upload.expires_at),
        "Cache_Control": "no-store",
    }
    if upload.slide_id is not None:
        headers["Extent_Slide"] = upload.slide_id
    return tus.answer(status, **headers)
