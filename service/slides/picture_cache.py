"""Encoded pictures, kept in memory up to a number of bytes; each is made once at a time."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

OVERHEAD_BYTES = 400  # of an entry beside its content


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG file and its digest."""

    content: bytes
    digest: str

    @classmethod
    def of(cls, content: bytes) -> "Picture":
        return cls(content, hashlib.blake2b(content, digest_size=12).hexdigest())


@dataclass(slots=True)
class _Making:
    task: asyncio.Task[Picture]
    wanted_by: int = 0


class PictureCache:
    """The least recently used goes first. All methods run in one event loop."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self.found = self.made = 0  # pictures given out again, and made anew
        self._kept: OrderedDict[Hashable, Picture] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}

    def find(self, key: Hashable) -> Picture | None:
        """A kept picture."""
        picture = self._kept.get(key)
        if picture is not None:
            self._kept.move_to_end(key)
            self.found += 1
        return picture

    async def get(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> Picture:
        """A picture, kept or made; raises what `make` does.

        Who asks for one that is being made waits for that; once nobody waits, it is cancelled.
        """
        if (picture := self.find(key)) is not None:
            return picture
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = _Making(asyncio.create_task(self._made(key, make)))
        making.wanted_by += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.wanted_by -= 1
            if not making.wanted_by:
                making.task.cancel()
                if self._making.get(key) is making:
                    del self._making[key]

    async def _made(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> Picture:
        picture = Picture.of(await make())
        self.made += 1
        self._kept[key] = picture
        self._bytes += len(picture.content) + OVERHEAD_BYTES
        while self._bytes > self._most:
            gone = self._kept.popitem(last=False)[1]
            self._bytes -= len(gone.content) + OVERHEAD_BYTES
        return picture
