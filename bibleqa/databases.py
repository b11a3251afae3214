"""SQLite files: whether one is whole, and what can be read of one that is not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

PATIENCE = 10.0
"""Seconds to wait for a file that another process is writing."""


def damage(path: Path) -> str | None:
    """What is wrong with a file, or None; every page of it is looked at. One that is only busy is not damaged."""
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError:
        return None  # locked, or no room to look
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == ["ok"] else " ".join(said)


def rows(path: Path, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """The rows of a table that can be read, up to the first that cannot."""
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(path)) as connection,
    ):
        yield from connection.execute(f"SELECT {columns} FROM {table}")
