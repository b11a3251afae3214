"""The leaderboard as the page shows it."""

import threading
import time
from datetime import UTC, datetime

from bibleqa.errors import ConfigError
from bibleqa.results import leaderboard
from bibleqa.results.leaderboard import Entry
from bibleqa.serve.messages import Run
from bibleqa.serve.problems import Problem

_FRESH_SECONDS = 10


class Board:
    """The finished runs; read at most so often, since every folder is looked at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._until = 0.0

    def runs(self) -> list[Run]:
        """The rows of all tables, the table with most runs first.

        Raises:
            Problem: A run folder is damaged.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    tables = leaderboard.of_project().standings
                except ConfigError as error:
                    raise Problem(500, "damaged_run", str(error)) from None
                self._runs = [_row(entry) for table in tables for entry in table.entries]
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._runs


def _row(entry: Entry) -> Run:
    run, optimized = entry.run, entry.run.summary["optimized"]
    groups = ("endpoint", "program", "optimizer", "metric", "dataset")
    ended = (run.path / "summary.json").stat().st_mtime
    return Run(
        place=entry.rank,
        **{key: optimized[key] for key in ("score", "ci95", "n")},
        **{group: run.config[group]["name"] for group in groups},
        date=datetime.fromtimestamp(ended, UTC),
        fingerprint=run.fingerprint,
    )
