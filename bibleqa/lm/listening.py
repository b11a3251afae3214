"""Hearing what a language model says while it says it.

Engines tell whoever listens, and give their whole answer as ever: so what comes after (the answers that are kept,
patience with an endpoint, salvage, checks) is the same for a question that is listened to and one that is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Who listens. What it raises ends the answer, and comes out of the engine."""

    def begins(self) -> None:
        """A reply begins; what was heard of one before was cut off, or is asked again."""

    def hears(self, piece: str) -> None:
        """The reply goes on."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def current() -> Listener | None:
    """Who listens to what is asked now."""
    return _listener.get()


@contextmanager
def by(listener: Listener) -> Iterator[None]:
    """What is asked inside, in this thread, is listened to."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
