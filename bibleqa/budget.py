"""What a run may spend: calls, tokens, money, time."""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bibleqa.errors import ConfigError, RunFailed, Stopped
from bibleqa.schema import Config, EndpointConfig, LimitsConfig, endpoints

_KEPT = "what was answered is kept: the same command with a higher limit goes on from there"


def check(config: Config) -> None:
    """See that the limits of a run can be held.

    Raises:
        ConfigError: A limit of cost without prices.
    """
    if config.limits.cost is None:
        return
    for role, endpoint in endpoints(config).items():
        if endpoint.kind != "embedded" and None in (endpoint.input_price, endpoint.output_price):
            raise ConfigError(
                f"limits.cost={config.limits.cost:g}: needs {role}.input_price and {role}.output_price, "
                "in the same money for a million tokens"
            )


class Budget:
    """Counts what is asked and paid for, by all endpoints of a run, and stops the run at its limits. Thread-safe."""

    def __init__(self, limits: LimitsConfig):
        self.cost = 0.0
        self._limits = limits
        self._calls = 0
        self._tokens = 0
        self._lock = threading.Lock()

    def before_call(self) -> None:
        """A question is about to be asked.

        Raises:
            Stopped: It may not: a limit has been reached.
        """
        with self._lock:
            spent = {"calls": self._calls, "tokens": self._tokens, "cost": self.cost}
            for name, amount in spent.items():
                limit = getattr(self._limits, name)
                if limit is not None and amount >= limit:
                    raise Stopped(RunFailed(f"limits.{name}={limit:g} is reached; {_KEPT}"))
            self._calls += 1

    def paid(self, endpoint: EndpointConfig, usage: Mapping[str, Any]) -> None:
        """An answer has come, and used so many tokens."""
        given, written = (usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens"))
        with self._lock:
            self._tokens += given + written
            self.cost += (given * (endpoint.input_price or 0) + written * (endpoint.output_price or 0)) / 1e6


@contextmanager
def within(seconds: float | None, spent: float = 0.0) -> Iterator[None]:
    """Interrupt what is done inside, as Ctrl-C would, when its time is over; in the main thread.

    Args:
        seconds: How long it may take; None for ever.
        spent: Seconds that it has taken before.

    Raises:
        RunFailed: It took longer.
    """
    if seconds is None:
        yield
        return
    over = threading.Event()

    def interrupt() -> None:
        over.set()
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:  # a real signal also wakes who sleeps
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:  # as a shell starts what it puts into the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(max(seconds - spent, 0.0), interrupt)
    timer.daemon = True
    try:
        timer.start()
        yield
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        raise RunFailed(f"limits.seconds={seconds:g} is reached; {_KEPT}") from None
    finally:
        timer.cancel()
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
