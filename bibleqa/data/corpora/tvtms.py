"""How traditions number the verses: the expanded part of STEPBible's TVTMS, nine columns a verse.

A row says which verse of the King James Version (StandardRef, so since March 2025) a verse of a tradition (SourceRef)
is, if the tests of the last column hold for the Bible at hand. There is no Bible at hand here, only its tradition.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bibleqa.data.corpora.records import Reading, VerseMapping
from bibleqa.data.corpora.stepbible import check_columns, check_header, lines, split, verse_id
from bibleqa.errors import ConfigError

START, END = "#DataStart(Expanded)", "#DataEnd(Expanded)"
# The three columns of notes are named otherwise in each edition.
HEADER = ("SourceType", "SourceRef", "StandardRef", "Action", "NoteMarker")
_COLUMNS = 9
_STANDARD = "eng-kjv"
_FAMILIES = ("eng", "hebrew", "greek", "grk", "latin")
# Books outside of the 66, by the codes of the Unified Standard Format Markers.
_OTHER_BOOKS = (
    "tob jdt esg ade wis sir bar lje s3y sus bel 1ma 2ma 3ma 4ma 1es 2es man ps2 ps3 oda pss eza 5ez 6ez dag lao 2ba "
    "4ba lba jub eno 1mq 2mq 3mq rep"
)
_PSALM_151 = ("Psa", "151")
# With nothing to tell: the verse is where it is in English.
_SAME = ("Keep", "Psalm title")
_REFERENCE = re.compile(
    r"(?:(?P<book>\w{3})\.)?(?:(?P<chapter>\d+|[A-F]):)?(?P<verse>\d+|Title)(?:!(?P<part>[0-9a-z]+))?"
    r"(?:-(?:(?P<to>\d+):)?(?P<last>\d+))?",
    re.ASCII | re.IGNORECASE,
)

_Verse = tuple[int, str]


def mappings(path: Path, reading: Reading) -> Iterator[VerseMapping]:
    """The verses whose number differs, or with which something else is done than to keep them (Merged, …).

    `tradition` is the SourceType in small letters, one mapping for each joined by `+`: `hebrew`, `greek`, `latin`,
    and for editions that go their own way `greek2`, `greekundivided`, `latin2`, `engtitlemerged`, …, which are kept
    apart because they contradict the main ones. A title is verse 0. `part` is that of the verse in the tradition; a
    part of the English verse is not told. With IfEmpty, a verse may have no text in that tradition.

    Not mapped, though counted as read: traditions of other families (Slavonic, Bulgarian), and verses outside of the
    66 books. Where several verses are several others (Concatenation of `Exo.38:9-11`), the rows that follow say
    which is which.

    Raises:
        ConfigError: The file has no expanded part or one of another version, is truncated, or is not UTF-8.
    """
    part = _expanded(path)
    header, cells = next(part, (0, []))
    if not header:
        raise ConfigError(f"{path}: nothing between {START} and {END}; it is truncated")
    check_header(path, header, cells, HEADER)
    # The source repeats some of its rows.
    seen: set[VerseMapping] = set()
    for line, cells in part:
        found: list[VerseMapping] = []
        with reading.row(line):
            check_columns(cells, _COLUMNS)
            found = [mapping for mapping in _mappings(*cells[:4]) if mapping not in seen]
        seen.update(found)
        yield from found


def _expanded(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows between the marks, the header first."""
    begun = False
    for number, line in lines(path):
        if line.startswith(START):
            begun = True
        elif line.startswith(END) and begun:
            return
        # Rules drawn in the spreadsheet begin with an apostrophe.
        elif begun and line.strip() and not line.startswith(("#", "'")):
            yield number, split(line)
    if begun:
        raise ConfigError(f"{path}: ends without {END}; it is truncated, download it again")
    raise ConfigError(f"{path}: no {START}; it is truncated, or of another version of the format")


def _mappings(kinds: str, source: str, standard: str, action: str) -> list[VerseMapping]:
    if not kinds or not action:
        raise ValueError(f"no {'action' if kinds else 'tradition'} for {source}")
    action = action.rstrip("*").strip().removesuffix(" verse")
    theirs, ours = _verses(source), _verses(standard)
    if len(theirs) > 1 and len(ours) > 1:
        return []
    pairs = [(number, part, verse) for number, part in theirs for verse in dict.fromkeys(verse for verse, _ in ours)]
    return [
        VerseMapping(tradition, number, part, verse, action)
        for tradition in _traditions(kinds)
        for number, part, verse in pairs
        if number != verse or action not in _SAME
    ]


def _traditions(kinds: str) -> list[str]:
    names = [kind.strip(" =*").lower() for kind in kinds.split("+")]
    return [name for name in names if name.startswith(_FAMILIES) and name != _STANDARD]


def _verses(text: str) -> list[_Verse]:
    """The verses of a reference with their parts: `Jos.9:2!a`, `Psa.3:Title`, `Jos.5:14-15`, `Jos.9:2; 8:30-35`."""
    verses: list[_Verse] = []
    book = chapter = ""
    for item in re.split(r"[;,]", text):
        match = _REFERENCE.fullmatch(item.strip())
        book = match["book"] or book if match else ""
        chapter = match["chapter"] or chapter if match else ""
        if not match or not book or not chapter:
            raise ValueError(f"{text!r} is not a reference (expected e.g. Jos.5:14!a)")
        # The additions to Esther have letters for chapters.
        if book.lower() in _OTHER_BOOKS.split() or not chapter.isdigit() or (book, chapter) == _PSALM_151:
            continue
        first = int(match["verse"]) if match["verse"].isdigit() else 0
        ends = (
            verse_id(book, int(chapter), first),
            verse_id(book, int(match["to"] or chapter), int(match["last"] or first)),
        )
        if ends[1] < ends[0]:
            raise ValueError(f"{text!r} ends before it begins")
        # How long the chapters between are, the tradition knows: of a range over chapters only the ends are certain.
        numbers = ends if match["to"] else range(ends[0], ends[1] + 1)
        verses += [(number, (match["part"] or "").lower()) for number in numbers]
    return verses
