"""Outlines of slides, in versions: each group has its own of every slide."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from annotations import SlidePlane, WritableFormat

from ..http.preconditions import check_match
from ..http.principals import Principal
from ..http.problems import Problem, not_found
from ..records.audit import audit
from ..records.database import Records, new_id, now
from ..records.tables import OutlineVersion, SlideRecord
from ..settings import Settings
from ..slides.catalog import Catalog
from .child import EMPTY
from .process import OutlineProcess, Reading
from .task import Origin

AT_ONCE = 2  # processes that read or write
MOST_IN_MEMORY = 16  # documents
SECONDS_TO_WAIT = 30.0  # for a place
TRIES = 20  # to be the next version, while others save too


class OutlineStore:
    """What experts drew, for any number of threads; coroutines are for one event loop.

    Methods that take a slide's id trust that the principal may see that slide.
    """

    def __init__(self, settings: Settings, records: Records, catalog: Catalog) -> None:
        self._records, self._catalog = records, catalog
        self._process = OutlineProcess(settings.limits)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._in_memory = 0

    async def plane(self, slide: SlideRecord) -> SlidePlane:
        """The slide's plane, as far as outlines need it.

        Raises:
            Problem: 410; its file is gone. 422; it cannot be read.
        """
        slide = await self._catalog.examined(slide)
        if slide.facts is None:
            raise Problem(422, "The slide cannot be read, so outlines cannot be placed on it.")
        return plane_of(slide.facts)

    def found(self, principal: Principal, slide_id: str, version: int | None) -> OutlineVersion:
        """A version, or the last one; without any an empty one of number 0.

        Raises:
            Problem: 404, no such version.
        """
        query = _of(principal.group, slide_id).order_by(OutlineVersion.version.desc()).limit(1)
        if version is not None:
            query = query.where(OutlineVersion.version == version)
        with self._records.read() as session:
            found = session.scalar(query)
        if found is not None:
            return found
        if version:
            raise not_found("version of these outlines")
        return OutlineVersion(version=0, count=0, areas_mm2={}, content=EMPTY)

    def history(self, principal: Principal, slide_id: str) -> list[OutlineVersion]:
        """All versions, the newest first, without their content."""
        query = _of(principal.group, slide_id).options(defer(OutlineVersion.content))
        with self._records.read() as session:
            return list(session.scalars(query.order_by(OutlineVersion.version.desc())))

    def versions(self, principal: Principal, slide_ids: Sequence[str]) -> dict[str, int]:
        """The number of the last version of each of these slides that has one.

        Raises:
            RecordsError: the database is away.
        """
        slide = OutlineVersion.slide_id
        query = sa.select(slide, sa.func.max(OutlineVersion.version)).group_by(slide)
        query = query.where(OutlineVersion.group == principal.group, slide.in_(slide_ids))
        with self._records.read() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """For as long as somebody's document is; so many at once and no more.

        Raises:
            Problem: 503.
        """
        if self._in_memory >= MOST_IN_MEMORY:
            raise _too_many()
        self._in_memory += 1
        try:
            yield
        finally:
            self._in_memory -= 1

    async def read(self, body: bytes, plane: SlidePlane, origin: Origin) -> Reading:
        """What a document of any known format holds.

        Raises:
            Problem: 413, 422; the outlines are refused. 503; too many are being read.
        """
        async with self._place():
            return await asyncio.to_thread(self._process.read, body, plane, origin)

    async def written(
        self, saved: OutlineVersion, plane: SlidePlane, format: WritableFormat
    ) -> bytes:
        """A version as another program's file; problems as of `read`."""
        with self.in_memory():
            async with self._place():
                return await asyncio.to_thread(self._process.write, saved.content, plane, format)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places for a process; no thread waits for it."""
        try:
            await asyncio.wait_for(self._places.acquire(), SECONDS_TO_WAIT)
        except TimeoutError:
            raise _too_many() from None
        try:
            yield
        finally:
            self._places.release()

    def save(
        self,
        principal: Principal,
        slide_id: str,
        reading: Reading,
        if_match: str | None,
    ) -> OutlineVersion:
        """Keep what was read as the next version.

        Raises:
            Problem: 412; the last version is none that `if_match` names.
        """
        for _ in range(TRIES):
            try:
                with self._records.begin() as session:
                    return self._added(session, principal, slide_id, reading, if_match)
            except IntegrityError:
                continue  # another was saved between looking and adding
        raise Problem(503, "Others are saving outlines of this slide; try again soon.")

    def _added(
        self,
        session: Session,
        principal: Principal,
        slide_id: str,
        reading: Reading,
        if_match: str | None,
    ) -> OutlineVersion:
        last = session.scalar(_last(principal.group, slide_id)) or 0
        check_match(if_match, last)
        if session.get(SlideRecord, slide_id) is None:
            raise not_found("slide")
        saved = OutlineVersion(
            id=new_id(),
            slide_id=slide_id,
            group=principal.group,
            version=last + 1,
            author=principal.name,
            key_id=principal.key_id,
            created_at=now(),
            format=reading.format,
            count=reading.count,
            areas_mm2=reading.areas_mm2,
            content=reading.content,
        )
        session.add(saved)
        outcome = f"version {saved.version}"
        audit(session, principal, "outlines save", slide_id=slide_id, outcome=outcome)
        session.flush()
        return saved


def plane_of(facts: dict[str, Any]) -> SlidePlane:
    """The plane of a slide by what a reader said of it."""
    width, height = facts["size_level0"]
    x, y = facts["bounds_level0"][:2]
    mpp, properties = facts["mpp"], facts["properties"]
    offset = None
    with suppress(KeyError, ValueError):
        offset = (
            float(properties["hamamatsu.XOffsetFromSlideCentre"]),
            float(properties["hamamatsu.YOffsetFromSlideCentre"]),
        )
    return SlidePlane(
        width,
        height,
        mpp=None if mpp is None else (float(mpp[0]), float(mpp[1])),
        centre_offset_nm=offset,
        bounds_origin=(float(x), float(y)),
    )


def _too_many() -> Problem:
    return Problem(503, "Too many outlines are being read just now; try again soon.")


def _of(group: str, slide_id: str) -> sa.Select[OutlineVersion]:
    return sa.select(OutlineVersion).where(
        OutlineVersion.group == group, OutlineVersion.slide_id == slide_id
    )


def _last(group: str, slide_id: str) -> sa.Select[int]:
    return sa.select(sa.func.max(OutlineVersion.version)).where(
        OutlineVersion.group == group, OutlineVersion.slide_id == slide_id
    )
