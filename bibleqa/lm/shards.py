"""Files of diskcache, over one connection each for all threads of the process.

diskcache gives each thread connections of its own, one a file: with as many threads as there are questions under way,
to open them takes longer than to ask. And of 16 files, as DSPy has diskcache make, each is to be opened, written and
synced by itself, which takes longer than to wait for one.
"""

import sqlite3
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from diskcache import Cache, Disk
from diskcache.core import MODE_RAW

from bibleqa import syncing

_PUT = """
INSERT INTO Cache (key, raw, store_time, access_time, mode, value) VALUES (?, 1, ?, ?, ?, ?)
ON CONFLICT (key, raw) DO UPDATE SET
    store_time = excluded.store_time, mode = excluded.mode, value = excluded.value, filename = NULL, size = 0
"""
_EARLIER = 16
"""Files of a cache that earlier versions have made; new texts go into the first."""


class Shards:
    """Texts by key. Safe from many threads and processes.

    A text that was put outlives the process; `syncing` has it on disk. SQLite itself syncs, as it is set here, only
    where its files could be damaged by a power failure, not each time that something is put.
    """

    def __init__(self, folder: Path, disk: type[Disk]):
        """Take the files in a folder, with those of earlier versions, or make one.

        Args:
            folder: Where they are.
            disk: Reads what is no text.

        Raises:
            sqlite3.Error: One cannot be opened.
        """
        number = _EARLIER if len(list(folder.glob("[0-9][0-9][0-9]"))) > 1 else 1
        self._shards = [_Shard(folder / f"{shard:03}", disk) for shard in range(number)]

    def get(self, key: str) -> Any:
        """What was put there last, by whichever process; None when nothing was.

        Raises:
            sqlite3.Error: The file cannot be read.
            Exception: As the disk has it, of what is no text.
        """
        for shard in dict.fromkeys((self._shards[0], self._earlier(key))):
            if (found := shard.get(key)) is not None:
                return found
        return None

    def put(self, key: str, text: str) -> None:
        """Keep a text.

        Raises:
            OSError, sqlite3.Error: It is not kept, or an earlier one cannot be brought onto the disk.
        """
        self._shards[0].put(key, text)

    def close(self) -> None:
        """Let go of the files."""
        for shard in self._shards:
            shard.connection.close()

    def _earlier(self, key: str) -> "_Shard":
        return self._shards[zlib.adler32(key.encode()) % len(self._shards)]  # as diskcache


class _Shard:
    def __init__(self, folder: Path, disk: type[Disk]):
        Cache(str(folder), timeout=10, disk=disk).close()  # makes what is not there
        self._journal = folder / "cache.db-wal"
        self._disk = disk(str(folder))
        self._lock = threading.Lock()
        self.connection = sqlite3.connect(
            folder / "cache.db", timeout=10, isolation_level=None, check_same_thread=False
        )
        self.connection.execute("PRAGMA synchronous = NORMAL")

    def get(self, key: str) -> Any:
        with self._lock:
            rows = self.connection.execute("SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,))
            row = rows.fetchone()
        return row and self._disk.fetch(*row, read=False)

    def put(self, key: str, text: str) -> None:
        now = time.time()
        with self._lock:
            self.connection.execute(_PUT, (key, now, now, MODE_RAW, text))
        syncing.soon(self._journal)
