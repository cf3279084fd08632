"""A reader: a process that decodes one slide, and can open nothing but that slide's files.

The server starts it as `python -m service.readers.child PARENT`; its standard input is the
socket between them. The first request names the slide and its files; then it jails itself, and
only then opens them. It ends with the process that started it.
"""

import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from annotations.errors import SlideError
from tiling.deepzoom import DeepZoom
from tiling.images import jpeg
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.slide_files import may_name_other_files
from tiling.slide_tiles import deep_zoom, picture, read_tile

from ..process import READING_NICENESS, bound, die_with, lower_priority
from . import jail
from .facts import facts_of
from .names import said
from .protocol import Message, receive_from

MEMORY_BYTES = 3 << 30  # of address space: three times what the largest flat image takes
MAX_OPEN_FILES = 512
NOT_JAILED = (
    "its format can name other files, and such slides are not opened here: the server's system "
    "cannot confine a reader to one slide (that takes Landlock: Linux 5.13 or later)"
)
TOO_LARGE = "it needs more memory to be read than there is for a slide; is it a whole-slide file?"


class Reader:
    """Answers requests about one slide."""

    def __init__(self) -> None:
        self._slide: Slide | None = None
        self._zoom: DeepZoom | None = None
        self._path = Path()
        self._answers: dict[str, Callable[[Message], Message]] = {
            "open": self._open,
            "tile": self._tile,
            "thumbnail": self._thumbnail,
        }

    def answer(self, request: Message) -> Message:
        """The reply; with `error`, a sentence that names no file, where there is none."""
        try:
            return self._answers[request.header["do"]](request)
        except SlideError as error:
            return Message({"error": said(error, self._path)})
        except MemoryError:
            return Message({"error": TOO_LARGE})
        except Exception as error:  # decoders raise what they like at broken files
            return Message({"error": f"its decoder gave up ({type(error).__name__})"})

    def _open(self, request: Message) -> Message:
        header = request.header
        self._path = Path(header["path"])
        if header["jail"]:
            jail.restrict([*map(Path, header["sees"]), *jail.program()])
        elif may_name_other_files(self._path):
            raise SlideError(NOT_JAILED)
        self._slide = Slide.open(self._path, Resolution(header["mpp"]))
        self._zoom = deep_zoom(self._slide)
        return Message({"facts": facts_of(self._slide, self._zoom)})

    def _tile(self, request: Message) -> Message:
        slide, zoom = self._opened()
        place = (request.header[name] for name in ("level", "column", "row"))
        return Message({}, jpeg(read_tile(slide, zoom, *place)))

    def _thumbnail(self, request: Message) -> Message:
        slide, _ = self._opened()
        return Message({}, jpeg(picture(slide, request.header["side"])))

    def _opened(self) -> tuple[Slide, DeepZoom]:
        if self._slide is None or self._zoom is None:
            raise SlideError("it is not open")
        return self._slide, self._zoom


def main() -> None:
    """Serve until the other side ends."""
    die_with(int(sys.argv[1]))
    lower_priority(READING_NICENESS)
    bound(
        {
            resource.RLIMIT_AS: MEMORY_BYTES,
            resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
            resource.RLIMIT_FSIZE: 0,
        }
    )
    reader = Reader()
    with socket.socket(fileno=os.dup(0)) as connection:
        connection.sendall(Message({"ready": True}).packed())
        while True:
            try:
                request = receive_from(connection)
                connection.sendall(reader.answer(request).packed())
            except (EOFError, OSError):
                return


if __name__ == "__main__":
    main()
