"""Whose turn it is: one at a time, among all threads and processes that share a file.

A `FileLock` for each question would take as long as all else that is done for it. Here is one file that stays open,
and each turn is a byte of it that is locked, be it there or not; the system frees those of a process that has ended.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBERS = 2**28
_AGAIN = 0.05
"""Seconds until another process is asked again. To wait for it in the system would be taken for a deadlock there, where
two processes wait for each other in different threads."""


class Turns:
    """The turns of one file."""

    def __init__(self, path: Path):
        """Open the file, and make it if it is not there."""
        self._file = path.open("ab")
        self._taken: set[int] = set()
        self._changed = threading.Condition()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Be the only one inside with that key, a hexadecimal number; others wait."""
        number = int(key, 16) % _NUMBERS
        with self._alone_here(number):
            while not self._locked(number):
                time.sleep(_AGAIN)
            try:
                yield
            finally:
                _unlock(self._file.fileno(), number)

    @contextmanager
    def _alone_here(self, number: int) -> Iterator[None]:
        """Be the only thread of this process: to the system, all of them are one."""
        with self._changed:
            while number in self._taken:
                self._changed.wait()
            self._taken.add(number)
        try:
            yield
        finally:
            with self._changed:
                self._taken.remove(number)
                self._changed.notify_all()

    def _locked(self, number: int) -> bool:
        try:
            _lock(self._file.fileno(), number)
        except (BlockingIOError, PermissionError):  # another process has it
            return False
        return True


if sys.platform == "win32":
    import msvcrt
    import os

    _position = threading.Lock()
    """A file has one for all threads."""

    def _lock(file: int, number: int) -> None:
        with _position:
            os.lseek(file, number, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int, number: int) -> None:
        with _position:
            os.lseek(file, number, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int, number: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)

    def _unlock(file: int, number: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, number)
