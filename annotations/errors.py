"""Every error that Extent raises for a reason a user can mend.

ExtentError                    anything below; the text says what, where and the way out
├── OutlineError               an outline file cannot be read or written
├── SlideError                 a slide cannot be opened or read
│   └── ResolutionError        its µm/px is missing, absurd or too coarse; `--mpp` is the way out
├── CohortError                cohort.csv is not usable
├── CheckpointError            a model file is not usable, or no such model
├── ResultError                an output folder is busy, not writable, or the disk is full
├── RecordsError               the server's database is away, locked or full
└── UsageError                 the command was called wrongly (exit code 2)

They live on the lowest floor so that every floor may raise them. Each survives pickling, because
workers send them to the process that started them.
"""


class ExtentError(Exception):
    """Base of all errors that are the input's or the user's, not a fault of Extent."""


class OutlineError(ExtentError):
    """An outline file cannot be read or written."""


class OutlineWarning(UserWarning):
    """An outline was mended or left out; the text names the file and what was done."""


class SlideError(ExtentError):
    """A slide cannot be opened or read."""


class ResolutionError(SlideError):
    """A slide's µm/px is missing, outside 0.05-20, or too coarse for the model."""


class CohortError(ExtentError):
    """A cohort file is not usable."""


class CheckpointError(ExtentError):
    """A checkpoint is not usable, or no model has that name."""


class ResultError(ExtentError):
    """An output folder is busy, not writable, or the disk is full."""


class RecordsError(ExtentError):
    """The server's database is away, locked or full; the same may succeed later."""


class UsageError(ExtentError):
    """The command was called wrongly; exit code 2."""
