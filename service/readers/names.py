"""What is said of a slide without saying its name, where it lies, or what stands in its files."""

import re
from pathlib import Path

from annotations.errors import SlideError

THE_SLIDE = "the slide"
_BELOW = r"(?:/[^\s/:;,'\"]+)"
_PATH = re.compile(rf"(?<![\w.])(?:~|\.\.?)?{_BELOW}+/?")  # µm/px is none


def scrubbed(text: str, path: Path) -> str:
    """`text` with the slide's path, name and stem as "the slide", other paths as "a file"."""
    whole = path.absolute()
    names = {str(whole), str(whole.with_suffix("")), str(path), path.name, path.stem}
    for name in sorted(names - {"", "."}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w){_BELOW}*", THE_SLIDE, text)
    text = text.replace(str(whole.parent), "a folder") if whole.parent != Path("/") else text
    return _PATH.sub("a file", text)


def unreadable(reason: str) -> SlideError:
    """The error that a client of the server is told."""
    return SlideError(f"The slide cannot be read: {reason}")


def said(error: BaseException, path: Path) -> str:
    """What an error says, scrubbed, without the words of a library below it: they quote files."""
    text = str(error)
    if error.__cause__ is not None:
        text = text.replace(str(error.__cause__), "").rstrip(" :")
    return scrubbed(text, path).removeprefix(f"{THE_SLIDE}: ")
