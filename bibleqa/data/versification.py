"""How Hebrew, Greek and Latin Bibles number the verses that English ones number otherwise.

Two sources: TVTMS (STEPBible, CC BY 4.0), where the user has it, and else `versiref` (data CC BY-SA 4.0), corrected
where it contradicts TVTMS or itself. `hebrew` is the Masoretic text, of which the New Testament keeps its English
numbers; `greek` the Septuagint and the Nestle-Aland New Testament; `latin` the Clementine Vulgate. Nehemiah in Greek
keeps its own chapters, although the Septuagint counts on from Ezra (2 Esdras 11 is Nehemiah 1). What `versiref` does
not place in a tradition counts as absent there, as Joshua 8:30-35 does in Greek, which TVTMS has as 9:2a-f.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from bibleqa.data.corpora.records import VerseMapping
from bibleqa.data.reference import BOOKS, TITLE, Reference
from bibleqa.errors import ConfigError

if TYPE_CHECKING:
    from versiref.versification import Versification as Scheme

TRADITIONS = ("hebrew", "greek", "latin")
ABSENT = 0
"""The number of an English verse that a tradition does not have, in a `VerseMapping`."""

_SCHEMES = {"hebrew": "org", "greek": "lxx", "latin": "vulgata"}
# versiref gives the Greek forms of Esther and Daniel codes of their own.
_GREEK_BOOKS = {"ESG": 17, "DAG": 27}
_EZRA, _NEHEMIAH, _FIRST_OF_NEHEMIAH = 15, 16, 11


def _row(english: int, *numbers: int, count: int = 1) -> dict[int, tuple[int, ...]]:
    return {english + i: tuple(number + i for number in numbers) for i in range(count)}


# TVTMS, table "English KJV / Greek (NA/UBS)"; the Clementine Vulgate divides here as the Greek does.
_NEW_TESTAMENT = {
    **_row(44_019_041, 44_019_040),
    **_row(47_013_013, 47_013_012),
    **_row(47_013_014, 47_013_013),
    **_row(50_001_016, 50_001_017),
    **_row(50_001_017, 50_001_016),
    **_row(66_013_001, 66_012_018, 66_013_001),
}
_CORRECTIONS: dict[str, dict[int, tuple[int, ...]]] = {
    "hebrew": {
        # TVTMS, table "English / Hebrew MT".
        **_row(4_026_001, 4_025_019, 4_026_001),
        **_row(9_020_042, 9_020_042, 9_021_001),
        **_row(23_064_001, 23_063_019),
        # The verse of the horses is not in the Leningrad codex, whose 7:68 is that of the camels (English 7:69).
        **_row(16_007_068),
    },
    "greek": {
        **_NEW_TESTAMENT,
        **_row(64_001_014, 64_001_014, 64_001_015),
        **_row(9_020_042, 9_020_042, 9_021_001),
        **_row(23_064_001, 23_063_019),
        **_row(24_025_013, 24_025_013, 24_032_013),
        # The two chapters stand in the other order; versiref has one of the two ways only.
        **_row(11_021_001, 11_020_001, count=29),
    },
    "latin": {
        **_NEW_TESTAMENT,
        **_row(16_007_067, 16_007_067),
        **_row(16_007_068, 16_007_068),
        **_row(19_044_021, 19_043_022),
        **_row(23_008_022, 23_008_022),
        **_row(23_063_019, 23_063_019),
        **_row(23_064_001, 23_064_001),
        # versiref divides Jonah after 1:16, as the Vulgate does, and maps it as if after 1:17.
        **_row(32_001_017, 32_002_001),
        **_row(32_002_001, 32_002_002, count=10),
    },
}


class Versification:
    """The verses of other traditions by those of the English one, and back.

    A verse comes with a part: empty where the two verses are the whole of each other, else a letter, `a`, `b`, … in
    order, that tells which part it is of the longer of the two. The English title of Psalm 23 is the part `a` of the
    Hebrew 23:1; the Hebrew 51:1 is the part `a` of the English title of Psalm 51.
    """

    def __init__(self, mappings: Iterable[VerseMapping]):
        """Take the verses that differ; all others are numbered alike."""
        self._to: dict[tuple[str, int], dict[int, list[str]]] = defaultdict(dict)
        self._from: dict[tuple[str, int], dict[int, list[str]]] = defaultdict(dict)
        for row in mappings:
            self._to[row.tradition, row.verse].setdefault(row.number, []).append(row.part)
            self._from[row.tradition, row.number].setdefault(row.verse, []).append(row.part)

    def to(self, tradition: str, verse: int) -> tuple[tuple[int, str], ...]:
        """Where a tradition has an English verse; nothing where it has not.

        Args:
            tradition: One of `TRADITIONS`.
            verse: BBCCCVVV.

        Returns:
            Number and part of each.

        Raises:
            ConfigError: There is no such tradition or verse.
        """
        _check(tradition)
        if not _exists(verse):
            raise ConfigError(f"there is no verse {verse} in the English numbering (BBCCCVVV, Genesis 5:6 is 1005006)")
        if (tradition, verse) not in self._to:
            return ((verse, ""),)
        return _in_order({n: parts for n, parts in self._to[tradition, verse].items() if n != ABSENT})

    def from_(self, tradition: str, number: int) -> tuple[tuple[int, str], ...]:
        """What the English numbering calls a verse of a tradition; nothing where English Bibles have none.

        Args:
            tradition: One of `TRADITIONS`.
            number: BBCCCVVV there.

        Returns:
            English verse and part of each.

        Raises:
            ConfigError: There is no such tradition.
        """
        _check(tradition)
        found = dict(self._from.get((tradition, number), {}))
        if (tradition, number) not in self._to and _exists(number):
            found[number] = [""]
        return _in_order(found)


def versification(mappings: Iterable[VerseMapping] = ()) -> Versification:
    """From TVTMS's mappings if there are any, else from `versiref`."""
    rows = tuple(mappings)
    return Versification(rows) if rows else _from_versiref()


