"""Slides to look at: deep-zoom tiles and thumbnails."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from ..deps import Known, Parts, Reader
from ..http.preconditions import etag, names
from ..schemas import Id, problems
from ..slides.picture_cache import Picture

router = APIRouter(tags=["slides"])
HEADERS = {  # a browser keeps pictures, for whoever holds the same key
    "Cache-Control": "private, max-age=600",
    "Vary": "Authorization, Cookie",
}
GONE = 499  # as nginx has it: nobody is there to read the answer
JPEG = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
UNCHANGED = {"description": "The picture that `If-None-Match` names has not changed."}

Number = Annotated[int, Path(ge=0, lt=1 << 24, examples=[0])]


@router.get(
    "/v1/slides/{slide_id}.dzi",
    summary="A slide's deep-zoom description",
    response_class=Response,
    responses={
        200: {"content": {"application/xml": {"schema": {"type": "string"}}}},
        **problems(404, 410, 422),
    },
)
async def deep_zoom(slide_id: Id, parts: Parts, reader: Reader) -> Response:
    """XML for viewers such as OpenSeadragon. The finest level has level-0 pixels of the full
    plane; tiles do not overlap."""
    zoom = await parts.tiles.pyramid(reader, slide_id)
    return Response(zoom.xml("jpeg"), media_type="application/xml", headers=HEADERS)


@router.get(
    "/v1/slides/{slide_id}_files/{level}/{column}_{row}.jpeg",
    summary="A tile of a slide",
    response_class=Response,
    responses={200: JPEG, 304: UNCHANGED, **problems(404, 410, 422)},
)
async def slide_tile(
    slide_id: Id,
    level: Annotated[int, Path(ge=0, le=32, examples=[8])],
    column: Number,
    row: Number,
    request: Request,
    parts: Parts,
    reader: Reader,
    known: Known = None,
) -> Response:
    """JPEG; glass beyond the scanned part is white."""
    return await _shown(request, known, parts.tiles.tile(reader, slide_id, level, column, row))


@router.get(
    "/v1/slides/{slide_id}/thumbnail",
    summary="A small picture of a slide",
    response_class=Response,
    responses={200: JPEG, 304: UNCHANGED, **problems(404, 410, 422)},
)
async def slide_thumbnail(
    slide_id: Id,
    request: Request,
    parts: Parts,
    reader: Reader,
    known: Known = None,
    side: Annotated[int, Query(ge=16, le=2048, description="the longer side, in pixels")] = 512,
) -> Response:
    """JPEG of the scanned part: of its tissue and glass, never of its label."""
    return await _shown(request, known, parts.tiles.thumbnail(reader, slide_id, side))


async def _shown(request: Request, known: str | None, making: Awaitable[Picture]) -> Response:
    """The picture, unless the client has it, or goes away before it is made."""
    task = asyncio.ensure_future(making)
    await asyncio.sleep(0)
    if not task.done():
        gone = asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
        if not task.done():
            return Response(status_code=GONE)
    picture = task.result()
    headers = {**HEADERS, "ETag": etag(picture.digest)}
    if names(known, picture.digest):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type="image/jpeg", headers=headers)


async def _gone(request: Request) -> None:
    """Return once the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
