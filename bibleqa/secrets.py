"""Which environment variables hold secrets, and text without what they hold."""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, TextIO, cast

_NAME = re.compile(r"(^|_)(\w*KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_|$)", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_SHORTEST = 8
"""Characters: what is shorter stands in every other line, and is no secret worth the name."""

_named: set[str] = set()


def name(variables: Iterable[str | None]) -> None:
    """Take these variables for secrets too, whatever they are called: a config says that they hold keys."""
    _named.update(filter(None, variables))


def is_name(text: object) -> bool:
    """Whether a text is a variable's name: no provider's key is made of capital letters, digits and _ alone."""
    return isinstance(text, str) and bool(re.fullmatch(r"[A-Z_][A-Z0-9_]*", text))


def looks_secret(variable: str) -> bool:
    """Whether a variable of that name holds a secret."""
    return variable in _named or _is_named_so(variable)


@cache
def _is_named_so(variable: str) -> bool:
    return bool(_NAME.search(variable))


def in_text(text: str) -> str | None:
    """The variable whose secret stands in a text, or None."""
    return next((variable for variable, form in _forms() if form in text), None)


def redacted(text: str) -> str:
    """The text with `<OPENAI_API_KEY>` in place of what that variable holds, and no password in an address."""
    for variable, form in _forms():
        text = text.replace(form, f"<{variable}>")
    return _IN_ADDRESS.sub("<password>", text) if "@" in text else text


def _forms() -> Iterator[tuple[str, str]]:
    """Every secret with its variable: as it is, and as JSON writes it; a long one before what is part of it."""
    held = {variable: os.environ.get(variable, "") for variable in os.environ if looks_secret(variable)}
    for variable, value in sorted(held.items(), key=lambda pair: -len(pair[1])):
        if len(value) >= _SHORTEST:
            yield from ((variable, form) for form in dict.fromkeys([value, json.dumps(value)[1:-1]]))


class Stream:
    """A screen or file that shows no secret."""

    def __init__(self, stream: TextIO):
        """Stand before a stream."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text without the secrets in it."""
        return self._stream.write(redacted(text))

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)


def shielded(stream: TextIO) -> TextIO:
    """The stream, so that it shows no secret."""
    return stream if isinstance(stream, Stream) else cast(TextIO, Stream(stream))


class _Formatter(logging.Formatter):
    """What another formatter makes of a record, its traceback included, without secrets."""

    def __init__(self, formatter: logging.Formatter | None):
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._formatter.format(record))


def keep_out_of_logs() -> None:
    """From now on no secret goes into the logs that are set up, whoever has set them up."""
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    for handler in {handler for logger in (logging.root, *loggers) for handler in logger.handlers}:
        if not isinstance(handler.formatter, _Formatter):
            handler.setFormatter(_Formatter(handler.formatter))
