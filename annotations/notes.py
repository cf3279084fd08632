"""What had to be said about the shapes of one file, gathered so that it is said once."""

import warnings

from annotations.errors import OutlineError, OutlineWarning

_NAMED = 5


class Notes:
    """Problems met while reading one file: mended ones become warnings, others an error.

    `file` is the name that messages carry. `quoting` False keeps what the file says (labels,
    names, whatever stands where a number should) out of them.
    """

    def __init__(self, file: str, *, quoting: bool = True) -> None:
        self.file, self._quoting = file, quoting
        self._shapes: dict[str, list[str]] = {}

    def add(self, problem: str, shape: str) -> None:
        """Note that `shape` was mended or left out; `problem` says how, in words that fit many."""
        self._shapes.setdefault(problem, []).append(shape)

    def quoted(self, text: str) -> str:
        """What the file says, for the middle of a message: a blank and the text in quotes."""
        return f" '{text}'" if self._quoting else ""

    def called(self, shape: str, *texts: str) -> str:
        """`shape` with what the file says of it in brackets."""
        said = ", ".join(filter(None, texts))
        return f"{shape} ({said})" if said and self._quoting else shape

    def error(self, what: str) -> OutlineError:
        """The error to raise; `what` names the shape, what is wrong, and the way out."""
        return OutlineError(f"{self.file}: {what}")

    def messages(self) -> list[str]:
        """One a problem, naming the first shapes that have it."""
        found = []
        for problem, shapes in self._shapes.items():
            named = ", ".join(shapes[:_NAMED])
            more = f" and {len(shapes) - _NAMED} more" if len(shapes) > _NAMED else ""
            found.append(f"{self.file}: {problem}: {named}{more}")
        return found

    def warn(self) -> None:
        """Give the messages as OutlineWarnings."""
        for message in self.messages():
            # 3: this method, read_outlines, its caller
            warnings.warn(OutlineWarning(message), stacklevel=3)
