"""The slides that can be worked on: listed, looked up, and uploads deleted."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from ..deps import Cursor, PageSize, Parts, Reader, Writer
from ..records.tables import SlideRecord
from ..schemas import Answer, Id, Time, problems, time_of

router = APIRouter(prefix="/v1/slides", tags=["slides"])

Size = Annotated[tuple[int, int], Field(examples=[[46000, 32914]])]
Mpp = Annotated[
    tuple[float, float],
    Field(description="µm per level-0 pixel, x and y.", examples=[[0.25, 0.25]]),
]


class SlideAnswer(Answer):
    """A slide. What only a look into its file can tell is null until somebody looked.

    `usable` is false where its file cannot be read, and `reason` says why. `outline_version`: the
    number of your group's last version of its outlines; 0 without any.
    """

    id: Id
    name: Annotated[str, Field(examples=["biopsy 7.svs"])]
    kind: Literal["disk", "upload"]
    format: Annotated[str | None, Field(examples=["Aperio SVS"])]
    bytes: Annotated[int, Field(examples=[1938955])]
    created_at: Time
    expires_at: Annotated[Time | None, Field(description="When an upload goes by itself.")]
    usable: bool
    reason: str | None
    size_level0: Size | None
    mpp: Mpp | None
    outline_version: Annotated[int, Field(examples=[0])]


class Level(Answer):
    """One stored resolution; `downsample` from level 0."""

    width: int
    height: int
    downsample: float


class SlideDetail(SlideAnswer):
    """A slide and all that is known of its file; of one that cannot be read the rest is null.

    `bounds_level0` [x, y, width, height]: the scanned part. `tile_size`: of deep-zoom tiles.
    """

    bounds_level0: Annotated[
        tuple[int, int, int, int] | None, Field(examples=[[0, 0, 46000, 32914]])
    ]
    objective_power: Annotated[float | None, Field(examples=[40.0])]
    levels: list[Level] | None
    properties: Annotated[dict[str, str] | None, Field(examples=[{"openslide.mpp-x": "0.25"}])]
    tile_size: Annotated[int | None, Field(examples=[254])]
    links: Annotated[dict[str, str], Field(examples=[{"dzi": "/v1/slides/6f1e….dzi"}])]


class SlidePage(Answer):
    """Slides in order of name. `next`: the cursor of the page that follows; null on the last."""

    items: list[SlideAnswer]
    next: str | None


def _listed(slide: SlideRecord, outline_version: int) -> dict[str, Any]:
    facts = slide.facts or {}
    return {
        "id": slide.id,
        "name": slide.name,
        "kind": slide.kind,
        "format": facts.get("format"),
        "bytes": slide.bytes,
        "created_at": time_of(slide.created_at),
        "expires_at": time_of(slide.expires_at),
        "usable": slide.unusable is None,
        "reason": slide.unusable,
        "size_level0": facts.get("size_level0"),
        "mpp": facts.get("mpp"),
        "outline_version": outline_version,
    }


def _detailed(slide: SlideRecord, outline_version: int) -> dict[str, Any]:
    facts = slide.facts or {}
    place = f"/v1/slides/{slide.id}"
    names = ("bounds_level0", "objective_power", "levels", "properties", "tile_size")
    return {
        **_listed(slide, outline_version),
        **{name: facts.get(name) for name in names},
        "links": {
            "self": place,
            "dzi": f"{place}.dzi",
            "thumbnail": f"{place}/thumbnail",
            "outlines": f"{place}/outlines",
            "jobs": f"/v1/jobs?slide={slide.id}",
        },
    }


@router.get("", response_model=SlidePage, summary="List slides", responses=problems(422))
def list_slides(
    parts: Parts,
    principal: Reader,
    q: Annotated[
        str,
        Query(
            max_length=200,
            description="Only slides whose names contain this, in any case.",
            examples=["biopsy"],
        ),
    ] = "",
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> SlidePage:
    """All slides on the server's disk, and your group's uploads, by name."""
    slides, following = parts.catalog.page(principal, q, cursor, limit)
    versions = parts.outlines.versions(principal, [slide.id for slide in slides])
    items = [
        SlideAnswer.model_validate(_listed(slide, versions.get(slide.id, 0))) for slide in slides
    ]
    return SlidePage(items=items, next=following)


@router.get(
    "/{slide_id}",
    response_model=SlideDetail,
    summary="What is known of a slide",
    responses=problems(404, 410, 422),
)
async def get_slide(parts: Parts, principal: Reader, slide_id: Id) -> SlideDetail:
    """A slide, after a look into its file where nobody looked before."""
    found = await asyncio.to_thread(parts.catalog.get, principal, slide_id)
    slide = await parts.catalog.examined(found)
    versions = await asyncio.to_thread(parts.outlines.versions, principal, [slide_id])
    return SlideDetail.model_validate(_detailed(slide, versions.get(slide_id, 0)))


@router.delete(
    "/{slide_id}",
    status_code=204,
    summary="Delete an uploaded slide",
    responses=problems(403, 404, 409, 422),
)
async def delete_slide(parts: Parts, principal: Writer, slide_id: Id) -> None:
    """Delete the file and its outlines; results made from it stay."""
    await parts.uploads.remove_slide(principal, slide_id)
