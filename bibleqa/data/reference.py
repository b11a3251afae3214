"""Verses and passages of the Bible as people write them, and as numbers.

The numbering is that of the King James Version; `versification` knows the others. Verse counts, book names and most
abbreviations are those of `pythonbible`; its parser is for finding references in running text, and passes over what it
cannot read.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import pythonbible
from pythonbible.verses import MAX_VERSE_NUMBER_BY_BOOK_AND_CHAPTER

from bibleqa.errors import ConfigError

PSALMS = 19
TITLE = 0
"""The verse number of a psalm's title."""

_OLD_TESTAMENT_BOOKS = 39
# The codes of the OSIS manual 2.1, appendix C.1.
_OSIS = """
Gen Exod Lev Num Deut Josh Judg Ruth 1Sam 2Sam 1Kgs 2Kgs 1Chr 2Chr Ezra Neh Esth Job Ps Prov Eccl Song Isa Jer Lam Ezek
Dan Hos Joel Amos Obad Jonah Mic Nah Hab Zeph Hag Zech Mal
Matt Mark Luke John Acts Rom 1Cor 2Cor Gal Eph Phil Col 1Thess 2Thess 1Tim 2Tim Titus Phlm Heb Jas 1Pet 2Pet 1John 2John
3John Jude Rev
"""
# What people write and pythonbible does not know, by OSIS code.
_ALSO = {
    "Gen": "Gn Ge",
    "Exod": "Ex",
    "Lev": "Lv Le",
    "Num": "Nm Nu Nb",
    "Deut": "Dt De",
    "Judg": "Jgs Jg",
    "Ruth": "Rt Ru",
    "1Sam": "1S",
    "2Sam": "2S",
    "1Kgs": "1Kg 1K",
    "2Kgs": "2Kg 2K",
    "Neh": "Ne",
    "Esth": "Es",
    "Job": "Jb",
    "Ps": "Psalm Pslms Psal",
    "Prov": "Pr Prvb",
    "Eccl": "Qoheleth Qohelet Qo",
    "Song": "SongofSolomon CanticleofCanticles SongofSol Sng Sg SS Ct",
    "Isa": "Is",
    "Jer": "Jr Je",
    "Lam": "La LamentationsofJeremiah",
    "Dan": "Dn Da",
    "Hos": "Ho",
    "Joel": "Jl",
    "Amos": "Am",
    "Obad": "Ob",
    "Mic": "Mi",
    "Nah": "Na",
    "Hab": "Hb",
    "Zeph": "Zp",
    "Hag": "Hg",
    "Zech": "Zc",
    "Mal": "Ml",
    "Matt": "Mt",
    "Mark": "Mk Mr",
    "Luke": "Lk Lu",
    "Acts": "Ac ActsoftheApostles",
    "Rom": "Rm Ro",
    "Gal": "Ga",
    "Phil": "Pp Phl",
    "Titus": "Tt",
    "Jas": "Jm Ja Jam",
    "Jude": "Jd",
    "Rev": "Rv Re Apoc Apocalypse Revelations RevelationofJohn RevelationofStJohn RevelationofJesusChrist",
}
_SHORTEST_PREFIX = 3
# All others begin with one, which stands in the Hebrew numbering as the verse 1 or a part of it.
_UNTITLED_PSALMS = frozenset({1, 2, 10, 33, 43, 71, 91, *range(93, 98), 99, *range(104, 108), *range(111, 120)}) | {
    *range(135, 138),
    *range(146, 151),
}

