"""What a training is asked for, checked before it becomes a job."""

import asyncio
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from annotations.labels import EXCLUSION, LabelRules
from annotations.outline import IGNORE
from model.shipped import shipped_configs

from .http.principals import Principal
from .http.problems import Problem
from .records.tables import UNFINISHED, Idempotency, Job
from .services import Services

NAMED = 10  # slides in one sentence
RESERVED = (EXCLUSION, IGNORE, "background", "boundary")


def checked_label(label: str) -> str:
    """The label as stored outlines have it: one word for all that mean tumour, say.

    Raises:
        Problem: 422; it is none that can be learned.
    """
    plain = " ".join(label.split())
    known = LabelRules().known(plain) or plain
    if not known or known.casefold() in RESERVED:
        raise Problem(422, f"`foreground_label` cannot be one of {', '.join(RESERVED)}.")
    return known


def check_config(config: str) -> None:
    """Raises Problem: 422; no such settings."""
    if config not in shipped_configs():
        raise Problem(422, f"`config` is one of {', '.join(shipped_configs())}.")


def check_name(
    parts: Services, principal: Principal, name: str, idempotency_key: str | None
) -> None:
    """Make sure that the model can have its name, unless this request was accepted before.

    Raises:
        Problem: 409; a model, or a training under way, has it.
    """
    under_way = sa.select(Job.id).where(
        Job.kind == "training", Job.model == name, Job.state.in_(UNFINISHED)
    )
    with parts.records.read() as session:
        key = (principal.key_id, idempotency_key)
        if idempotency_key is not None and session.get(Idempotency, key) is not None:
            return
        taken = session.scalar(under_way.limit(1)) is not None
    if taken or parts.models.taken(name):
        raise Problem(409, "A model, or a training under way, has this name; choose another.")


async def checked_cases(
    parts: Services,
    principal: Principal,
    slide_ids: Sequence[str],
    patients: dict[str, str],
    mpp: float | None,
) -> list[dict[str, Any]]:
    """What `jobs.training_inputs` wants to know of each slide.

    Raises:
        Problem: 404, no such slide; 422, slides that cannot be learned from, by their ids.
    """
    most = parts.settings.limits.training_slides
    if len(slide_ids) > most:
        raise Problem(422, f"At most {most} slides can be trained on.")
    repeated = [slide for slide in dict.fromkeys(slide_ids) if slide_ids.count(slide) > 1]
    _refuse(repeated, "These slides are named more than once")
    _refuse(sorted(patients.keys() - set(slide_ids)), "`patients` names slides not in `slides`")
    slides = []
    for slide_id in slide_ids:
        record = await asyncio.to_thread(parts.catalog.get, principal, slide_id)
        slides.append(await parts.catalog.examined(record))
    _refuse([s.id for s in slides if s.facts is None], "These slides cannot be read")
    if mpp is None:
        silent = [s.id for s in slides if s.facts is not None and s.facts["mpp"] is None]
        _refuse(silent, "These slides do not say their µm/px: give `mpp`, or leave them out")
    versions = await asyncio.to_thread(parts.outlines.versions, principal, slide_ids)
    _refuse(
        [slide_id for slide_id in slide_ids if slide_id not in versions],
        "These slides have no outlines of your group: save some, or an empty collection where "
        "there is no tumour",
    )
    return [
        {
            "slide": slide_id,
            "version": versions[slide_id],
            "patient": " ".join(patients.get(slide_id, slide_id).split()),
            "mpp": mpp,
        }
        for slide_id in slide_ids
    ]


def _refuse(slide_ids: Sequence[str], said: str) -> None:
    if slide_ids:
        more = f" and {len(slide_ids) - NAMED} more" if len(slide_ids) > NAMED else ""
        raise Problem(422, f"{said}: {', '.join(slide_ids[:NAMED])}{more}.")
