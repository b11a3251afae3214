"""What has been written is on disk before long: one fsync for all that was added to a file in the meantime.

What a process has written outlives it, however it is killed: the system has it. Only a power failure takes what is
not on disk yet, and that is what the last `PAUSE` seconds and the fsync under way have brought: answers that are then
asked for again. To wait for the disk with each answer would take longer than many an answer.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

PAUSE = 0.1
"""Seconds between two rounds, in which further answers come together."""


class _Waiting:
    """Files that were written to since they were last synced."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None
        self._lock = threading.Lock()

    def add(self, path: Path) -> None:
        with self._lock:
            self._complain()
            self._paths.add(path)
            # Not a daemon: the process ends when all is on disk. None is alive in a process that was forked.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._rounds, name="sync")
                self._thread.start()

    def _rounds(self) -> None:
        while True:
            with self._lock:
                paths, self._paths = self._paths, set()
                if not paths:
                    self._thread = None
                    return
            for path in paths:
                try:
                    with suppress(FileNotFoundError):  # SQLite has synced and removed it, or nobody wants it any more
                        now(path)
                except OSError as error:
                    self._failure = error
            time.sleep(PAUSE)

    def _complain(self) -> None:
        failure, self._failure = self._failure, None
        if failure:
            raise failure


_waiting = _Waiting()


def soon(path: Path) -> None:
    """Have what was written to a file on disk before long; returns at once.

    Raises:
        OSError: That went wrong with what was written before, to this file or another one.
    """
    _waiting.add(path)


def now(path: Path) -> None:
    """Have the content of a file on disk, or the names in a folder: Windows does not let those be opened."""
    if os.name == "nt" and path.is_dir():
        return
    opened = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
