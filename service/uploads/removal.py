"""How uploads and the slides that they became go: by a wish, by time, or as nobody knows them."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..http.principals import Principal
from ..http.problems import Problem, not_found
from ..records.audit import ByRule, Owner, audit
from ..records.database import Records, now
from ..records.tables import UNFINISHED, Job, SlideRecord, Upload
from ..settings import DAY, Settings


def remove_slide(settings: Settings, records: Records, principal: Principal, slide_id: str) -> None:
    """Delete a slide that was uploaded, its file and its outlines.

    Raises:
        Problem: 404; 403, it is on disk; 409, unfinished jobs need it.
        RecordsError: the database is away.
    """
    with records.begin() as session:
        slide = session.get(SlideRecord, slide_id)
        if slide is None or slide.group not in (None, principal.group):
            raise not_found("slide")
        if slide.kind != "upload":
            raise Problem(403, "This slide lies on the server's disk; only uploads can be deleted.")
        if _in_use(session, slide_id):
            raise Problem(409, "Unfinished jobs need this slide; cancel them or wait for them.")
        _forget(session, slide, principal, "deleted")
    _remove_folder(settings, slide.path)


def remove_expired(settings: Settings, records: Records) -> None:
    """Remove uploads and uploaded slides whose time is over.

    Slides that unfinished jobs need wait for those.

    Raises:
        RecordsError: the database is away.
    """
    with records.read() as session:
        old = session.scalars(sa.select(Upload).where(Upload.expires_at < now())).all()
        slides = session.scalars(sa.select(SlideRecord.id).where(SlideRecord.expires_at < now()))
        slide_ids = list(slides)
    for upload in old:
        _remove_upload(settings, records, upload)
    for slide_id in slide_ids:
        with records.begin() as session:
            slide = session.get(SlideRecord, slide_id)
            if slide is None or slide.group is None or _in_use(session, slide_id):
                continue
            _forget(session, slide, ByRule(slide.group), "expired")
        _remove_folder(settings, slide.path)


def remove_unknown(settings: Settings, records: Records) -> None:
    """Remove folders of uploads that no record knows: the server stopped between the two.

    Young ones stay, for their record may be under way; all do where the database knows no upload.

    Raises:
        RecordsError: the database is away.
    """
    with records.read() as session:
        known = set(session.scalars(sa.select(Upload.id)))
        paths = session.scalars(sa.select(SlideRecord.path).where(SlideRecord.kind == "upload"))
        known.update(path.partition("/")[0] for path in paths)
    if not known or not settings.uploads.is_dir():
        return  # a database that knows nothing is probably another's
    for folder in settings.uploads.iterdir():
        with suppress(OSError):
            if folder.name not in known and time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_upload(settings: Settings, records: Records, upload: Upload) -> None:
    """Forget an upload, and its bytes unless they are a slide's now."""
    same = (Upload.id == upload.id, Upload.expires_at == upload.expires_at)
    with records.begin() as session:
        gone = session.scalar(sa.delete(Upload).where(*same).returning(Upload.state))
    if gone == "receiving":
        _remove_folder(settings, upload.id)


def _in_use(session: Session, slide_id: str) -> bool:
    """Whether a job that is not finished works on the slide, or learns from it."""
    unfinished = sa.select(Job.slide_id, Job.request).where(Job.state.in_(UNFINISHED))
    wanted = sa.or_(Job.slide_id == slide_id, Job.kind == "training")
    return any(
        job.slide_id == slide_id
        or any(case["slide"] == slide_id for case in job.request.get("cases", ()))
        for job in session.execute(unfinished.where(wanted))
    )


def _forget(session: Session, slide: SlideRecord, who: Owner, outcome: str) -> None:
    session.execute(sa.delete(Upload).where(Upload.slide_id == slide.id))
    session.delete(slide)  # its outlines go with it
    audit(session, who, "slide delete", slide_id=slide.id, outcome=outcome)


def _remove_folder(settings: Settings, path: str) -> None:
    folder = settings.uploads / Path(path).parts[0]
    shutil.rmtree(folder, ignore_errors=True)
