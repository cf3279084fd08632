"""The models that can be chosen, with their cards."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from pydantic import Field

from ..deps import Admin, Parts, Reader
from ..model_page import POLICY, model_page
from ..model_shelf import ModelEntry
from ..schemas import Answer, problems

router = APIRouter(tags=["models"])

ModelName = Annotated[
    str,
    Path(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["breast-idc"]),
]


class Model(Answer):
    """A model. Of one that cannot be used, `reason` says why, and the rest is null.

    `mpp`: µm per input pixel. `foreground`: which of `classes` maps show. `threshold`: the
    probability above which a place counts as that, unless a job says otherwise.
    """

    name: Annotated[str, Field(examples=["breast-idc"])]
    source: Literal["shipped", "folder", "trained"]
    published: Annotated[bool, Field(description="Whether every group sees it.")]
    usable: bool
    reason: str | None
    digest: Annotated[str | None, Field(description="SHA-256 of the file.")]
    mpp: Annotated[float | None, Field(examples=[4.0])]
    classes: Annotated[list[str] | None, Field(examples=[["background", "tumour"]])]
    foreground: Annotated[str | None, Field(examples=["tumour"])]
    threshold: Annotated[float | None, Field(examples=[0.5])]
    card: Annotated[
        dict[str, Any] | None,
        Field(description="Network, data, licence, measures, intended use, how it was trained."),
    ]


def _model(entry: ModelEntry) -> dict[str, Any]:
    card = entry.card or None
    return {
        "name": entry.name,
        "source": entry.source,
        "published": entry.published,
        "usable": entry.reason is None,
        "reason": entry.reason,
        "digest": entry.digest or None,
        "mpp": card and card["mpp"],
        "classes": card and card["classes"],
        "foreground": card and card["classes"][card["foreground"]],
        "threshold": card and card["threshold"],
        "card": card,
    }


@router.get("/v1/models", summary="All models", response_model=list[Model], responses=problems())
def list_models(parts: Parts, principal: Reader) -> Any:
    """Shipped ones, those of the server's folder, published ones, and your group's own."""
    return [_model(entry) for entry in parts.models.visible(principal)]


@router.get(
    "/v1/models/{name}", summary="A model", response_model=Model, responses=problems(404, 422)
)
def get_model(name: ModelName, parts: Parts, principal: Reader) -> Any:
    """One model with its card."""
    return _model(parts.models.entry(principal, name))


@router.get(
    "/v1/models/{name}/card.html",
    response_class=HTMLResponse,
    summary="A model's card to read",
    responses={
        **problems(404, 422),
        200: {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}},
    },
)
def get_card(name: ModelName, parts: Parts, principal: Reader) -> HTMLResponse:
    """Use, data, measures, calibration, limits, how it was made. One file, without scripts."""
    sheet = parts.models.sheet(principal, name)
    headers = {
        "Content-Security-Policy": POLICY,
        "Content-Disposition": f'inline; filename="{name}.html"',
        "Cache-Control": "private, no-cache",
    }
    return HTMLResponse(model_page(sheet), headers=headers)


@router.post(
    "/v1/models/{name}/publish",
    summary="Show a trained model to every group",
    response_model=Model,
    responses=problems(404, 409, 422),
)
def publish_model(name: ModelName, parts: Parts, principal: Admin) -> Any:
    """A model that your group trained here becomes everybody's; this cannot be undone."""
    return _model(parts.models.publish(principal, name))
