"""What the person at the terminal sees: the one console, and errors as one line with an exit code."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.segment import Segment

from bibleqa import secrets
from bibleqa.config.explain import explain
from bibleqa.errors import BibleQAError, ConfigError, Stopped

INTERRUPTED = 130

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """The text with the control characters in it written out: what data brings along does nothing to a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Plain(Console):
    """A console whose control characters are its own."""

    def render(self, *args: Any, **kwargs: Any) -> Iterable[Segment]:
        for segment in super().render(*args, **kwargs):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


out = _Plain(soft_wrap=True, highlight=False)
"""Results and progress."""


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Let what is said in here stand in a file: a job of a sweep has the screen not for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as screen,
        contextlib.redirect_stdout(secrets.shielded(screen)),
        contextlib.redirect_stderr(secrets.shielded(screen)),
    ):
        yield


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; return its exit code, with what went wrong said in one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no Hebrew shows the rest
    sys.stdout, sys.stderr = secrets.shielded(sys.stdout), secrets.shielded(sys.stderr)
    try:
        return main() or 0
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Stopped as stopped:
        return _say(str(stopped), stopped.reason.exit_code)
    except BibleQAError as error:
        return _say(str(error), error.exit_code)
    except Exception as error:
        if message := explain(error):
            return _say(message, ConfigError.exit_code)
        if not isinstance(error, OSError):
            raise
        # No space, no permission, no such folder: about the machine, not about the program.
        logging.getLogger(__name__).debug("failed", exc_info=True)
        return _say(str(error), 1)


def _say(message: str, code: int) -> int:
    print(f"bibleqa: {visible(message)}", file=sys.stderr)
    return code
