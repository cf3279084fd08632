"""Files of which one range of bytes may be asked for (RFC 9110, 14)."""

import re

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from .problems import Problem

_ONE_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


class RangedFile(FileResponse):
    """A file with `stat_result` and ETag given; what is no single range gets all of it.

    Raises:
        Problem: 416, the range lies behind the file's end.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._in_part(Headers(scope=scope)):
            others = [(name, value) for name, value in scope["headers"] if name != b"range"]
            scope = {**scope, "headers": others}
        await super().__call__(scope, receive, send)

    def _in_part(self, headers: Headers) -> bool:
        """Whether a part is wanted and there."""
        wanted = _ONE_RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
        if wanted is None or headers.get("if-range", self.headers["etag"]) != self.headers["etag"]:
            return False
        first, last, final = wanted.groups()
        if first is not None and last and int(last) < int(first):
            return False
        size = self.stat_result.st_size if self.stat_result else 0
        if int(first or 0) >= size or (final is not None and not int(final)):
            raise Problem(
                416,
                f"The file has {size:,} bytes; the range begins behind them.",
                headers={"Content-Range": f"bytes */{size}"},
            )
        return True