def versiref_mappings(tradition: str) -> Iterator[VerseMapping]:
    """The verses that a tradition numbers otherwise or has not (`ABSENT`), from `versiref`."""
    numbers: dict[int, list[int]] = defaultdict(list)
    verses: dict[int, list[int]] = defaultdict(list)
    for number, verse in sorted(_links(tradition)):
        numbers[verse].append(number)
        verses[number].append(verse)
    for verse in _english():
        if not numbers[verse]:
            yield VerseMapping(tradition, ABSENT, "", verse, "Absent")
        for number in numbers[verse]:
            part = _letter(verses[number], verse) or _letter(numbers[verse], number)
            if part or number != verse:
                yield VerseMapping(tradition, number, part, verse, "Renumber")


@lru_cache(maxsize=1)
def _from_versiref() -> Versification:
    return Versification(row for tradition in TRADITIONS for row in versiref_mappings(tradition))


def _check(tradition: str) -> None:
    if tradition not in TRADITIONS:
        raise ConfigError(f'there is no tradition "{tradition}"; there are {", ".join(TRADITIONS)}')


def _exists(verse: int) -> bool:
    try:
        return Reference.from_id(verse).exists
    except ValueError:
        return False


def _in_order(found: dict[int, list[str]]) -> tuple[tuple[int, str], ...]:
    """Each with its parts; that of the whole says no more where there are letters."""
    return tuple((number, part) for number in sorted(found) for part in sorted({*found[number]} - {""}) or [""])


def _letter(row: list[int], one: int) -> str:
    return chr(ord("a") + row.index(one)) if len(row) > 1 else ""


def _english() -> Iterator[int]:
    for book in BOOKS:
        for chapter, count in enumerate(book.verses, start=1):
            for verse in range(TITLE, count + 1):
                reference = Reference(book.number, chapter, verse)
                if reference.exists:
                    yield reference.id


def _links(tradition: str) -> set[tuple[int, int]]:
    """Each number of a tradition with each English verse that it holds some of.

    versiref maps verse by verse without parts. Where several verses meet in one, one direction alone forgets all but
    one of them, so both are asked.
    """
    from versiref.versification import Versification as Scheme

    english, other = Scheme.named("eng"), Scheme.named(_SCHEMES[tradition])
    last = sum(book.testament == "old" for book in BOOKS) if tradition == "hebrew" else len(BOOKS)
    codes = list(english.max_verses)
    here = dict(zip(codes, range(1, last + 1), strict=False))
    there = {**here, **_GREEK_BOOKS} if tradition == "greek" else here

    back: dict[int, set[int]] = defaultdict(set)
    for code in there.keys() & other.max_verses.keys():
        for chapter, count in enumerate(other.max_verses[code], start=1):
            for verse in range(1, count + 1):
                if not other.is_excluded(code, chapter, verse):
                    found = _mapped(other, english, (code, chapter, verse), here)
                    back[_number(there[code], chapter, verse)] |= {v for v in found if _exists(v)}
    forth: dict[int, set[int]] = {}
    for verse in _english():
        book, chapter, number = verse // 1_000_000, verse // 1000 % 1000, verse % 1000
        if book <= last:
            found = _mapped(english, other, (codes[book - 1], chapter, number), there)
            # A title that versiref leaves unmapped is the beginning of the verse 1.
            forth[verse] = {n + 1 if n % 1000 == TITLE else n for n in found}
        else:
            forth[verse] = {verse}
    corrected = _CORRECTIONS[tradition]
    links = {(number, verse) for verse, numbers in forth.items() for number in numbers if _fits(number, verse, back)}
    links |= {(number, verse) for number, verses in back.items() for verse in verses if _fits(verse, number, forth)}
    links = {(number, verse) for number, verse in links if verse not in corrected}
    return links | {(number, verse) for verse, numbers in corrected.items() for number in numbers}


def _fits(found: int, asked: int, other_way: dict[int, set[int]]) -> bool:
    """Whether what one direction found can be, by the other one.

    What versiref leaves unmapped keeps its number, even if something of another chapter has that already: then it is
    not there. With something of the same chapter it shares the verse.
    """
    held = other_way.get(found)
    return found != asked or not held or any(one // 1000 == asked // 1000 for one in held)


def _mapped(scheme: "Scheme", target: "Scheme", place: tuple[str, int, int], books: dict[str, int]) -> list[int]:
    """The numbers that one verse has in another scheme, in books that both have."""
    first, end = scheme.map_verse(*place, target), scheme.map_verse(*place, target, end=True)
    if first is None or end is None or first[0] not in books:
        return []
    book = books[first[0]]
    if first[1] == end[1]:
        return [_number(book, first[1], verse) for verse in range(first[2], end[2] + 1)]
    return [_number(book, *first[1:3]), _number(book, *end[1:3])]


def _number(book: int, chapter: int, verse: int) -> int:
    if book == _EZRA and chapter >= _FIRST_OF_NEHEMIAH:
        book, chapter = _NEHEMIAH, chapter - _FIRST_OF_NEHEMIAH + 1
    return Reference(book, chapter, verse).id
