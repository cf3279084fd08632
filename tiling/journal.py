"""An append-only list of finished boxes that survives being killed while writing."""

import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import Self

from tiling.frame import Box
from tiling.rawplanes import write_all

_MAGIC = b"extent journal 1"
_RECORD = struct.Struct("<qqqqII")
"""x, y, width, height of a box; the CRC-32 of its values; the CRC-32 of identity and record."""


class Journal:
    """Boxes with the checksum of their values, 40 bytes each, behind a header that says whose.

    Raises OSError, for callers to translate.
    """

    def __init__(self, file: int, identity: bytes, end: int) -> None:
        self._file = file
        self._identity = identity
        self._end = end

    @classmethod
    def begin(cls, path: Path, key: str, done: dict[Box, int]) -> Self:
        """Replace the journal at `path`, at once and as a whole, by one that says `done`."""
        identity = _identity(key)
        content = identity + b"".join(_packed(identity, *item) for item in done.items())
        new = path.with_name(path.name + ".new")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(file, content, 0)
            os.fsync(file)
            new.replace(path)
            sync_folder(path.parent)
        except BaseException:
            os.close(file)
            raise
        return cls(file, identity, len(content))

    def append(self, done: dict[Box, int]) -> None:
        """Add boxes; they are on the disk when this returns."""
        content = b"".join(_packed(self._identity, *item) for item in done.items())
        write_all(self._file, content, self._end)
        os.fdatasync(self._file)
        # Only now: after a full disk the next append overwrites the torn record.
        self._end += len(content)

    def close(self) -> None:
        os.close(self._file)


def read_journal(path: Path, key: str) -> dict[Box, int]:
    """Boxes and their checksums, as far as they are whole; none when it is another's or absent."""
    identity = _identity(key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    if not content.startswith(identity):
        return {}
    done = {}
    for offset in range(len(identity), len(content) - _RECORD.size + 1, _RECORD.size):
        x, y, width, height, checksum, _ = _RECORD.unpack_from(content, offset)
        box = Box(x, y, width, height)
        if content[offset : offset + _RECORD.size] == _packed(identity, box, checksum):
            done[box] = checksum
    return done


def _identity(key: str) -> bytes:
    return _MAGIC + hashlib.sha256(key.encode()).digest()


def _packed(identity: bytes, box: Box, checksum: int) -> bytes:
    head = _RECORD.pack(box.x, box.y, box.width, box.height, checksum, 0)[:-4]
    return head + zlib.crc32(identity + head).to_bytes(4, "little")


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a renamed file is safe only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
