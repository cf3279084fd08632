"""What the server and its reader processes send each other: a JSON header, then bytes.

Both lengths come first, each in 4 bytes, big-endian. Nothing is unpickled, and neither side takes
more than its share of memory for what the other sends.
"""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any

MAX_HEADER_BYTES = 1 << 20
MAX_BODY_BYTES = 32 << 20
_LENGTHS = struct.Struct("!II")


class ProtocolError(Exception):
    """The other side does not keep to the protocol."""


@dataclass(frozen=True)
class Message:
    """One request or reply."""

    header: dict[str, Any]
    body: bytes = b""

    def packed(self) -> bytes:
        header = json.dumps(self.header).encode()
        return _LENGTHS.pack(len(header), len(self.body)) + header + self.body


async def receive(stream: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        ProtocolError: it is none.
        EOFError, OSError: the other side has ended.
    """
    header, body = _lengths(await stream.readexactly(_LENGTHS.size))
    return _message(await stream.readexactly(header), await stream.readexactly(body))


def receive_from(connection: socket.socket) -> Message:
    """The next message, for a process that does nothing else meanwhile; errors as of `receive`."""
    header, body = _lengths(_exactly(connection, _LENGTHS.size))
    return _message(_exactly(connection, header), _exactly(connection, body))


def _lengths(data: bytes) -> tuple[int, int]:
    header, body = _LENGTHS.unpack(data)
    if header > MAX_HEADER_BYTES or body > MAX_BODY_BYTES:
        raise ProtocolError("a message is too long")
    return header, body


def _message(header: bytes, body: bytes) -> Message:
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header is not JSON") from error
    if not isinstance(fields, dict):
        raise ProtocolError("a header is not an object")
    return Message(fields, body)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
