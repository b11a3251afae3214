"""The Hebrew Old Testament word by word: STEPBible's TAHOT.

Twelve columns; the references are English, with the Hebrew numbering in round brackets where it differs, and the
titles of psalms are verse 0. Described at the head of the files; how `H9xxx`, `//` and Qere without text look was
seen in the data.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

from bibleqa.data.corpora.records import Reading, VerseMapping, Word
from bibleqa.data.corpora.stepbible import HebrewTags, WordReference, check_columns, word_rows

HEADER = (
    "Eng (Heb) Ref & Type",
    "Hebrew",
    "Transliteration",
    "Translation",
    "dStrongs",
    "Grammar",
    "Meaning Variants",
    "Spelling Variants",
    "Root dStrong+Instance",
    "Alternative Strongs+Instance",
    "Conjoin word",
    "Expanded Strong tags",
)
_LETTER = re.compile(r"[\u05d0-\u05ea]")
_PARAGRAPH_MARKS = ("פ", "ס")


def words(path: Path, reading: Reading) -> Iterator[Word]:
    """The words of one file in order.

    The gloss keeps the source's brackets: `<the>` is in the Hebrew but not in a translation, `[is]` the other way
    round. `note` has the type of the text unless it is plain Leningrad (`L`), with the variant where there is one
    that changes the meaning. Two words written as one come as two, at the same position. A word that is written but
    not read (Qere without text, as in Ruth 3:12) is a data row but gives no word.

    Raises:
        ConfigError: The file is of another version of the format, or not UTF-8.
    """
    positions: Counter[int] = Counter()
    for line, cells in word_rows(path, HEADER):
        found: list[Word] = []
        with reading.row(line):
            check_columns(cells, len(HEADER))
            reference = WordReference.parse(cells[0])
            text = _text(cells[1])
            if text or cells[4].strip("/"):
                # The source's own numbers leave room for extra words (#0501), so the place is counted.
                found = _words(reference, positions[reference.verse] + 1, text, cells)
                positions[reference.verse] += 1
        yield from found


def numbering(path: Path, reading: Reading) -> Iterator[VerseMapping]:
    """The verses that the Hebrew Bible numbers otherwise, by the brackets of the references.

    A Hebrew verse that falls into several English ones comes in parts `a`, `b`, …, the part with the same number
    included. Takes a `Reading` of its own, as every row counts again.

    Raises:
        ConfigError: The file is of another version of the format, or not UTF-8.
    """
    english: dict[int, list[int]] = {}
    for line, cells in word_rows(path, HEADER):
        with reading.row(line):
            check_columns(cells, len(HEADER))
            reference = WordReference.parse(cells[0])
            verses = english.setdefault(reference.round or reference.verse, [])
            if reference.verse not in verses:
                verses.append(reference.verse)
    for hebrew, verses in english.items():
        if verses != [hebrew]:
            for part, verse in zip(ascii_lowercase, verses, strict=False):
                yield VerseMapping("hebrew", hebrew, part if len(verses) > 1 else "", verse, "Renumber")


def _words(reference: WordReference, position: int, text: str, cells: list[str]) -> list[Word]:
    if not text:
        raise ValueError("Strong's numbers without a Hebrew word")
    tags = HebrewTags.parse(cells[4])
    variant = f": {cells[6]}" if cells[6] else ""
    note = f"{reference.type}{variant}" if variant or reference.type != "L" else ""
    return [
        Word(
            source="tahot",
            verse=reference.verse,
            position=position,
            text=text,
            strongs=strongs.number if strongs else "",
            suffix=strongs.suffix if strongs else "",
            transliteration=" ".join(cells[2].replace("/", "").split()),
            morphology=cells[5],
            gloss=" ".join(cells[3].replace("/", " ").split()),
            affixes=tags.affixes,
            note=note,
        )
        for strongs in tags.lexemes or (None,)
    ]


def _text(hebrew: str) -> str:
    r"""The word as it is written, without the `/` between morphemes and the punctuation after `\`.

    An empty morpheme is the space between two words (`בָּ֣א//גָ֑ד`). Kedorlaomer has its maqqef after a `\` in the
    middle (`כְּדָרְ\־לָעֹ֔מֶר`), so that what has letters stays, but for the paragraph marks.
    """
    first, *rest = hebrew.split("\\")
    kept = [part for part in rest if _LETTER.search(part) and part.strip() not in _PARAGRAPH_MARKS]
    morphemes = "".join([first, *kept]).split("/")
    joined = "".join(morpheme if morpheme.strip() else " " for morpheme in morphemes)
    return " ".join(joined.split())
