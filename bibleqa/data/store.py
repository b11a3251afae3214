"""The corpus store: every source in one SQLite file, built whole beside the old one and then put in its place."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibleqa import runs
from bibleqa.data.corpora.records import LexiconEntry, ProperName, Reading, Reject, VerseMapping, VerseText, Word

STORE_VERSION = 2
"""Goes up when the tables or what the readers give change, so that stores on disk are built again."""

_TABLES = """
CREATE TABLE source (name TEXT PRIMARY KEY, digest TEXT NOT NULL, rows INTEGER NOT NULL, rejects INTEGER NOT NULL);
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE reject (source TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE verse (id INTEGER NOT NULL, translation TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (translation, id));
CREATE TABLE word (
    source TEXT NOT NULL, verse INTEGER NOT NULL, position INTEGER NOT NULL, text TEXT NOT NULL, strongs TEXT NOT NULL,
    suffix TEXT NOT NULL, lemma TEXT NOT NULL, transliteration TEXT NOT NULL, morphology TEXT NOT NULL,
    gloss TEXT NOT NULL, affixes TEXT NOT NULL, note TEXT NOT NULL
);
CREATE TABLE lexicon (
    source TEXT NOT NULL, strongs TEXT NOT NULL, suffix TEXT NOT NULL, lemma TEXT NOT NULL,
    transliteration TEXT NOT NULL, gloss TEXT NOT NULL, definition TEXT NOT NULL, kjv TEXT NOT NULL,
    morphology TEXT NOT NULL
);
CREATE TABLE mapping (
    tradition TEXT NOT NULL, number INTEGER NOT NULL, part TEXT NOT NULL, verse INTEGER NOT NULL, action TEXT NOT NULL
);
CREATE TABLE name (
    kind TEXT NOT NULL, name TEXT NOT NULL, "unique" TEXT NOT NULL, strongs TEXT NOT NULL, description TEXT NOT NULL,
    relations TEXT NOT NULL, verses TEXT NOT NULL
);
"""

# Made when the rows are in: faster, and the file comes out the same.
_INDEXES = """
CREATE INDEX word_by_verse ON word (source, verse, position);
CREATE INDEX word_by_number ON word (strongs, source);
CREATE INDEX lexicon_by_number ON lexicon (strongs, source);
CREATE INDEX name_by_name ON name (name);
CREATE VIRTUAL TABLE verse_text USING fts5 (text, content='verse', content_rowid='rowid', tokenize='porter unicode61');
INSERT INTO verse_text (verse_text) VALUES ('rebuild');
ANALYZE;
"""

Record = VerseText | Word | LexiconEntry | VerseMapping | ProperName

_TABLE_OF: dict[type, str] = {
    VerseText: "verse (translation, id, text)",
    Word: "word",
    LexiconEntry: "lexicon",
    VerseMapping: "mapping",
    ProperName: "name",
}
_BATCH = 5_000


@dataclass(frozen=True)
class Source:
    """A source that goes into the store.

    Attributes:
        name: Unique, for instance `sword/kjv`.
        digest: Changes whenever what it gives changes.
        read: Gives its records; what it cannot read it notes in the `Reading`.
        path: The file or folder it reads, for messages.
    """

    name: str
    digest: str
    read: Callable[[Reading], Iterable[Record]]
    path: Path


@dataclass(frozen=True)
class Report:
    """What the building of one source came to."""

    name: str
    records: int
    rejects: list[Reject]


def is_current(path: Path, sources: Iterable[Source]) -> bool:
    """Whether the store holds exactly these sources as they are now."""
    if not path.is_file():
        return False
    try:
        with closing(_open(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            held = dict(connection.execute("SELECT name, digest FROM source"))
    except sqlite3.DatabaseError:
        return False  # half a file, or another one: built again
    return version == STORE_VERSION and held == {source.name: source.digest for source in sources}


def remembered(path: Path, key: str) -> str | None:
    """A setting that the store was built with, or None."""
    if not path.is_file():
        return None
    try:
        with closing(_open(path)) as connection:
            row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row and str(row[0])


def build(
    path: Path, sources: Iterable[Source], most_rejects: float, settings: Mapping[str, str] | None = None
) -> Iterator[Report]:
    """Build the store from all sources, one after the other; it takes the place of the old one at the end.

    Args:
        path: Where the store shall be.
        sources: What goes in.
        most_rejects: Share of a file's rows that may be unreadable, 0 to 1.
        settings: What the next build shall remember.

    Raises:
        ConfigError: A source has more; the old store stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
            for source in sources:
                yield _fill(connection, source, most_rejects)
            connection.executemany("INSERT INTO setting VALUES (?, ?)", (settings or {}).items())
            connection.commit()
            connection.executescript(_INDEXES + f"PRAGMA user_version = {STORE_VERSION};")
            connection.commit()
        runs.put_in_place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _fill(connection: sqlite3.Connection, source: Source, most_rejects: float) -> Report:
    reading = Reading(source.path)
    records = 0
    batch: list[Record] = []
    for record in source.read(reading):
        batch.append(record)
        if len(batch) == _BATCH:
            records += _insert(connection, batch)
            batch = []
    records += _insert(connection, batch)
    reading.check(most_rejects)
    connection.executemany(
        "INSERT INTO reject VALUES (?, ?, ?, ?)", [(source.name, r.file, r.line, r.reason) for r in reading.rejects]
    )
    connection.execute(
        "INSERT INTO source VALUES (?, ?, ?, ?)", (source.name, source.digest, reading.rows, len(reading.rejects))
    )
    connection.commit()
    return Report(source.name, records, reading.rejects)


def _insert(connection: sqlite3.Connection, batch: list[Record]) -> int:
    by_type: dict[type, list[tuple[Any, ...]]] = {}
    for record in batch:
        by_type.setdefault(type(record), []).append(_row(record))
    for kind, rows in by_type.items():
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {_TABLE_OF[kind]} VALUES ({marks})", rows)
    return len(batch)


def _row(record: Record) -> tuple[Any, ...]:
    """A record as a row: its fields in order, lists as JSON."""
    return tuple([_as_json(v) if isinstance(v, tuple) else v for v in vars(record).values()])


_as_json = json.JSONEncoder(ensure_ascii=False).encode


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
