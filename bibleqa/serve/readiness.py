"""Whether questions can be answered: loads what is served, and sees whether its endpoint is still there."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from bibleqa.errors import BibleQAError, EndpointUnusable
from bibleqa.serve.ports import Parts
from bibleqa.serve.problems import Problem

_AGAIN_SECONDS = 5
_PATIENCE = 1.0
"""Seconds that whoever wants to know waits for an endpoint; one that hangs is found out with the next question."""

_log = logging.getLogger(__name__)


class Readiness:
    """What is loaded by a thread of its own; while the endpoint does not answer, again and again.

    Once it is loaded, the endpoint is looked at when somebody wants to know, and not more often than every few
    seconds: as long as questions go well only whether it is there, which costs nothing; where one has failed, whether
    its model answers.
    """

    def __init__(self, load: Callable[[], Parts]):
        """Load nothing yet."""
        self._load = load
        self._parts: Parts | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._look = threading.Thread()
        self._next_look = 0.0
        self._message: str | None = "the model is loading"
        self._failed_by: EndpointUnusable | None = None
        self.failure: BibleQAError | None = None

    def begin(self, on_failure: Callable[[], None]) -> None:
        """Load in the background.

        Args:
            on_failure: Called when trying again would be of no use; `failure` says why.
        """
        threading.Thread(target=self._run, args=(on_failure,), name="load", daemon=True).start()

    def end(self) -> None:
        """Try no further."""
        self._over.set()

    @property
    def is_loaded(self) -> bool:
        """Whether it is."""
        return self._parts is not None

    @property
    def parts(self) -> Parts:
        """What is loaded.

        Raises:
            Problem: It is not yet.
        """
        if self._parts is None:
            raise not_ready(self._message or "")
        return self._parts

    def now(self) -> str | None:
        """Why questions cannot be answered now; None where they can."""
        if parts := self._parts:
            with self._lock:
                if monotonic() >= self._next_look and not self._look.is_alive():
                    self._look = threading.Thread(target=self._look_at, args=(parts,), name="look", daemon=True)
                    self._look.start()
                look = self._look
            look.join(_PATIENCE)
        return self._message

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Around a question: an endpoint that fails it is not ready, until its model answers."""
        try:
            yield
        except EndpointUnusable as error:
            self._failed_by, self._message = error, str(error)
            raise

    def _look_at(self, parts: Parts) -> None:
        failed_by = self._failed_by
        try:
            if failed_by:
                parts.answers.probe()
            else:
                parts.answers.glance()
        except EndpointUnusable as error:
            self._message = str(error)
        else:
            if self._failed_by is failed_by:  # no other question has failed meanwhile
                self._failed_by = self._message = None
        self._next_look = monotonic() + _AGAIN_SECONDS

    def _run(self, on_failure: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                self._parts, self._message = self._load(), None
                return
            except EndpointUnusable as error:
                if str(error) != self._message:
                    _log.warning("%s; it is tried again every %d s", error, _AGAIN_SECONDS)
                self._message = str(error)
            except BibleQAError as error:
                self._message, self.failure = str(error), error
                on_failure()
                return
            self._over.wait(_AGAIN_SECONDS)


def not_ready(message: str) -> Problem:
    """What is said while questions cannot be answered."""
    return Problem(503, "not_ready", message, _AGAIN_SECONDS)
