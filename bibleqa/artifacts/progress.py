"""How much of an artifact is there, for whoever waits for it."""

import sys
import time
from typing import TYPE_CHECKING

from bibleqa.artifacts.pinned import Artifact

if TYPE_CHECKING:
    from rich import progress

# How often progress is told where there is no terminal for a bar.
LINE_EVERY_SECONDS = 10.0


def say(text: str) -> None:
    """A line on stderr, where it mixes with no output that is read by a program."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Shows how much of an artifact is there: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, artifact: Artifact):
        self._artifact = artifact
        self._bar: progress.Progress | None = None
        self._began = self._told = 0.0
        self._had = 0

    def at(self, done: int) -> None:
        """Notes that `done` bytes are there; the first call begins the show."""
        now, size = time.monotonic(), self._artifact.size
        # A wheel is a little bigger than its piece.
        done = min(done, size)
        if not self._began:
            self._began = self._told = now
            self._had = done
            if sys.stderr.isatty():
                self._start_bar()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done)
        elif now - self._told >= LINE_EVERY_SECONDS:
            self._told = now
            # A download that starts over has less than it had.
            speed = max(done - self._had, 1) / (now - self._began)
            say(f"  {done / size:.0%}, {speed / 1e6:.1f} MB/s, {(size - done) / speed:.0f} s left")

    def stop(self) -> None:
        """Ends the show."""
        if self._bar:
            self._bar.stop()

    def _start_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        columns = (progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn())
        self._bar = progress.Progress(progress.BarColumn(), *columns, console=Console(stderr=True))
        self._bar.add_task("", total=self._artifact.size, completed=self._had)
        self._bar.start()
