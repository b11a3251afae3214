"""Full-text search over the verses: SQLite's FTS5 and its BM25, in an index file of its own."""

import hashlib
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import cast

from filelock import FileLock

from bibleqa import paths, runs
from bibleqa.data.corpora import english
from bibleqa.data.kjv import Bible, Verse, kjv

_VERSION = 1
"""Goes up with every change that changes what is in the index."""
_COLUMNS = {"text": 1.0, "modern": 1.0, "around": 0.2, "modern_around": 0.2}
"""What a word counts in the verse, in its modern wording, and in the verses beside it, in both wordings; chosen by the
questions of benchmarks/retrieval_tuning.tsv and by generated ones of val."""
_PHRASES = 0.5
"""What a phrase counts against its words; chosen by the same."""
_APART = 2
"""So many stop words may stand within a phrase: "son of Joash", "sent to the house"."""
_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
# What a question is made of whatever it is about. FTS5 weighs rare words more, but for these a BM25 over single verses
# still prefers "who" in a short one.
_STOP = frozenset(
    """
    a an and are as at be by did do does for from had has hath have he her him his how i in into is it its me my of on
    one or our shall she so that thee the their them there these they this those thou thy to unto upon us was we were
    what when where which while who whom whose why will with ye you your
    """.split()
)


class FullText:
    """Verses by the words and phrases that they share with a question, rare ones first.

    Words alone do not tell "the son of Joash" from "Joash the son of"; that neighbours in a question be neighbours in
    what is found, and count less than their words, is the sequential dependence of Metzler and Croft (SIGIR 2005).
    """

    name = "fts"

    def __init__(self) -> None:
        self._opened = threading.local()

    def scores(self, text: str, depth: int) -> dict[int, float]:
        """The ids of the best verses with their BM25, more for a better one."""
        words = _WORD.findall(_POSSESSIVE.sub("", text.casefold()))
        telling = [word for word in words if word not in _STOP] or words
        return dict(self._index.execute(_SEARCH, (_any(telling), _any(_phrases(words)), depth)).fetchall())

    @property
    def _index(self) -> sqlite3.Connection:
        """A connection of this thread's own: on one, searches would wait for each other."""
        if not hasattr(self._opened, "index"):
            self._opened.index = self._open()
        return cast(sqlite3.Connection, self._opened.index)

    def _open(self) -> sqlite3.Connection:
        path = _place()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    _build(path)
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)

    def __deepcopy__(self, memo: object) -> "FullText":
        return self


_RANK = f"-bm25(verse, {', '.join(map(str, _COLUMNS.values()))})"
_SEARCH = f"""
    SELECT rowid, sum(score) AS total FROM (
        SELECT rowid, {_RANK} AS score FROM verse WHERE verse MATCH ?
        UNION ALL SELECT rowid, {_PHRASES} * {_RANK} FROM verse WHERE verse MATCH ?
    ) GROUP BY rowid ORDER BY total DESC, rowid LIMIT ?
"""


def _phrases(words: Sequence[str]) -> Iterator[str]:
    """Each two telling words that stand together, with the stop words between them."""
    telling = [place for place, word in enumerate(words) if word not in _STOP]
    for first, last in pairwise(telling):
        if last - first - 1 <= _APART:
            yield " ".join(words[first : last + 1])


def _any(wanted: Iterable[str]) -> str:
    """Any of these, in FTS5's grammar: quoted, so that none is an operator."""
    return " OR ".join(f'"{one}"' for one in dict.fromkeys(wanted)) or '""'


def _place() -> Path:
    """Where the index is of just these texts."""
    made_from = f"{_VERSION} {english.digest('KJV')} {english.digest('WEB')}"
    return paths.project() / "data" / "retrieval" / f"fts-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}.sqlite"


def _build(path: Path) -> None:
    """Write the index: of each verse the King James text, that of the World English Bible, and the verses beside it.

    People ask in today's words: "spoke" finds "spake" by the modern text, which stands for the same verse.
    """
    bible = kjv()
    modern = {verse.verse: verse.text for verse in english.verses("WEB")}
    with runs.replacing(path) as draft:
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute(
                f"CREATE VIRTUAL TABLE verse USING fts5 ({', '.join(_COLUMNS)}, content='', "
                "tokenize='porter unicode61 remove_diacritics 2')"
            )
            connection.executemany(
                f"INSERT INTO verse (rowid, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?)",
                ((v.id, v.text, modern.get(v.id, ""), *_around(bible, modern, v)) for v in bible.verses),
            )
            connection.commit()


def _around(bible: Bible, modern: dict[int, str], verse: Verse) -> tuple[str, str]:
    beside = [v for v in bible.neighbours(verse, 1, 1) if v != verse]
    return " ".join(v.text for v in beside), " ".join(modern.get(v.id, "") for v in beside)