_DASHES = re.compile(r"\s*[-\u2010-\u2015\u2212]\s*")
# After a number, `Ch` is Chronicles.
_CHAPTER_WORD = re.compile(
    r",?\s*(?<!\b[12]\s)(?<!\bi\s)(?<!\bii\s)\b(?:chapters?|chap|ch)\b\.?\s*(?=\d)", re.IGNORECASE
)
_VERSE_WORD = re.compile(r",?\s*\b(?:verses?|vv?|vss?|ver)\.?\s*(?=\d)", re.IGNORECASE)
_TITLE_WORD = re.compile(r"(?<=\d)\s*[:.,]?\s*\(?\b(?:title|superscription)\b\)?", re.IGNORECASE)
_BOOK_AND_PLACE = re.compile(r"(?P<book>(?:[1-3](?=\D))?[^\d:;,]*)(?P<place>.*)")
_SEPARATOR = re.compile(r"\s*([,;])\s*")
_PLACE = re.compile(r"(?:(\d{1,3})\s*[:.]\s*)?(\d{1,3})[a-c]?(?:-(?:(\d{1,3})\s*[:.]\s*)?(\d{1,3})[a-c]?)?")
_ORDINAL = re.compile(r"(?:(1st\b|first\b|i\b|1)|(2nd\b|second\b|ii\b|2)|(3rd\b|third\b|iii\b|3))\s*(?=\w)")
_THE_BOOK_OF = re.compile(
    r"(?:the )?(?:(?:book|prophecy|gospel) (?:of|according to) "
    r"|(?:general )?(?:epistle|letter) (?:of paul )?(?:the apostle )?(?:to|of) )?(?:the )?(?:st |saint )?"
)
_ROMAN_CHAPTER = re.compile(r"(?<=[^\W\d])(\.?\s+)([clxvi]+)(?=\s*(?:$|[-.:,;]?\s*(?:\d|title)))", re.IGNORECASE)


@dataclass(frozen=True)
class Book:
    """A book of the Bible.

    Attributes:
        number: 1 to 66, in the order of the King James Version.
        name: `Genesis`, `1 Samuel`, `Psalms`, `Song of Songs`.
        osis: Its OSIS code (`Gen`, `1Sam`).
        abbreviations: Common short forms of the name (`Gen`, `1 Sam`).
        verses: How many verses each chapter has.
    """

    number: int
    name: str
    osis: str
    abbreviations: tuple[str, ...]
    verses: tuple[int, ...]

    @property
    def testament(self) -> str:
        """`old` or `new`."""
        return "old" if self.number <= _OLD_TESTAMENT_BOOKS else "new"

    @property
    def chapters(self) -> int:
        """How many chapters it has."""
        return len(self.verses)


def _books() -> Iterator[Book]:
    for book, osis in zip(sorted(pythonbible.Book, key=lambda book: book.value), _OSIS.split(), strict=False):
        lead = f"{osis[0]} " if osis[0].isdigit() else ""
        short = tuple(f"{lead}{abbreviation}" for abbreviation in book.abbreviations)
        verses = tuple(MAX_VERSE_NUMBER_BY_BOOK_AND_CHAPTER[book])
        yield Book(book.value, book.title, osis, short, verses)


BOOKS: tuple[Book, ...] = tuple(_books())
"""The 66 books, in order; a book's number is its place, from 1."""


