"""What had to be said about the shapes of one file, gathered so that it is said once."""

import warnings

from annotations.errors import OutlineError, OutlineWarning

_NAMED = 5


class Notes:
    """Problems met while reading one file: mended ones become warnings, others an error.

    `file` is the name that messages carry.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._shapes: dict[str, list[str]] = {}

    def add(self, problem: str, shape: str) -> None:
        """Note that `shape` was mended or left out; `problem` says how, in words that fit many."""
        self._shapes.setdefault(problem, []).append(shape)

    def error(self, what: str) -> OutlineError:
        """The error to raise; `what` names the shape, what is wrong, and the way out."""
        return OutlineError(f"{self.file}: {what}")

    def warn(self) -> None:
        """Give one OutlineWarning a problem, naming the first shapes that have it."""
        for problem, shapes in self._shapes.items():
            named = ", ".join(shapes[:_NAMED])
            more = f" and {len(shapes) - _NAMED} more" if len(shapes) > _NAMED else ""
            # 3: this method, read_outlines, its caller
            warnings.warn(OutlineWarning(f"{self.file}: {problem}: {named}{more}"), stacklevel=3)
