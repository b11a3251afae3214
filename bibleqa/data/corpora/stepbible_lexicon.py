"""The brief lexicons of STEPBible: TBESH (Hebrew) and TBESG (Greek), eight columns each.

An entry goes by its dStrong, the number that the tagged texts use: H2617, for one, is there only as H2617A
(kindness) and H2617B (shame). The same column goes on with how the entry belongs to another (`= in Aramaic of`).
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from bibleqa.data.corpora.records import LexiconEntry, Reading, Strongs
from bibleqa.data.corpora.stepbible import check_columns, check_header, lines, split
from bibleqa.errors import ConfigError

# The eighth is the meaning; its name tells the dictionary that it is from.
HEADERS = {
    "tbesh": ("eStrong#", "dStrong", "uStrong", "Hebrew", "Transliteration", "Morph", "Gloss"),
    "tbesg": ("eStrong", "dStrong", "uStrong", "Greek", "Transliteration", "Morph", "Gloss"),
}
_COLUMNS = 8
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def entries(path: Path, reading: Reading) -> Iterator[LexiconEntry]:
    """The entries of one file in order; which lexicon it is, its header tells.

    The definition of TBESH stays empty: that column is copyright of Online Bible, "for guidance only", and may not be
    used without permission (as the head of the file says). TBESG's is Abbott-Smith's, which may.

    Raises:
        ConfigError: The file is of another version of the format, or not UTF-8.
    """
    source = ""
    for number, line in lines(path):
        cells = split(line)
        # The preamble describes a column of this name, too, in two columns.
        if cells[0].rstrip("#") == "eStrong" and len(cells) > 3:
            source = "tbesg" if "Greek" in cells else "tbesh"
            check_header(path, number, cells, HEADERS[source])
        elif source and any(cells) and not cells[0].startswith("==="):
            found: list[LexiconEntry] = []
            with reading.row(number):
                found = [_entry(source, cells)]
            yield from found
    if not source:
        expected = " or ".join(" | ".join(header) for header in HEADERS.values())
        raise ConfigError(f"{path}: no row with the names of the columns, expected {expected}; it is truncated")


def _entry(source: str, cells: list[str]) -> LexiconEntry:
    check_columns(cells, _COLUMNS)
    strongs = Strongs.parse(cells[1].partition("=")[0].strip())
    lemma, transliteration, morphology, gloss, meaning = cells[3:_COLUMNS]
    if not lemma or not gloss:
        raise ValueError(f"{strongs} has no {'gloss' if lemma else 'lemma'}")
    return LexiconEntry(
        source=source,
        strongs=strongs.number,
        suffix=strongs.suffix,
        lemma=lemma,
        transliteration=transliteration,
        gloss=gloss,
        definition=_plain(meaning) if source == "tbesg" else "",
        morphology=morphology,
    )


def _plain(meaning: str) -> str:
    """Without markup; `__` indents the numbers of senses."""
    return " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", meaning))).replace("__", " ").split())