@dataclass(frozen=True, order=True)
class Reference:
    """A verse, in whatever numbering; whether the English one has it says `exists`.

    Attributes:
        book: 1 to 66.
        chapter: From 1.
        verse: From 1; 0 is the title of a psalm.
    """

    book: int
    chapter: int
    verse: int

    def __post_init__(self) -> None:
        if not (1 <= self.book <= len(BOOKS) and 1 <= self.chapter < 1000 and 0 <= self.verse < 1000):
            raise ValueError(f"book {self.book}, chapter {self.chapter}, verse {self.verse} is no verse of the Bible")

    @classmethod
    def from_id(cls, number: int) -> Self:
        """The verse of a number BBCCCVVV.

        Raises:
            ValueError: There is no such book.
        """
        return cls(number // 1_000_000, number // 1000 % 1000, number % 1000)

    @property
    def id(self) -> int:
        """BBCCCVVV: Genesis 5:6 is 1005006."""
        return self.book * 1_000_000 + self.chapter * 1000 + self.verse

    @property
    def in_book(self) -> Book:
        """The book it stands in."""
        return BOOKS[self.book - 1]

    @property
    def exists(self) -> bool:
        """Whether the English numbering has it."""
        return not _missing(self.in_book, self.chapter, self.verse)

    def __str__(self) -> str:
        """`Genesis 5:6`; a psalm's title is `Psalms 51:title`, as the Treasury of Scripture Knowledge has it."""
        return f"{self.in_book.name} {self.chapter}:{_verse(self)}"


@dataclass(frozen=True, order=True)
class Passage:
    """From one verse to another of the same book, both included.

    Raises:
        ConfigError: One of the two does not exist, they are of two books, or the last comes before the first.
    """

    first: Reference
    last: Reference

    def __post_init__(self) -> None:
        for end in (self.first, self.last):
            _existing(end.in_book, end.chapter, end.verse)
        if self.first.book != self.last.book:
            raise ConfigError("a passage begins and ends in one book")
        if self.last < self.first:
            raise ConfigError("it ends before it begins")

    @property
    def verses(self) -> Iterator[Reference]:
        """Its verses in order; of the titles of psalms none but the one that it begins with."""
        if self.first.verse == TITLE:
            yield self.first
        for chapter in range(self.first.chapter, self.last.chapter + 1):
            start = max(self.first.verse, 1) if chapter == self.first.chapter else 1
            end = self.last.verse if chapter == self.last.chapter else self.first.in_book.verses[chapter - 1]
            for verse in range(start, end + 1):
                yield Reference(self.first.book, chapter, verse)

    def __str__(self) -> str:
        """`Genesis 5:6`, `Genesis 22:1-14`, `Genesis 1:31-2:3`."""
        if self.first == self.last:
            return str(self.first)
        chapter = "" if self.first.chapter == self.last.chapter else f"{self.last.chapter}:"
        return f"{self.first}-{chapter}{_verse(self.last)}"


def parse(text: str) -> Passage:
    """One passage as people write it: `1 Jn 4:8`, `Ps 23:1-4`, `Psalm 23`, `Jude 3`, `Song of Songs 2.1`, `Ps 51:0`.

    A chapter or a book alone is all its verses, without titles. The letter of a part (`Gen 2:4a`) is passed over.

    Raises:
        ConfigError: It is not a passage, or some of what it names does not exist; the message says what.
    """
    found = passages(text)
    if len(found) != 1:
        raise ConfigError(f'"{text}" is not a passage of the Bible, but {len(found)}')
    return found[0]


def passages(text: str) -> tuple[Passage, ...]:
    """Passages of one book, with commas or semicolons between: `Gen 1:1, 3`, `Gen 1:1; 2:3`, or just one.

    Raises:
        ConfigError: See `parse`.
    """
    try:
        return tuple(_passages(_plain(text)))
    except ConfigError as error:
        raise ConfigError(f'"{text}" is not a passage of the Bible: {error}') from None


def find_book(name: str) -> Book:
    """The book of a name or an abbreviation: `Genesis`, `1 Sam.`, `II Kings`, `First Epistle of John`, `Mt`.

    Raises:
        ConfigError: There is none; the message names those that it may have meant.
    """
    key = _key(name)
    if number := _names().get(key) or _by_prefix(key):
        return BOOKS[number - 1]
    keys = {_key(book.name): book.name for book in BOOKS}
    begun = [near for near in keys if key and near.startswith(key)]
    near = [keys[near] for near in begun[:3] or difflib.get_close_matches(key, keys, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "the books are the 66 from Genesis to Revelation"
    raise ConfigError(f'there is no book "{name.strip()}"; {hint}' if name.strip() else f"it names no book; {hint}")


def _key(name: str) -> str:
    """A name of a book in its shortest form: `1samuel` for `The First Book of Samuel`."""
    plain = " ".join(name.casefold().replace(".", " ").split()).removeprefix("the ")
    number = _ORDINAL.match(plain)
    lead, plain = (str(number.lastindex), plain[number.end() :]) if number else ("", plain)
    return lead + re.sub(r"[^a-z]", "", _THE_BOOK_OF.sub("", plain, count=1))


@lru_cache(maxsize=1)
def _names() -> dict[str, int]:
    return {
        _key(name): book.number
        for book in BOOKS
        for name in (book.name, book.osis, *book.abbreviations, *_ALSO.get(book.osis, "").split())
    }


def _by_prefix(key: str) -> int | None:
    """The only book whose name begins so."""
    found = [book.number for book in BOOKS if _key(book.name).startswith(key)]
    return found[0] if len(key) >= _SHORTEST_PREFIX and len(found) == 1 else None


def _verse(reference: Reference) -> str:
    return "title" if reference.verse == TITLE else str(reference.verse)


def _missing(book: Book, chapter: int, verse: int) -> str:
    """What the English numbering lacks of a verse, in words; nothing if it exists."""
    if not 1 <= chapter <= book.chapters:
        return f"{book.name} has {book.chapters} chapter{'s' * (book.chapters > 1)}, there is no chapter {chapter}"
    count = book.verses[chapter - 1]
    if verse > count:
        return f"{book.name} {chapter} has {count} verses, there is no verse {verse}"
    if verse == TITLE and (book.number != PSALMS or chapter in _UNTITLED_PSALMS):
        return f"{book.name} {chapter} has no title (verse 0)"
    return ""


def _existing(book: Book, chapter: int, verse: int) -> Reference:
    if wrong := _missing(book, chapter, verse):
        raise ConfigError(wrong)
    return Reference(book.number, chapter, verse)


def _plain(text: str) -> str:
    """The text with one kind of dash, chapters in digits, a colon before the verse, and 0 for a title."""
    plain = _DASHES.sub("-", " ".join(text.split()))
    plain = _VERSE_WORD.sub(":", _CHAPTER_WORD.sub(" ", plain))
    plain = _ROMAN_CHAPTER.sub(lambda match: f"{match[1]}{_roman(match[2])}", plain)
    return _TITLE_WORD.sub(f":{TITLE}", plain).strip(" .")


def _roman(numeral: str) -> int:
    values = [{"c": 100, "l": 50, "x": 10, "v": 5, "i": 1}[letter] for letter in numeral.lower()]
    return sum(value if value >= max(values[i:]) else -value for i, value in enumerate(values))


def _passages(text: str) -> Iterator[Passage]:
    match = _BOOK_AND_PLACE.fullmatch(text)
    assert match
    book = find_book(match["book"])
    place = match["place"].strip()
    if not place:
        yield _chapters(book, 1, book.chapters)
        return
    alone = 1 if book.chapters == 1 else None
    # The chapter that a number without one belongs to; where there is none, the number is that of a chapter.
    chapter = alone
    parts = _SEPARATOR.split(place.removeprefix(":") if alone else place)
    for separator, part in zip([";", *parts[1::2]], parts[::2], strict=True):
        passage, chapter = _passage(part, book, alone if separator == ";" else chapter)
        yield passage


def _passage(text: str, book: Book, chapter: int | None) -> tuple[Passage, int | None]:
    """A passage, and the chapter that a number after a comma belongs to."""
    match = _PLACE.fullmatch(text)
    if not match:
        raise ConfigError(f'"{text}" is not a chapter and verse (expected e.g. "22:1-14")')
    own, number, last_chapter, last = (None if group is None else int(group) for group in match.groups())
    assert number is not None
    chapter = chapter if own is None else own
    if chapter is None and (last_chapter is None or last is None):
        return _chapters(book, number, number if last is None else last), None
    first = _existing(book, number, 1) if chapter is None else _existing(book, chapter, number)
    end = first if last is None else _existing(book, last_chapter or first.chapter, last)
    return Passage(first, end), end.chapter


def _chapters(book: Book, first: int, last: int) -> Passage:
    start, end = _existing(book, first, 1), _existing(book, last, 1)
    return Passage(start, Reference(book.number, last, book.verses[end.chapter - 1]))
