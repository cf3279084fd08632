"""Uploads: from the first byte to the slide that they become, or to their end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect

from annotations.errors import SlideError

from ..http.principals import Principal
from ..http.problems import Problem
from ..http.tus import Checksum
from ..records.database import Records
from ..records.tables import Upload
from ..settings import Settings
from ..slides.catalog import Catalog
from .files import Tail
from .records import RECEIVING, UploadRecords
from .removal import remove_slide

BATCH = 1 << 20  # bytes written at a time
KEPT_AT_ONCE = 8 << 20  # bytes after which those of a long request are safe from a kill


class UploadStore:
    """The uploads of all groups. Its coroutines belong on one event loop; threads do their work."""

    def __init__(self, settings: Settings, records: Records, catalog: Catalog) -> None:
        self._settings, self._records, self._catalog = settings, records, catalog
        self._uploads = UploadRecords(settings, records)
        self._busy: set[tuple[str, str]] = set()  # by group: others cannot tell, or get in the way

    def create(self, principal: Principal, name: str, length: int) -> Upload:
        """Begin an upload; see `UploadRecords.create`."""
        return self._uploads.create(principal, name, length)

    def get(self, principal: Principal, upload_id: str) -> Upload:
        """An upload, whatever became of it; see `UploadRecords.get`."""
        return self._uploads.get(principal, upload_id)

    async def receive(
        self,
        principal: Principal,
        upload_id: str,
        offset: int,
        pieces: AsyncIterator[bytes],
        checksum: Checksum | None,
    ) -> Upload:
        """Take in bytes from `offset` on; after the last one the upload is a slide, or refused.

        Of a request that breaks off, what came stays, unless it had a checksum.

        Raises:
            Problem: 404; 409, another offset; 410; 413, more bytes than announced; 423, another
                request is at it; 460; 503 or 507, the disk.
            ClientDisconnect: the request broke off.
            RecordsError: the database is away.
        """
        with self._alone(principal, upload_id):
            upload = await asyncio.to_thread(self._uploads.going_on, principal, upload_id)
            if offset != upload.offset:
                raise Problem(409, f"The upload goes on at byte {upload.offset}.")
            if upload.state == RECEIVING:
                upload = await self._taken_in(upload, pieces, checksum)
            return await self._settled(principal, upload)

    async def settle(self, principal: Principal, upload_id: str) -> Upload:
        """The upload as it is; a complete one that was not yet looked at is, if nobody is at it.

        That happens when the server stopped between the last byte and the look.

        Raises:
            Problem: 404; 410.
            RecordsError: the database is away.
        """
        if (principal.group, upload_id) in self._busy:
            return await asyncio.to_thread(self._uploads.going_on, principal, upload_id)
        with self._alone(principal, upload_id):
            upload = await asyncio.to_thread(self._uploads.going_on, principal, upload_id)
            return await self._settled(principal, upload)

    async def terminate(self, principal: Principal, upload_id: str) -> None:
        """Forget an upload and its bytes.

        Raises:
            Problem: 404; 409, it is a slide; 423, a request is at it.
            RecordsError: the database is away.
        """
        with self._alone(principal, upload_id):
            await asyncio.to_thread(self._uploads.terminate, principal, upload_id)

    async def remove_slide(self, principal: Principal, slide_id: str) -> None:
        """Delete a slide that was uploaded, its file and its outlines.

        Raises:
            Problem: 404; 403, it is on disk; 409, unfinished jobs need it.
            RecordsError: the database is away.
        """
        await asyncio.to_thread(remove_slide, self._settings, self._records, principal, slide_id)
        self._catalog.forget(slide_id)

    @contextmanager
    def _alone(self, principal: Principal, upload_id: str) -> Iterator[None]:
        place = principal.group, upload_id
        if place in self._busy:
            raise Problem(
                423, "Another request is at this upload; ask for its offset, go on there."
            )
        self._busy.add(place)
        try:
            yield
        finally:
            self._busy.discard(place)

    async def _taken_in(
        self, upload: Upload, pieces: AsyncIterator[bytes], checksum: Checksum | None
    ) -> Upload:
        algorithm = checksum.algorithm if checksum else None
        path = self._uploads.file(upload).path
        tail = await asyncio.to_thread(Tail, path, upload.offset, algorithm)
        try:
            batches = _Batches(pieces)
            async for batch in batches:
                if tail.end + len(batch) > upload.length:
                    raise Problem(413, f"The upload has {upload.length} bytes, and more came.")
                await asyncio.to_thread(tail.write, batch)
                if not checksum and tail.end - upload.offset >= KEPT_AT_ONCE:
                    upload = await asyncio.to_thread(self._uploads.keep, upload, tail)
            if checksum and not batches.broken:
                checksum.check(tail.digest())
            if tail.end > upload.offset and not (checksum and batches.broken):
                upload = await asyncio.to_thread(self._uploads.keep, upload, tail)
            if batches.broken:
                raise batches.broken
        finally:
            tail.close()
        return upload

    async def _settled(self, principal: Principal, upload: Upload) -> Upload:
        if upload.state != RECEIVING or upload.offset < upload.length:
            return upload
        file = self._uploads.file(upload)
        try:
            await asyncio.to_thread(file.check_kind)
            facts = await self._catalog.facts_of_file(file.path)
            self._uploads.check_size(facts)
        except SlideError as error:
            await asyncio.to_thread(self._uploads.refuse, principal, upload, str(error))
            raise Problem(422, str(error)) from None
        return await asyncio.to_thread(self._uploads.make_slide, principal, upload, facts)


class _Batches:
    """The pieces of a request put together for the disk; `broken` is what broke it off, if so."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.broken: ClientDisconnect | Problem | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        batch = bytearray()
        try:
            async for piece in self._pieces:
                batch += piece
                if len(batch) >= BATCH:
                    yield bytes(batch)
                    batch.clear()
        except (ClientDisconnect, Problem) as reason:
            self.broken = reason
        if batch:
            yield bytes(batch)
