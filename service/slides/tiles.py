"""Tiles and small pictures of slides, for whom may see them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass

from tiling.deepzoom import DeepZoom

from ..http.principals import Principal
from ..http.problems import Problem
from ..readers.pool import ReaderPool, SlideRef
from .catalog import Catalog
from .picture_cache import Picture, PictureCache

CACHE_BYTES = 256 << 20
SECONDS_SEEN = 2.0  # for so long nobody asks again whether a group may see a slide
SECONDS_AHEAD = 1.0  # a slide in demand is looked at anew so long before, and nobody waits for it
MOST_SEEN = 4_096
NO_TILE = "The slide has no such tile; its .dzi document says which there are."


@dataclass(frozen=True, slots=True)
class _Seen:
    """A slide as a group may see it: its pyramid, and a word that changes with its files."""

    ref: SlideRef
    zoom: DeepZoom
    stamp: str
    until: float


class Tiles:
    """What the viewer shows of slides. All methods run in one event loop.

    All raise Problem (404: no such slide, or another group's; 410: its file went; 503: busy) and
    SlideError (it cannot be read).
    """

    def __init__(self, catalog: Catalog, readers: ReaderPool) -> None:
        self._catalog, self._readers = catalog, readers
        self._pictures = PictureCache(CACHE_BYTES)
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()
        self._looking: dict[tuple[str, str], asyncio.Task[_Seen]] = {}

    @property
    def found_and_made(self) -> tuple[int, int]:
        """How many pictures were in memory, and how many had to be made."""
        return self._pictures.found, self._pictures.made

    async def pyramid(self, principal: Principal, slide_id: str) -> DeepZoom:
        """Which tiles a slide has."""
        return (await self._look(principal, slide_id)).zoom

    async def tile(
        self, principal: Principal, slide_id: str, level: int, column: int, row: int
    ) -> Picture:
        """One tile; Problem 404 as well where the pyramid has none."""
        seen = self._fresh(principal, slide_id) or await self._look(principal, slide_id)
        key = (slide_id, seen.stamp, level, column, row)
        if (picture := self._pictures.find(key)) is not None:
            return picture
        if seen.zoom.box(level, column, row) is None:
            raise Problem(404, NO_TILE)

        def make() -> Awaitable[bytes]:
            return self._readers.tile(seen.ref, level, column, row)

        return await self._pictures.get(key, make)

    async def thumbnail(self, principal: Principal, slide_id: str, longest_side: int) -> Picture:
        """A small picture of the scanned part, neither side longer than asked for."""
        seen = await self._look(principal, slide_id)

        def make() -> Awaitable[bytes]:
            return self._readers.thumbnail(seen.ref, longest_side)

        return await self._pictures.get((slide_id, seen.stamp, longest_side), make)

    def _fresh(self, principal: Principal, slide_id: str) -> _Seen | None:
        """The slide as it was SECONDS_SEEN ago or later, if it was looked at since."""
        seen = self._seen.get((principal.group, slide_id))
        now = time.monotonic()
        if seen is None or now >= seen.until:
            return None
        if now >= seen.until - SECONDS_AHEAD:
            self._looking_at(principal, slide_id)
        return seen

    async def _look(self, principal: Principal, slide_id: str) -> _Seen:
        """As `_fresh`, by looking now where that must be."""
        if (seen := self._fresh(principal, slide_id)) is not None:
            return seen
        return await asyncio.shield(self._looking_at(principal, slide_id))

    def _looking_at(self, principal: Principal, slide_id: str) -> asyncio.Task[_Seen]:
        """The look that is under way, which all who need it share."""
        key = (principal.group, slide_id)

        def looked(task: asyncio.Task[_Seen]) -> None:
            del self._looking[key]
            if task.cancelled() or task.exception() is not None:
                self._seen.pop(key, None)

        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.create_task(self._looked(principal, slide_id))
            task.add_done_callback(looked)
        return task

    async def _looked(self, principal: Principal, slide_id: str) -> _Seen:
        ref = await asyncio.to_thread(self._ref, principal, slide_id)
        facts = await self._readers.facts(ref)
        width, height = facts["size_level0"]
        zoom = DeepZoom(width, height, facts["tile_size"])
        stamp = await self._readers.stamp(ref)
        key = (principal.group, slide_id)
        seen = self._seen[key] = _Seen(ref, zoom, stamp, time.monotonic() + SECONDS_SEEN)
        self._seen.move_to_end(key)
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return seen

    def _ref(self, principal: Principal, slide_id: str) -> SlideRef:
        return self._catalog.ref(self._catalog.get(principal, slide_id))
