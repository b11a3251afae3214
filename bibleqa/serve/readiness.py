"""Loading what is served while the server already answers the rest."""

import logging
import threading
from collections.abc import Callable

from bibleqa.errors import BibleQAError, EndpointUnusable
from bibleqa.serve.ports import Parts
from bibleqa.serve.problems import Problem

_AGAIN_SECONDS = 5
_log = logging.getLogger(__name__)


class Readiness:
    """What is loaded by a thread of its own; while the endpoint does not answer, again and again."""

    def __init__(self, load: Callable[[], Parts]):
        """Load nothing yet."""
        self._load = load
        self._parts: Parts | None = None
        self._over = threading.Event()
        self.message: str | None = "the model is loading"
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
    def is_ready(self) -> bool:
        """Whether it is loaded."""
        return self._parts is not None

    @property
    def parts(self) -> Parts:
        """What is loaded.

        Raises:
            Problem: It is not yet.
        """
        if self._parts is None:
            raise Problem(503, "not_ready", self.message or "", _AGAIN_SECONDS)
        return self._parts

    def _run(self, on_failure: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                self._parts, self.message = self._load(), None
                return
            except EndpointUnusable as error:
                if str(error) != self.message:
                    _log.warning("%s; it is tried again every %d s", error, _AGAIN_SECONDS)
                self.message = str(error)
            except BibleQAError as error:
                self.message, self.failure = str(error), error
                on_failure()
                return
            self._over.wait(_AGAIN_SECONDS)
