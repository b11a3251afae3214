"""The errors a user can meet, each with the exit code the process ends with.

Whatever derives from `BibleQAError` is shown as its one-line message, without a traceback; anything else is a
defect of the program and keeps its traceback.
"""

GO_ON = "The answers that came are kept; run the same command again to go on from there"
"""What to say of a run that was stopped in the middle."""


class BibleQAError(Exception):
    """Something the user can do something about; the message says what."""

    exit_code = 1


class RunFailed(BibleQAError):
    """A run began and could not finish; what it has done is on disk."""


class ConfigError(BibleQAError):
    """Wrong usage, config or data file: refused before anything is spent."""

    exit_code = 2

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # what was wrong may have been of several lines


class EndpointUnusable(BibleQAError):
    """The language model cannot be reached, loaded or understood."""

    exit_code = 3


class Stopped(BaseException):
    """The run must stop now. No `except Exception`, of which DSPy's optimizers have many, holds it up."""

    def __init__(self, reason: BibleQAError):
        super().__init__(str(reason))
        self.reason = reason
