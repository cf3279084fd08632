"""HTTP/1.1 on a connection, with bounds on what comes before a request is whole."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 << 10  # and most that may come between two pieces of a body
SECONDS_FOR_HEADERS = 20.0
SECONDS_TO_END = 5.0  # for the rest of a request that was answered before all of it had come
FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which of itself would wait for ever and take headers without end.

    Fields that follow a body (trailers) are dropped: nothing that was decided by the headers is
    decided again. So is the wish for another protocol, as of Java's clients for HTTP/2: httptools
    would take the body of such a request for the next request.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_headers = True
        self._again = False  # a request's headers go by a second time
        self._bytes_between = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(SECONDS_FOR_HEADERS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_between += len(data)
        if self._bytes_between > MOST_HEADER_BYTES + len(data):
            self.transport.close()
            return
        self._unset_keepalive_if_required()
        try:
            self._fed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _fed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as wish:
                self._stay()
                data = data[wish.args[0] :]

    def _stay(self) -> None:
        """Go on after headers that wish for another protocol, as if they did not.

        The parser has taken the request for whole; another one hears how long its body is.
        """
        framing = [name + b":" + value for name, value in self.headers if name in FRAMING]
        self.parser = httptools.HttpRequestParser(self)
        self._again = True
        self.parser.feed_data(b"\r\n".join((b"POST / HTTP/1.1", *framing, b"", b"")))

    def on_message_begin(self) -> None:
        if self._again:
            return
        super().on_message_begin()
        self._in_headers, self._bytes_between = True, 0
        if self._deadline is None:
            self._expect_within(SECONDS_FOR_HEADERS)

    def on_url(self, url: bytes) -> None:
        if not self._again:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._again:
            self._again = False
            return
        self._in_headers, self._bytes_between = False, 0
        self._forget_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_between = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # `_stay` sees to the body, and then this comes again
        if self.cycle.response_complete:
            self._forget_deadline()
        self.cycle.more_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._expect_within(SECONDS_TO_END)

    def _expect_within(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
