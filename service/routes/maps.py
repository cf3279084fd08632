"""A job's map to look at: deep-zoom tiles and areas, while it is made and after."""

import asyncio
from hashlib import blake2b
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from tiling.deepzoom import TILE, DeepZoom
from tiling.images import png_bytes
from tiling.map_zoom import map_tile

from ..deps import Known, Parts, Reader
from ..http.preconditions import etag, names
from ..http.problems import Problem
from ..records.tables import Job
from ..schemas import Answer, Id, problems
from .job_schemas import Threshold
from .jobs import MAP

KEEPING = "private, no-cache"  # kept, but asked for again: a map grows
PICTURE = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
UNCHANGED = {"description": "It is as `If-None-Match` knows it."}

router = APIRouter(tags=["maps"])
Pair = Annotated[tuple[float, float], Field(examples=[[0, 0]])]
Number = Annotated[int, Path(ge=0, lt=1 << 24)]


class MapAnswer(Answer):
    """Where a map lies on its slide, and its tiles.

    Map pixel (i, j) covers the level-0 pixels from origin + (i, j) * downsample on. `levels` are
    the deep-zoom levels, the last of which has `size`. `finished`: it will not change any more.
    """

    origin_level0: Pair
    downsample: Pair
    size: tuple[int, int]
    tile_size: Literal[256]
    levels: int
    revision: int
    finished: bool
    threshold: Threshold
    class_: Annotated[str, Field(alias="class", examples=["tumour"])]


class AreasAnswer(Answer):
    """How much of a map has which value: the area above a threshold t is `pixel_area_mm2` times
    the sum of `counts[v]` over all v with v / 255 > t."""

    pixel_area_mm2: float
    counts: Annotated[list[int], Field(min_length=256, max_length=256)]
    revision: int
    finished: bool


@router.get(
    "/v1/jobs/{job_id}/map",
    response_model=MapAnswer,
    summary="Where the map lies",
    responses=problems(404, 409, 410, 422),
)
def get_map(job_id: Id, parts: Parts, principal: Reader) -> MapAnswer:
    """A map can be looked at from the moment that it is begun; before that: 409, ask again."""
    job = parts.jobs.get(principal, job_id, MAP)
    with parts.maps.opened(job) as found:
        frame = found.frame
        return MapAnswer.model_validate(
            {
                "origin_level0": frame.origin_level0,
                "downsample": frame.downsample,
                "size": found.source.size,
                "tile_size": TILE,
                "levels": DeepZoom(*found.source.size).levels,
                "revision": job.revision,
                "finished": found.finished,
                "threshold": job.request["threshold"],
                "class": job.request["foreground_class"],
            }
        )


@router.get(
    "/v1/jobs/{job_id}/map.dzi",
    response_class=Response,
    summary="The map's deep-zoom description",
    responses={
        **problems(404, 409, 410, 422),
        200: {"content": {"application/xml": {"schema": {"type": "string"}}}},
    },
)
def get_map_dzi(job_id: Id, parts: Parts, principal: Reader) -> Response:
    """XML for viewers such as OpenSeadragon. The finest level has the map's own pixels."""
    with parts.maps.opened(parts.jobs.get(principal, job_id, MAP)) as found:
        text = DeepZoom(*found.source.size).xml("png")
    return Response(text, media_type="application/xml", headers={"Cache-Control": KEEPING})


@router.get(
    "/v1/jobs/{job_id}/map_files/{level}/{column}_{row}.png",
    response_class=Response,
    summary="A tile of the map",
    responses={**problems(404, 409, 410, 422), 200: {"content": PICTURE}, 304: UNCHANGED},
)
def get_map_tile(
    job_id: Id,
    level: Annotated[int, Path(ge=0, le=32)],
    column: Number,
    row: Number,
    parts: Parts,
    principal: Reader,
    known: Known = None,
) -> Response:
    """8-bit grey PNG, 255 = probability 1: exact at the finest level, means below it.

    The tag is that of the tile's own values: while a map grows, most of its tiles stay as they are.
    """
    with parts.maps.opened(parts.jobs.get(principal, job_id, MAP)) as found:
        values = map_tile(found.source, level, column, row)
    if values is None:
        raise Problem(404, "The map has no such tile; its .dzi says which there are.")
    tag = blake2b(values.tobytes(), digest_size=16).hexdigest()
    headers = {"ETag": etag(tag), "Cache-Control": KEEPING}
    if names(known, tag):
        return Response(status_code=304, headers=headers)
    return Response(png_bytes(values), media_type="image/png", headers=headers)


@router.get(
    "/v1/jobs/{job_id}/areas",
    response_model=AreasAnswer,
    summary="The area above every threshold",
    responses={**problems(404, 409, 410, 422), 304: UNCHANGED},
)
async def get_areas(
    job_id: Id, parts: Parts, principal: Reader, response: Response, known: Known = None
) -> AreasAnswer | Response:
    """256 counts, from which the area at any threshold follows without asking again."""
    job = await asyncio.to_thread(parts.jobs.get, principal, job_id, MAP)
    headers = {"ETag": etag(_version(job)), "Cache-Control": KEEPING}
    if names(known, _version(job)):
        return Response(status_code=304, headers=headers)
    areas = await parts.maps.areas(job)
    response.headers.update(headers)
    return AreasAnswer.model_validate(areas, from_attributes=True)


def _version(job: Job) -> str:
    """What the map's values depend on; a killed server's last revisions may be counted again."""
    return f"{job.attempt}-{job.revision}"
