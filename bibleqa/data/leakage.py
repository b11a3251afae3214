"""What splits have in common: measured from the questions themselves, whatever way they were split."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bibleqa.data import reference
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.splits import shingles_of
from bibleqa.errors import ConfigError
from bibleqa.text import contains


@dataclass
class Content:
    """What a split is about.

    Attributes:
        asked: Its questions, see `asked`.
        verses: BBCCCVVV of the verses that its questions cite or refer to.
        shingles: Digests of its ten words in a row.
        lines: The lines of its contexts.
        telling: Those of them that have the answer to their question.
    """

    asked: set[tuple[str, ...]] = field(default_factory=set)
    verses: set[int] = field(default_factory=set)
    shingles: set[int] = field(default_factory=set)
    lines: set[str] = field(default_factory=set)
    telling: set[str] = field(default_factory=set)

    @property
    def chapters(self) -> set[int]:
        """BBCCC of its verses."""
        return {verse // 1000 for verse in self.verses}


@dataclass(frozen=True)
class Leakage:
    """How much two splits have in common; all zero is as it should be.

    Attributes:
        one: The split that is learned from.
        other: The split that is measured on.
        questions: Asked in both.
        verses: Cited or referred to in both.
        chapters: The same for chapters.
        shingles: Ten words in a row that stand in both.
        told: Lines that have an answer of the other, and stand in a context of the one. A line of a dictionary is
            too short for ten words in a row.
    """

    one: str
    other: str
    questions: int
    verses: int
    chapters: int
    shingles: int
    told: int


def asked(item: Item) -> tuple[str, ...]:
    """What is asked, with all that comes before it, so that the same question compares equal.

    Spacing makes no difference. Case does, for LORD is not Lord, and so do Hebrew points and Greek accents.
    """
    turns = (text for turn in item.history for text in (turn.question, turn.answer))
    return tuple(" ".join(text.split()) for text in (item.context, *turns, item.question))


def content_of(items: Iterable[Item], bible: Bible) -> Content:
    """What questions are about."""
    content = Content()
    for item in items:
        content.asked.add(asked(item))
        content.verses |= _verses_of(item, bible)
        content.shingles |= shingles_of(item)
        lines = item.context.splitlines()
        content.lines.update(lines)
        content.telling.update(line for line in lines if any(contains(line, answer) for answer in item.accepted))
    return content


def between(one: str, first: Content, other: str, second: Content) -> Leakage:
    """What two splits, by name, have in common."""
    return Leakage(
        one,
        other,
        questions=len(first.asked & second.asked),
        verses=len(first.verses & second.verses),
        chapters=len(first.chapters & second.chapters),
        shingles=len(first.shingles & second.shingles),
        told=len(first.lines & second.telling),
    )


def _verses_of(item: Item, bible: Bible) -> set[int]:
    cited = {verse.id for verse in bible.cited(item.context)}
    try:
        return cited | {verse.id for verse in reference.parse(item.reference).verses}
    except ConfigError:  # a user's own questions may refer to anything
        return cited
