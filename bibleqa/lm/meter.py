"""What the language model was asked, and what it cost."""

import threading
from dataclasses import asdict, dataclass
from typing import Any, Self

from dspy.utils.callback import BaseCallback


@dataclass
class Usage:
    """LM calls and tokens: those that were paid for, and those of calls that were answered from the cache."""

    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cached_output_tokens: int = 0

    def to_dict(self) -> dict[str, int]:
        """As summary.json has it."""
        return asdict(self)


ENDINGS = ("length", "refused", "empty")
"""Why a reply is no whole answer: cut off at max_tokens, refused by model or endpoint, nothing in it."""


@dataclass(frozen=True)
class Reply:
    """What a language model has sent, from the endpoint or from the cache."""

    text: str
    ended: str | None
    """One of `ENDINGS`; None for a whole answer."""


class Meter(BaseCallback):
    """Counts every LM call made while it is in force, in every thread; put it into `dspy.context(**meter.settings)`.

    DSPy tells a usage tracker of each call that was really made, and the cache tells of those that it answered.
    Optimizers turn errors into scores of 0: where one asks, they are kept, as DSPy tells a callback of them. Nobody
    else has callbacks: to tell them of every step takes DSPy longer than the steps.
    """

    def __init__(self, parent: "Meter | None" = None, *, for_optimizer: bool = False):
        """Make a meter at zero.

        Args:
            parent: Counts too what this one counts.
            for_optimizer: Whether an optimizer asks, which swallows errors.
        """
        self.for_optimizer = for_optimizer
        self.usage = Usage()
        self.errors: list[BaseException] = []
        """What calls failed with, where an optimizer asks."""
        self.last: Reply | None = None
        """The latest reply; only where one call is made after the other is it known whose that is."""
        self.prompt: tuple[dict[str, str], ...] = ()
        """What was asked last, as messages of a role and a content."""
        self._parent = parent
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # DSPy copies the usage tracker into its worker threads

    @property
    def settings(self) -> dict[str, Any]:
        """The DSPy settings that put the meter in force. Histories, which nobody reads, are not kept."""
        return {"callbacks": [self] if self.for_optimizer else [], "usage_tracker": self, "disable_history": True}

    def on_lm_end(self, call_id: str, outputs: dict[str, Any] | None, exception: BaseException | None = None) -> None:
        """DSPy: a call has ended."""
        if exception is not None:
            self.errors.append(exception)

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """DSPy: a call was really made, and this is what it used."""
        with self._lock:
            self.usage.calls += 1
            self.usage.input_tokens += usage_entry.get("prompt_tokens") or 0
            self.usage.output_tokens += usage_entry.get("completion_tokens") or 0
        if self._parent:
            self._parent.add_usage(lm, usage_entry)

    def add_cached_usage(self, usage_entry: dict[str, Any]) -> None:
        """A call was answered from the cache, and this is what it had used when it was made."""
        with self._lock:
            self.usage.calls += 1
            self.usage.cached_calls += 1
            self.usage.cached_input_tokens += usage_entry.get("prompt_tokens") or 0
            self.usage.cached_output_tokens += usage_entry.get("completion_tokens") or 0
        if self._parent:
            self._parent.add_cached_usage(usage_entry)
