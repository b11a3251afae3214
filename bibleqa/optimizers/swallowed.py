"""What DSPy's optimizers swallow, brought to light: what they print goes to the log, what fails inside is kept."""

import contextlib
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TextIO

log = logging.getLogger(__name__)

_UNREADABLE = re.compile(r"Adapter\w* failed to parse|AdapterParseError")
"""An answer that no adapter can read is a wrong answer, which a search may well meet."""
_WRITTEN = re.compile(r"Expected to find output fields in the LM response: \[(?!(?:reasoning, )?answer\])")
"""What could not be read was no answer, but what somebody was to write for the optimizer."""
_SAID_SOFTLY = re.compile(r"Per-task reflection failed|Exception (?:during optimization|building reflective dataset)")
"""Failures that GEPA does not log as errors."""
_SAID_BETTER = re.compile(r"Step \d+/\d+ failed with error|Stopping optimization early|Traceback:")
"""What BetterTogether says of a step that failed; the step itself says which it was."""
_FALLS_BACK = re.compile(r"Running without (program|data) aware proposer")
_FOR_EXAMPLE = re.compile(r"Error for .*?\}\): |Failed to run or to evaluate example .* due to ", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[\d*m")
_SHORT = 200


class Swallowed:
    """Failures inside an optimizer, each in a sentence; like ones are counted."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._overheard: set[str] = set()
        self.unreadable = 0
        """How many texts that somebody was to write for an optimizer could not be read."""

    def add(self, message: str) -> None:
        """Keep a failure."""
        self._seen[_short(message)] += 1

    def overhear(self, message: str) -> None:
        """Keep what DSPy says of a failure, unless it is none or is said better elsewhere."""
        if _UNREADABLE.search(message):
            self.unreadable += bool(_WRITTEN.search(message))
        elif not _SAID_BETTER.search(message):
            self.add(bare := _FOR_EXAMPLE.sub("", _COLOUR.sub("", message)))
            self._overheard.add(_short(bare))

    def sentences(self, known: Iterable[str] = ()) -> list[str]:
        """In the order of their first appearance, without what was overheard of failures that are known already."""
        starts = [failure[:80] for failure in known]
        return [
            message if count == 1 else f"{message} ({count} times)"
            for message, count in self._seen.items()
            if message not in self._overheard or not any(start in message for start in starts)
        ]


def _short(message: str) -> str:
    return " ".join(message.split())[:_SHORT]


@contextlib.contextmanager
def listening(swallowed: Swallowed) -> Iterator[None]:
    """Keep what DSPy and GEPA log as an error, or print as a fallback, while an optimizer runs inside."""
    handler = _Errors(swallowed)
    loggers = [logging.getLogger(name) for name in ("dspy", "gepa")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with (
            contextlib.redirect_stdout(_ToLog(sys.stdout, swallowed)),
            contextlib.redirect_stderr(_ToLog(sys.stderr, swallowed)),
        ):
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _Errors(logging.Handler):
    def __init__(self, swallowed: Swallowed):
        super().__init__(logging.INFO)
        self._swallowed = swallowed

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and not _SAID_SOFTLY.search(record.getMessage()):
            return
        cause = record.exc_info[1] if record.exc_info else None
        self._swallowed.overhear(f"{record.getMessage()}{f': {cause}' if cause else ''}")


class _ToLog:
    """A text stream whose lines become log entries."""

    def __init__(self, replaced: TextIO, swallowed: Swallowed):
        self.rich_proxied_file = replaced  # where rich's progress bar still draws
        self._swallowed = swallowed

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if line.strip():
                log.info("%s", line.rstrip())
                if _FALLS_BACK.search(line):
                    self._swallowed.overhear(line)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
