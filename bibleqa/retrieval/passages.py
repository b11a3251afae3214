"""What retrieving gives: verses, and how each was found; and who watches it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from bibleqa.data.item import Turn
from bibleqa.data.kjv import Verse

LOOKED_UP = "looked up"


@dataclass(frozen=True)
class Passage:
    """A verse for a question.

    Attributes:
        reference: `Genesis 5:6`.
        text: Of the King James Version.
        found: How: `looked up`, `fts`, `embeddings`, `hybrid`.
    """

    reference: str
    text: str
    found: str

    @classmethod
    def of(cls, verse: Verse, found: str) -> "Passage":
        """A verse that was found in some way."""
        return cls(verse.reference, verse.text, found)


class Retriever(Protocol):
    """Finds verses for a question; safe from many threads, and the same ones each time."""

    def search(self, question: str, k: int, history: Sequence[Turn] = ()) -> list[Passage]:
        """The verses that may answer a question, the best first.

        Args:
            question: As somebody wrote it.
            k: So many at the most; verses that the question names are all given, if they are more.
            history: Earlier turns of the conversation, oldest first.

        Raises:
            LMError: The endpoint of the embeddings failed.
        """
        ...


class Search(Protocol):
    """One way of ranking all verses by what a question says."""

    name: str

    def scores(self, text: str, depth: int) -> dict[int, float]:
        """The ids of the best verses with their scores, in falling order; ties by id."""
        ...


def context_of(passages: Sequence[Passage]) -> str:
    """Verses as the context of a question, as `kjv.context_of` has them."""
    return "\n".join(f"[{passage.reference}] {passage.text}" for passage in passages)


_found: ContextVar[list[Passage] | None] = ContextVar("found", default=None)


@contextmanager
def watched() -> Iterator[list[Passage]]:
    """What is retrieved for the question that is asked inside; nothing where it has a context of its own.

    Whoever watches from further outside is told of it as well.
    """
    found: list[Passage] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)
        if found:
            note(found)


def note(passages: Sequence[Passage]) -> None:
    """Tell whoever watches what was retrieved; of several times the last one stands."""
    if (found := _found.get()) is not None:
        found[:] = passages
