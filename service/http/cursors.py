"""Where a list goes on: the last row seen, as opaque text that a client hands back."""

import base64
import binascii
import json

from .problems import Problem

MOST_CHARACTERS = 4096


def cursor_after(*row: str | float) -> str:
    """The text that stands for the place after a row, named by what the list is ordered by."""
    return base64.urlsafe_b64encode(json.dumps(row).encode()).decode().rstrip("=")


def row_of(cursor: str, *kinds: type) -> tuple[str | float, ...]:
    """What `cursor_after` was given, of these types.

    Raises:
        Problem: 400; the text is no cursor of such a list.
    """
    try:
        if len(cursor) > MOST_CHARACTERS:
            raise ValueError
        row = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if [type(value) for value in row] != list(kinds) or "\0" in "".join(map(str, row)):
            raise ValueError
        "".join(map(str, row)).encode()
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise Problem(400, "`cursor` must be a `next` that this list gave.") from None
    return tuple(row)
