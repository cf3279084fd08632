"""What a connection may do: bytes as hostile or hasty clients send them, against a real server."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.http.protocol import SECONDS_TO_END
from service.settings import Settings
from tests.patience import SECONDS
from tests.served import served

JSON = b"Host: localhost\r\nContent-Type: application/json\r\n"
WISH = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
NO_KEY = b'{"key": "none of ours"}'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "slides").mkdir()
    settings = Settings(folder / "slides", folder / "state", cluster="nobody://nowhere")
    with served(settings) as client:
        yield client


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=SECONDS) as raw:
        yield raw


def answers(raw: socket.socket, count: int) -> list[bytes]:
    """So many answers; more only where they come together with those."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count or not received.rstrip().endswith(b"}"):
        piece = raw.recv(1 << 16)
        assert piece, received
        received += piece
    return received.split(b"HTTP/1.1 ")[1:]


@pytest.mark.parametrize("apart", [False, True])
def test_who_wishes_for_another_protocol_is_answered_in_this_one(
    client: httpx.Client, apart: bool
) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(NO_KEY)
    with connected(client) as raw:
        for _ in range(2):  # the connection stays of use
            head = b"POST /v1/session HTTP/1.1\r\n" + JSON + WISH + length
            for piece in (head, NO_KEY) if apart else (head + NO_KEY,):
                raw.sendall(piece)
                time.sleep(0.1 * apart)
            (answer,) = answers(raw, 1)
            assert answer.startswith(b"401 ")  # its body was read: this is no key


def test_the_body_of_such_a_request_is_no_other_request(client: httpx.Client) -> None:
    inner = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for framed in (
        b"Content-Length: %d\r\n\r\n%b" % (len(inner), inner),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner),
    ):
        with connected(client) as raw:
            raw.sendall(b"POST /v1/session HTTP/1.1\r\n" + JSON + WISH + framed)
            raw.sendall(b"GET /v1/nowhere HTTP/1.1\r\n" + JSON + b"\r\n")
            first, second = answers(raw, 2)
            assert first.startswith(b"400 ") and second.startswith(b"404 ")


def test_many_wishes_in_one_piece(client: httpx.Client) -> None:
    one = b"GET /v1/nowhere HTTP/1.1\r\n" + JSON + WISH + b"\r\n"
    with connected(client) as raw:
        raw.sendall(one * 1_500)
        assert all(answer.startswith(b"404 ") for answer in answers(raw, 1_500))


def test_what_follows_a_body_is_no_header(client: httpx.Client) -> None:
    with connected(client) as raw:
        raw.sendall(
            b"POST /v1/session HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\nOrigin: http://elsewhere.example\r\n\r\n" % (len(NO_KEY), NO_KEY)
        )
        (answer,) = answers(raw, 1)
        assert answer.startswith(b"401 ")


def test_what_follows_a_body_ends_at_some_time(client: httpx.Client) -> None:
    with connected(client) as raw, pytest.raises(ConnectionError):
        raw.sendall(b"POST /v1/session HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n")
        raw.sendall(b"2\r\n{}\r\n0\r\n")
        for _ in range(20_000):
            raw.sendall(b"a: " + b"b" * 1_000 + b"\r\n")


def test_who_was_answered_early_ends_the_request_soon(client: httpx.Client) -> None:
    head = b"POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with connected(client) as idle, connected(client) as busy:
        idle.sendall(head)
        assert answers(idle, 1)[0].startswith(b"415 ")
        idle.sendall(b"x")
        until = time.monotonic() + SECONDS_TO_END + 1
        while time.monotonic() < until:  # this one goes on as long as it likes
            busy.sendall(head)
            assert answers(busy, 1)[0].startswith(b"415 ")
            busy.sendall(bytes(100))
            time.sleep(1)
        assert idle.recv(1) == b""
