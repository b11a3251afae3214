"""How many answers are under way at once, and how many may wait for their turn."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

_LONGEST_PAUSE = 60
_WEIGHT = 0.1
"""Of the latest answer in the mean of the seconds that answers take."""


class Busy(Exception):
    """There is no place left.

    Attributes:
        retry_after: Seconds after which there may be one.
    """

    def __init__(self, retry_after: int):
        super().__init__(f"too many questions at once; ask again in {retry_after} s")
        self.retry_after = retry_after


class Admission:
    """Threads that answer, and the queue before them."""

    def __init__(self, at_once: int, waiting: int, longest_wait: float):
        """Open.

        Args:
            at_once: Answers under way at the most.
            waiting: Questions in the queue at the most.
            longest_wait: Seconds; nobody is let in who would have to wait longer.
        """
        self.at_once = at_once
        self._most_waiting = waiting
        self._longest_wait = longest_wait
        self._pool = ThreadPoolExecutor(at_once, "answer")
        self._lock = threading.Lock()
        self._inside = 0
        self._under_way = 0
        self._seconds = 0.0

    @property
    def under_way(self) -> int:
        """Answers that are being made."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        return max(0, self._inside - self._under_way)

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Have something done in a thread; whoever cancels it while it waits gives his place to the next.

        Raises:
            Busy: There is no place left.
        """
        with self._lock:
            ahead = self._inside - self.at_once + 1
            expected = self._seconds * max(0, ahead) / self.at_once
            if ahead > self._most_waiting or expected > self._longest_wait:
                raise Busy(min(_LONGEST_PAUSE, max(1, math.ceil(expected / 2))))
            self._inside += 1
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._leave)
        return future

    def close(self) -> None:
        """Let nobody in any more; what is under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Callable[[], T]) -> T:
        with self._lock:
            self._under_way += 1
        begun = monotonic()
        try:
            return work()
        finally:
            seconds = monotonic() - begun
            with self._lock:
                self._under_way -= 1
                self._seconds = self._seconds + _WEIGHT * (seconds - self._seconds) if self._seconds else seconds

    def _leave(self, _: "Future[T]") -> None:
        with self._lock:
            self._inside -= 1
