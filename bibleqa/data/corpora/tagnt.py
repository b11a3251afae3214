"""The Greek New Testament word by word, with the words of all editions: STEPBible's TAGNT.

Thirteen columns, described at the head of the files. The references follow the New Revised Standard Version, with
the King James Version in square brackets where it differs, which is what counts here.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bibleqa.data.corpora.records import Reading, Word
from bibleqa.data.corpora.stepbible import WordReference, check_columns, parse_greek_tags, word_rows

HEADER = (
    "Word & Type",
    "Greek",
    "English translation",
    "dStrongs = Grammar",
    "Dictionary form =  Gloss",
    "editions",
    "Meaning variants",
    "Spelling variants",
    "Spanish translation",
    "Sub-meaning",
    "Conjoin word",
    "sStrong+Instance",
    "Alt Strongs",
)
_GREEK = re.compile(r"(?P<text>[^()]+?)\s*\((?P<transliteration>[^()]*)\)")
# Around words that not all editions have, and at the end of paragraphs.
_MARKS = str.maketrans("", "", "[]¶")


def words(path: Path, reading: Reading) -> Iterator[Word]:
    """The words of one file in order, those that only some editions have among them.

    `note` has the editions (`NA28+NA27+Tyn+SBL+WH+Treg+TR+Byz`); the words behind the King James Version are those
    with `TR`. The text keeps its punctuation. A contraction such as κἀγώ comes as one word for each number, at the
    same position; where the dictionary form is that of the contraction it is nobody's lemma.

    Raises:
        ConfigError: The file is of another version of the format, or not UTF-8.
    """
    positions: Counter[int] = Counter()
    for line, cells in word_rows(path, HEADER):
        found: list[Word] = []
        with reading.row(line):
            check_columns(cells, len(HEADER))
            reference = WordReference.parse(cells[0])
            verse = reference.square or reference.verse
            # Counted: with the King James Version's verses the source's own numbers would come twice.
            found = _words(verse, positions[verse] + 1, cells)
            positions[verse] += 1
        yield from found


def _words(verse: int, position: int, cells: list[str]) -> list[Word]:
    greek = _GREEK.fullmatch(cells[1])
    if not greek:
        raise ValueError(f"{cells[1]!r} is not a Greek word with its transliteration")
    tags = parse_greek_tags(cells[3])
    lemmas = _lemmas(cells[4])
    if len(lemmas) != len(tags):
        lemmas = [""] * len(tags)
    return [
        Word(
            source="tagnt",
            verse=verse,
            position=position,
            text=greek["text"].translate(_MARKS).strip(),
            strongs=strongs.number,
            suffix=strongs.suffix,
            lemma=lemma,
            transliteration=greek["transliteration"],
            morphology=grammar,
            gloss=cells[2],
            note=cells[5],
        )
        for (strongs, grammar), lemma in zip(tags, lemmas, strict=True)
    ]


def _lemmas(text: str) -> list[str]:
    """The dictionary forms of `Ἰησοῦς=Jesus/Joshua` or `μή=not + τις=one`, without their glosses."""
    lemmas = []
    for part in text.split(" + "):
        lemma, equals, _ = part.partition("=")
        if not equals or not lemma.strip():
            raise ValueError(f"{text!r} is not a dictionary form with its gloss (expected e.g. λόγος=word)")
        lemmas.append(lemma.strip())
    return lemmas
