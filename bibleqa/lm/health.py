"""Whether an endpoint answers, and what its callers do while it does not.

What can pass is tried again. Where an endpoint fails several times in a row, whoever asks, nobody is let through
until it answers a probe. Its callers wait so long: to an optimizer an outage is a call that takes its time, and never
an answer worth 0.
"""

import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

from dspy import lm15

from bibleqa.errors import GO_ON, BibleQAError, EndpointUnusable, RunFailed, Stopped
from bibleqa.schema import EndpointConfig

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_AT_FIRST = 2
"""Further tries of an endpoint that has never answered: it is no outage, but not there."""
_LONGEST = 15.0
"""Seconds between two tries at the most."""
_AWAY = re.compile(r"unload|not loaded|no models? loaded|loading|crashed", re.IGNORECASE)
"""How servers say, with a status of any kind, that their model is away."""


def may_pass(error: lm15.LM15Error, *, answered: bool) -> bool:
    """Whether the same request may go well later.

    Args:
        error: What it failed with.
        answered: Whether the endpoint has answered before: a model that was there has been unloaded, one that never
            was is a wrong name.
    """
    match error:
        case lm15.TransportError():
            return not isinstance(error.__cause__, ssl.SSLCertVerificationError) and "CERTIFICATE" not in str(error)
        case lm15.RateLimitError():
            return error.provider_code != "insufficient_quota"
        case lm15.InvalidRequestError():
            gone = isinstance(error, lm15.UnsupportedModelError) or _AWAY.search(str(error))
            return answered and bool(gone)
        case lm15.TimeoutError() | lm15.ServerError():
            return True
        case lm15.ProviderError():
            return error.status == 200  # a page or half an answer, from whatever stands before the server
    return False


class Health:
    """One endpoint's, for all threads of a run."""

    def __init__(self, endpoint: EndpointConfig, probe: Callable[[], object], tell: Callable[[str], None]):
        """Know nothing yet.

        Args:
            endpoint: How often it is tried again, and for how long it is waited for.
            probe: Asks it something small; raises what asking raises.
            tell: Called with a sentence when callers have to wait, and when they need not any more.
        """
        self._where = f"{endpoint.model} at {endpoint.base_url}"
        self._retries = endpoint.retries
        self._pause_after = endpoint.pause_after
        self._patience = endpoint.patience
        self._probe = probe
        self._tell = tell
        self._answered = False
        self._in_a_row = 0
        self._paused = False
        self._not_before = 0.0
        self._gone: BibleQAError | None = None
        self._given_up = threading.Event()
        self._changed = threading.Condition()
        _alive.add(self)

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """Make a call, and make it again where its failure may pass.

        Raises:
            dspy.lm15.LM15Error: It cannot pass, or has not after `endpoint.retries` further tries of an endpoint that
                answers others.
            Stopped: The endpoint has been away for longer than `endpoint.patience`.
        """
        failed = 0
        while True:
            self._wait()
            try:
                answer = call()
            except lm15.LM15Error as error:
                if not may_pass(error, answered=self._answered):
                    raise
                failed += 1
                retries = self._retries if self._answered else min(self._retries, _AT_FIRST)
                if self._outage(error):
                    failed = min(failed, retries)  # not this question's fault: it has one more try afterwards
                elif failed > retries:
                    raise
                self._hold_back(error, failed)
            else:
                with self._changed:
                    self._answered, self._in_a_row = True, 0
                return answer

    def give_up(self) -> None:
        """Let nobody wait any longer: the run ends."""
        self._given_up.set()

    def _wait(self) -> None:
        """Until the endpoint may be asked."""
        with self._changed:
            while self._paused:
                self._changed.wait()
        if self._gone:
            raise Stopped(self._gone)
        self._sleep(self._not_before - time.monotonic())

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._given_up.wait(seconds)
        if self._given_up.is_set():
            raise Stopped(RunFailed("the run ends"))

    def _hold_back(self, error: lm15.LM15Error, failed: int) -> None:
        """Wait as long as the server says, and let others wait as well; else twice as long each time."""
        if error.retry_after is None:
            self._sleep(_backoff(failed))
        elif error.retry_after > self._patience:
            raise error
        else:
            self._not_before = max(self._not_before, time.monotonic() + error.retry_after)

    def _outage(self, error: lm15.LM15Error) -> bool:
        """Whether this failure is one of an endpoint that fails everybody; if so, it is back when this returns."""
        with self._changed:
            self._in_a_row += 1
            if self._paused:
                return True  # _wait does the waiting
            if not self._answered or self._in_a_row < self._pause_after:
                return False
            self._paused = True
        try:
            self._until_back(error)
        except Stopped as stopped:
            self._gone = stopped.reason
            raise
        finally:
            with self._changed:
                self._paused, self._in_a_row = False, 0
                self._changed.notify_all()
        return True

    def _until_back(self, error: lm15.LM15Error) -> None:
        begun = time.monotonic()
        asked = 0
        while True:
            asked += 1
            left = begun + self._patience - time.monotonic()
            if left <= 0:
                raise Stopped(
                    EndpointUnusable(
                        f"{self._where} has not answered for {self._patience:g} s ({short(error)}). {GO_ON}"
                    )
                )
            self._sleep(min(error.retry_after or _backoff(asked), left))
            try:
                self._probe()
            except lm15.LM15Error as again:
                if not may_pass(again, answered=True):
                    raise Stopped(EndpointUnusable(f"{self._where}: {short(again)}")) from again
                error = again
                if asked == 2:  # who is back at once was not away
                    self._say(f"does not answer ({short(error)}); waiting for it, {self._patience:g} s at the most")
            else:
                if asked > 2:
                    self._say(f"answers again after {time.monotonic() - begun:.0f} s; going on")
                return

    def _say(self, what: str) -> None:
        log.warning("%s %s", self._where, what)
        self._tell(f"{self._where} {what}")


_alive: WeakSet[Health] = WeakSet()


def give_up() -> None:
    """Let nobody in this process wait for an endpoint any longer: the run ends."""
    for health in list(_alive):
        health.give_up()


def _backoff(failed: int) -> float:
    """Seconds to wait after so many failures; callers that failed together come back one by one."""
    return min(0.5 * 2.0 ** (failed - 1), _LONGEST) * random.uniform(0.5, 1.0)


def short(error: Exception) -> str:
    """An error in a line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
