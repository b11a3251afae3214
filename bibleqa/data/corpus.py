"""Reading the corpus store."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from bibleqa.data.corpora.records import LexiconEntry, ProperName, VerseMapping, Word
from bibleqa.data.kjv import Bible, kjv
from bibleqa.errors import ConfigError

_WORD = "source, verse, position, text, strongs, suffix, lemma, transliteration, morphology, gloss, affixes, note"
_ENTRY = "source, strongs, suffix, lemma, transliteration, gloss, definition, kjv, morphology"


class Corpus:
    """A corpus store, read-only."""

    def __init__(self, path: Path):
        """Open a store.

        Raises:
            ConfigError: There is none.
        """
        if not path.is_file():
            raise ConfigError(f"{path}: there is no corpus yet; build it: bibleqa data build")
        self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row

    @cached_property
    def bible(self) -> Bible:
        """The plain King James text."""
        return kjv()

    @cached_property
    def sources(self) -> dict[str, str]:
        """Names of the sources that are in the store, with their digests."""
        return {row["name"]: row["digest"] for row in self._connection.execute("SELECT * FROM source ORDER BY name")}

    def text(self, translation: str, verse: int) -> str | None:
        """A verse in a translation, or None where that leaves it out."""
        found = self._one("SELECT text FROM verse WHERE translation = ? AND id = ?", translation, verse)
        return None if found is None else str(found[0])

    def words(self, source: str, verse: int) -> list[Word]:
        """The words of a verse, in order."""
        return list(self._words("WHERE source = ? AND verse = ? ORDER BY rowid", source, verse))

    def all_words(self, source: str) -> Iterator[Word]:
        """Every word of a source, in order."""
        return self._words("WHERE source = ? ORDER BY rowid", source)

    def occurrences(self, source: str, number: str) -> list[int]:
        """The verses in which a Strong's number stands, one entry for each time it stands there, in order."""
        query = "SELECT verse FROM word WHERE strongs = ? AND source = ? ORDER BY verse, position"
        return [row[0] for row in self._connection.execute(query, (number, source))]

    def counts(self, source: str) -> Counter[str]:
        """How many times each Strong's number stands in a source."""
        query = "SELECT strongs, COUNT(*) FROM word WHERE source = ? AND strongs <> '' GROUP BY strongs"
        return Counter(dict(map(tuple, self._connection.execute(query, (source,)))))

    def entry(self, number: str, source: str = "strongs") -> LexiconEntry | None:
        """The first dictionary entry of a number, or None."""
        row = self._one(f"SELECT {_ENTRY} FROM lexicon WHERE strongs = ? AND source = ?", number, source)
        return None if row is None else LexiconEntry(**dict(row))

    def entries(self, source: str = "strongs") -> Iterator[LexiconEntry]:
        """Every entry of a dictionary, in order."""
        for row in self._connection.execute(f"SELECT {_ENTRY} FROM lexicon WHERE source = ? ORDER BY rowid", (source,)):
            yield LexiconEntry(**dict(row))

    def mappings(self) -> Iterator[VerseMapping]:
        """Every verse that another tradition numbers otherwise, as TVTMS has it; nothing where it is not there."""
        for row in self._connection.execute(
            "SELECT tradition, number, part, verse, action FROM mapping ORDER BY rowid"
        ):
            yield VerseMapping(**dict(row))

    def names(self, kind: str) -> Iterator[ProperName]:
        """Every individual of a kind: `person`, `place`, `other`."""
        query = 'SELECT kind, name, "unique", strongs, description, relations, verses FROM name WHERE kind = ?'
        for row in self._connection.execute(query, (kind,)):
            lists = {key: json.loads(row[key]) for key in ("strongs", "verses")}
            relations = tuple((relation, key) for relation, key in json.loads(row["relations"]))
            yield ProperName(**{**dict(row), **{k: tuple(v) for k, v in lists.items()}, "relations": relations})

    def _words(self, where: str, *values: Any) -> Iterator[Word]:
        for row in self._connection.execute(f"SELECT {_WORD} FROM word {where}", values):
            yield Word(**{**dict(row), "affixes": tuple(json.loads(row["affixes"]))})

    def _one(self, query: str, *values: Any) -> Any:
        return self._connection.execute(query, values).fetchone()
