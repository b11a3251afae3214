"""Conversations in SQLite: a bounded number of them, each of bounded turns, bytes and age."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibleqa.data.item import Turn
from bibleqa.errors import BibleQAError

_VERSION = 1
_BUSY_SECONDS = 10
_TABLES = """
CREATE TABLE session (id TEXT PRIMARY KEY, used REAL NOT NULL, turns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX session_used ON session (used);
CREATE TABLE turn (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    number INTEGER NOT NULL,
    question TEXT NOT NULL,
    content TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (session, number)
);
"""


@dataclass(frozen=True)
class Bounds:
    """What is kept at the most.

    Attributes:
        turns: Of a session; the latest ones are kept.
        bytes: Of a session's questions and answers as JSON, in UTF-8.
        seconds: Since a session was last asked something.
        sessions: Those that were asked last are kept.
    """

    turns: int = 20
    bytes: int = 128 * 1024
    seconds: float = 7 * 24 * 3600
    sessions: int = 20_000


@dataclass(frozen=True)
class Kept:
    """A turn of a session.

    Attributes:
        number: From 1; it stays the same when earlier turns are dropped.
        question: What was asked.
        content: What was answered, as `Answered.to_dict` has it.
    """

    number: int
    question: str
    content: Mapping[str, Any]

    @property
    def turn(self) -> Turn | None:
        """As a program is told of it; None where the answer could not be read."""
        answer = self.content["answer"]
        return None if answer is None else Turn(self.question, answer)


class Sessions:
    """The sessions of a file; from any thread, and beside other processes."""

    def __init__(self, path: Path, bounds: Bounds | None = None, clock: Callable[[], float] = time.time):
        """Open the file, or begin it.

        Args:
            path: Of the file.
            bounds: What is kept at the most.
            clock: Seconds since whenever.

        Raises:
            BibleQAError: It cannot be used.
        """
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self._db = _opened(path)
        except sqlite3.Error as error:
            raise BibleQAError(f"{path}: cannot be used ({error}); move it away, a new one is made") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT COUNT(*) FROM session").fetchone()[0])

    def append(self, session: str, question: str, content: Mapping[str, Any]) -> int:
        """Keep a turn; returns its number."""
        text = json.dumps(content, ensure_ascii=False)
        size = len(question.encode()) + len(text.encode())
        now = self._clock()
        with self._lock, self._db as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM session WHERE used <= ?", (now - self._bounds.seconds,))
            ((number,),) = db.execute(
                "INSERT INTO session VALUES (?, ?, 1) "
                "ON CONFLICT DO UPDATE SET used = excluded.used, turns = turns + 1 RETURNING turns",
                (session, now),
            ).fetchall()
            db.execute("INSERT INTO turn VALUES (?, ?, ?, ?, ?)", (session, number, question, text, size))
            self._shorten(session, number)
            if number == 1:
                self._thin_out(session)
        return int(number)

    def turns(self, session: str) -> list[Kept]:
        """The turns that are kept, oldest first; none of a session that is not known."""
        query = (
            "SELECT number, question, content FROM turn JOIN session ON session.id = turn.session "
            "WHERE session.id = ? AND used > ? ORDER BY number"
        )
        with self._lock:
            rows = self._db.execute(query, (session, self._clock() - self._bounds.seconds)).fetchall()
        return [Kept(number, question, json.loads(content)) for number, question, content in rows]

    def delete(self, session: str) -> bool:
        """Forget a session; returns whether there was one."""
        with self._lock, self._db as db:
            return db.execute("DELETE FROM session WHERE id = ?", (session,)).rowcount > 0

    def _shorten(self, session: str, latest: int) -> None:
        """Keep the latest turns that are together within the bounds."""
        self._db.execute("DELETE FROM turn WHERE session = ? AND number <= ?", (session, latest - self._bounds.turns))
        self._db.execute(
            "DELETE FROM turn WHERE session = ?1 AND number IN (SELECT number FROM ("
            "SELECT number, SUM(size) OVER (ORDER BY number DESC) AS total FROM turn WHERE session = ?1"
            ") WHERE total > ?2)",
            (session, self._bounds.bytes),
        )

    def _thin_out(self, newest: str) -> None:
        """Make room for a session that has just begun."""
        ((count,),) = self._db.execute("SELECT COUNT(*) FROM session").fetchall()
        self._db.execute(
            "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE id <> ? ORDER BY used LIMIT ?)",
            (newest, max(0, count - self._bounds.sessions)),
        )


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # A conversation that the last seconds of a power cut have lost does no harm; a damaged file would.
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
        db.execute(f"PRAGMA {setting}").close()
    with closing(db.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        ((version,),) = cursor.execute("PRAGMA user_version").fetchall()
        if version == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                cursor.execute(statement)
            cursor.execute(f"PRAGMA user_version = {_VERSION}")
        cursor.execute("COMMIT")
    if version > _VERSION:
        db.close()
        raise sqlite3.DatabaseError(f"a newer version of bibleqa wrote it, version {version}")
    path.chmod(0o600)
    return db
