"""What experts outlined on a slide: read from every known format, kept in versions."""

import asyncio
import gzip
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from annotations import WritableFormat

from ..deps import Known, Parts, Reader, Writer
from ..http.preconditions import etag, names
from ..outlines.task import Origin
from ..records.tables import OutlineVersion
from ..schemas import Answer, Id, Time, problems, time_of

router = APIRouter(tags=["outlines"])

GEOJSON, XML = "application/geo+json", "application/xml"
Format = Literal["geojson"] | WritableFormat
ENDINGS: dict[Format, str] = {
    "geojson": "geojson",
    "qupath": "qupath.geojson",
    "asap": "asap.xml",
    "imagescope": "imagescope.xml",
}
SQUARE = {
    "type": "Feature",
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[100, 100], [900, 100], [900, 900], [100, 900], [100, 100]]],
    },
    "properties": {"objectType": "annotation", "classification": {"name": "tumour"}},
}
COLLECTION = {"type": "FeatureCollection", "origin_level0": [0, 0], "features": [SQUARE]}
BINARY = {"schema": {"type": "string", "format": "binary"}}
Areas = Annotated[dict[str, float] | None, Field(examples=[{"tumour": 12.5}])]
Warnings = Annotated[
    list[str],
    Field(examples=[["outlines: shapes that cross or touch themselves, mended: feature 3"]]),
]
Version = Annotated[int, Field(examples=[3])]


class OutlineSummary(Answer):
    """One version. `areas_mm2`: by label; null where the slide does not say its µm/px."""

    version: Version
    author: Annotated[str, Field(examples=["reading room"])]
    created_at: Time
    format: Annotated[str, Field(examples=["qupath"])]
    count: Annotated[int, Field(examples=[4])]
    areas_mm2: Areas


class SavedOutlines(OutlineSummary):
    """A version just saved. `warnings`: what was mended, left out, or had to be assumed."""

    warnings: Warnings


def _summary(saved: OutlineVersion) -> dict[str, Any]:
    return {
        "version": saved.version,
        "author": saved.author,
        "created_at": time_of(saved.created_at),
        "format": saved.format,
        "count": saved.count,
        "areas_mm2": saved.areas_mm2,
    }


@router.get(
    "/v1/slides/{slide_id}/outlines",
    summary="A slide's outlines",
    response_class=Response,
    responses={
        200: {
            "description": "The outlines, as a file. ETag is the version; without any yet, an "
            "empty collection of version 0.",
            "content": {
                GEOJSON: {"schema": {"type": "object"}, "example": COLLECTION},
                XML: {"schema": {"type": "string"}},
            },
        },
        304: {"description": "If-None-Match names the version that is there."},
        **problems(404, 410, 422),
    },
)
async def get_outlines(
    slide_id: Id,
    parts: Parts,
    principal: Reader,
    version: Annotated[
        int | None, Query(ge=0, le=1 << 30, description="Default: the last.")
    ] = None,
    format: Annotated[
        Format,
        Query(
            description="`geojson`: level-0 pixels of the slide's full plane. `qupath`: the same "
            "from where QuPath crops slides that have bounds. `asap`, `imagescope`: their XML."
        ),
    ] = "geojson",
    known: Known = None,
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """The last version, or a certain one, in a chosen format, for download."""
    slide = await asyncio.to_thread(parts.catalog.get, principal, slide_id)
    saved = await asyncio.to_thread(parts.outlines.found, principal, slide_id, version)
    headers = {
        "ETag": etag(saved.version),
        "Cache-Control": "no-store",  # another group's, at this address, may have the same ETag
        "Vary": "Accept-Encoding",
        "Content-Disposition": "attachment; "
        f'filename="outlines-{slide_id}-{saved.version}.{ENDINGS[format]}"',
    }
    if names(known, saved.version):
        return Response(status_code=304, headers=headers)
    if format != "geojson":
        plane = await parts.outlines.plane(slide)
        content = await parts.outlines.written(saved, plane, format)
        return Response(content, media_type=GEOJSON if format == "qupath" else XML, headers=headers)
    if "gzip" in accept_encoding.lower():
        headers["Content-Encoding"] = "gzip"
        return Response(saved.content, media_type=GEOJSON, headers=headers)
    content = await asyncio.to_thread(gzip.decompress, saved.content)
    return Response(content, media_type=GEOJSON, headers=headers)


@router.put(
    "/v1/slides/{slide_id}/outlines",
    summary="Save outlines of a slide",
    response_model=SavedOutlines,
    responses=problems(404, 408, 410, 412, 413, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A file of QuPath (GeoJSON), ASAP, ImageScope (XML) or NDP.view "
            "(NDPA), gzipped or not. Its content tells the format, whatever its Content-Type.",
            "content": {
                GEOJSON: {"schema": {"type": "object"}, "example": COLLECTION},
                "application/json": {"schema": {"type": "object"}, "example": COLLECTION},
                XML: {"schema": {"type": "string"}},
                "application/octet-stream": BINARY,
            },
        }
    },
)
async def put_outlines(
    slide_id: Id,
    request: Request,
    response: Response,
    parts: Parts,
    principal: Writer,
    origin: Annotated[
        Origin,
        Query(
            description="Where the file's (0, 0) lies: at the corner of the `slide`'s full plane, "
            "or of its `bounds`. `auto`: where `origin_level0` of a GeoJSON collection says; else "
            "GeoJSON begins at the bounds, as QuPath has it, and XML at the full plane's corner."
        ),
    ] = "auto",
    if_match: Annotated[
        str | None, Header(description="Refuse unless this is the last version.")
    ] = None,
) -> Any:
    """Keep them as the next version; areas are computed anew from the polygons."""
    slide = await asyncio.to_thread(parts.catalog.get, principal, slide_id)
    plane = await parts.outlines.plane(slide)
    with parts.outlines.in_memory():
        reading = await parts.outlines.read(await request.body(), plane, origin)
    saved = await asyncio.to_thread(parts.outlines.save, principal, slide_id, reading, if_match)
    response.headers["ETag"] = etag(saved.version)
    return {**_summary(saved), "warnings": reading.warnings}


@router.get(
    "/v1/slides/{slide_id}/outlines/versions",
    summary="All versions of a slide's outlines",
    response_model=list[OutlineSummary],
    responses=problems(404),
)
def list_outline_versions(slide_id: Id, parts: Parts, principal: Reader) -> Any:
    """The newest first; each can be fetched with `?version=`."""
    parts.catalog.get(principal, slide_id)
    return [_summary(saved) for saved in parts.outlines.history(principal, slide_id)]
