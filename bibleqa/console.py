"""What the person at the terminal sees: the one console, and errors as one line with an exit code."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from bibleqa.errors import BibleQAError, ConfigError, Stopped
from bibleqa.explain import explain

INTERRUPTED = 130

out = Console(soft_wrap=True, highlight=False)
"""Results and progress."""


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Let what is said in here stand in a file: a job of a sweep has the screen not for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        yield


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; return its exit code, with what went wrong said in one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no Hebrew shows the rest
    try:
        return main() or 0
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Stopped as stopped:
        return _say(str(stopped), stopped.reason.exit_code)
    except BibleQAError as error:
        return _say(str(error), error.exit_code)
    except OSError as error:
        # No space, no permission, no such folder: about the machine, not about the program.
        logging.getLogger(__name__).debug("failed", exc_info=True)
        return _say(str(error), 1)
    except Exception as error:
        if message := explain(error):
            return _say(message, ConfigError.exit_code)
        raise


def _say(message: str, code: int) -> int:
    print(f"bibleqa: {message}", file=sys.stderr)
    return code
