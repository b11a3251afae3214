"""What the readers of corpora give, whatever the source: verses, words, lexicon entries, mappings, names, rejects.

A verse is known by one number, BBCCCVVV: book 1 to 66, chapter, verse, in the English numbering of the King James
Version. Verse 0 is the title of a psalm.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bibleqa.errors import ConfigError


@dataclass(frozen=True)
class Strongs:
    """A Strong's number: `H0430G` is `H430` with the suffix `G`, kept apart."""

    number: str
    suffix: str = ""

    _FORM = re.compile(r"^([HG])0*(\d{1,5})([A-Za-z]?)$")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a number in any padding.

        Raises:
            ValueError: It is none.
        """
        match = cls._FORM.match(text.strip())
        if not match or int(match[2]) == 0:
            raise ValueError(f"{text!r} is not a Strong's number")
        return cls(f"{match[1]}{int(match[2])}", match[3])

    @property
    def is_lexeme(self) -> bool:
        """Whether it names a word; H9xxx are STEPBible's codes of prefixes, suffixes and punctuation."""
        return not (self.number[0] == "H" and int(self.number[1:]) >= 9000)

    def __str__(self) -> str:
        return self.number + self.suffix


@dataclass(frozen=True)
class VerseText:
    """A verse in one translation."""

    translation: str
    """`KJV`, `WEB`, `ASV`."""
    verse: int
    text: str


@dataclass(frozen=True)
class Word:
    """A word, or in a translation a group of words, with what stands behind it in the original.

    Attributes:
        source: `kjv`, `tahot`, `tagnt`.
        verse: BBCCCVVV.
        position: Place in the verse, from 1; several original words behind one English group share it.
        text: As the source has it: English in `kjv`, else Hebrew or Greek.
        strongs: The lexical number; empty where the source gives none.
        suffix: Its letter, where there is one.
        lemma: Dictionary form, where the source gives it.
        transliteration: Where the source gives it.
        morphology: The source's code.
        gloss: What it means here, in English.
        affixes: Numbers of prefixes and suffixes (H9xxx), in order.
        note: Variant reading or edition, in the source's own form.
    """

    source: str
    verse: int
    position: int
    text: str
    strongs: str = ""
    suffix: str = ""
    lemma: str = ""
    transliteration: str = ""
    morphology: str = ""
    gloss: str = ""
    affixes: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LexiconEntry:
    """A word of a dictionary.

    Attributes:
        source: `strongs`, `tbesh`, `tbesg`.
        strongs: Number, unpadded.
        suffix: Letter of a sense or homonym.
        lemma: In Hebrew or Greek letters.
        transliteration: In Latin letters.
        gloss: The shortest meaning, one or two words.
        definition: What the dictionary says, as plain text.
        kjv: How the King James Version renders it, where the dictionary says so.
        morphology: Part of speech, in the source's own code.
    """

    source: str
    strongs: str
    suffix: str
    lemma: str
    transliteration: str
    gloss: str
    definition: str
    kjv: str = ""
    morphology: str = ""


@dataclass(frozen=True)
class VerseMapping:
    """A verse that another tradition numbers otherwise.

    Attributes:
        tradition: `hebrew`, `greek`, `latin`.
        number: BBCCCVVV there.
        part: `a`, `b`, … where only a part of the verse is meant.
        verse: BBCCCVVV in English numbering.
        action: The source's word for it (`Renumber`, `MovedFrom`, …).
    """

    tradition: str
    number: int
    part: str
    verse: int
    action: str = ""


@dataclass(frozen=True)
class ProperName:
    """A person or a place, one row for each individual, not for each spelling.

    Attributes:
        kind: `person`, `place`, `other`.
        name: As the KJV or else the source spells it.
        unique: The source's unique key (`Aaron@Exo.4.14`).
        strongs: Numbers of its Hebrew and Greek forms.
        description: One line of the source's own, plain text.
        relations: `father`, `mother`, `spouse`, `child`, `sibling`, … each to unique keys.
        verses: BBCCCVVV of where it stands.
    """

    kind: str
    name: str
    unique: str
    strongs: tuple[str, ...] = ()
    description: str = ""
    relations: tuple[tuple[str, str], ...] = ()
    verses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reject:
    """A line that could not be read."""

    file: str
    line: int
    reason: str


@dataclass
class Reading:
    """What one file gave so far: data rows seen, and those that could not be read. Nothing is dropped silently."""

    path: Path
    rows: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @contextmanager
    def row(self, line: int) -> Iterator[None]:
        """Read one data row inside: a ValueError rejects it, and the reading goes on."""
        self.rows += 1
        try:
            yield
        except ValueError as error:
            self.rejects.append(Reject(self.path.name, line, str(error)))

    def check(self, most: float) -> None:
        """Refuse a file with too many rejects, or with nothing in it.

        Args:
            most: Share of the rows that may be rejected, 0 to 1.

        Raises:
            ConfigError: There are more; the message names file, line and reason of the first.
        """
        if not self.rows:
            raise ConfigError(f"{self.path}: no data rows; it is truncated, or of another format")
        if len(self.rejects) > most * self.rows:
            first = self.rejects[0]
            raise ConfigError(
                f"{self.path}:{first.line}: {first.reason} ({len(self.rejects)} of {self.rows} rows cannot be read, "
                f"{most:.1%} are allowed)"
            )
