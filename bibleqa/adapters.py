"""How a signature is written for a language model, and how the answer is read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dspy
from dspy.utils import exceptions

from bibleqa.lm.meter import Meter
from bibleqa.salvage import hollow, nests_deeply, salvage
from bibleqa.schema import AdapterConfig


@dataclass(frozen=True)
class Reading:
    """A reply that could be read."""

    fields: dict[str, Any]
    salvaged: str | None
    """How it was read where it was not in the format that was asked for: `json`, `headers` or `plain`."""
    ended: str | None
    """As `Reply.ended`."""

    def says(self, answer: str) -> bool:
        """Whether the answer is from this reply."""
        return str(self.fields.get("answer")) == answer


_readings: ContextVar[list[Reading] | None] = ContextVar("readings", default=None)


@contextmanager
def watched() -> Iterator[list[Reading]]:
    """The replies that are read inside, in their order."""
    readings: list[Reading] = []
    token = _readings.set(readings)
    try:
        yield readings
    finally:
        _readings.reset(token)


class DemosAsAsked:
    """Writes a demo as a request is written: its history as turns, not as a field of JSON.

    What a signature alone decides is made once and not for each question: DSPy makes a class anew for each signature
    that is another one's less a field, which takes longer than all else that it does for a question.
    """

    def format(self, signature: Any, demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """As DSPy's."""
        name = self._get_history_field_name(signature)  # type: ignore[attr-defined]
        if not name:
            messages: list[dict[str, Any]] = super().format(signature, demos, inputs)  # type: ignore[misc]
            return messages
        bare, rest = _without(signature, name, signature.instructions), dict(inputs)
        turns = self.format_conversation_history(bare, name, rest)  # type: ignore[attr-defined]
        system, *asked = super().format(bare, [], rest)  # type: ignore[misc]
        return [system, *self.format_demos(signature, demos), *turns, *asked]

    def format_system_message(self, signature: Any) -> str:
        """As DSPy's, without the history."""
        name = self._get_history_field_name(signature)  # type: ignore[attr-defined]
        bare = _without(signature, name, signature.instructions) if name else signature
        return _system_message(super().format_system_message, bare, bare.instructions)  # type: ignore[misc]

    def format_demos(self, signature: Any, demos: list[Any]) -> list[dict[str, Any]]:
        """As DSPy's, each after its history."""
        name = self._get_history_field_name(signature)  # type: ignore[attr-defined]
        if not name:
            return super().format_demos(signature, demos)  # type: ignore[misc]
        bare = _without(signature, name, signature.instructions)
        messages: list[dict[str, Any]] = []
        for demo in demos:
            rest = dict(demo)
            # A demo that was loaded from a file has it as plain data.
            history = dspy.History.model_validate(rest.pop(name, None) or {"messages": []})
            messages += self.format_conversation_history(bare, name, {name: history})  # type: ignore[attr-defined]
            messages += super().format_demos(bare, [rest])  # type: ignore[misc]
        return messages


# An optimizer makes signatures without end; their instructions are the one thing of them that can be set later.
@lru_cache(maxsize=64)
def _without(signature: Any, field: str, instructions: str) -> Any:
    return signature.delete(field)


@lru_cache(maxsize=64)
def _system_message(write: Callable[[Any], str], signature: Any, instructions: str) -> str:
    return write(signature)


class AdapterParseError(exceptions.AdapterParseError):
    """A text in which the fields that were asked for do not stand; where no text came, DSPy raises its own."""

    def __init__(self, adapter: str, signature: Any, text: str, ended: str | None):
        super().__init__(adapter, signature, text)
        self.ended = ended


class Salvaging:
    """Reads also what is not in the format that was asked for.

    A reply is read as DSPy reads it, else by what it has of JSON or headers. Where that gives nothing, the question
    is asked again in JSON, as DSPy does; a bare answer is the last resort: what a weak model says in no format at all
    is often no answer (`benchmarks/reading.py`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_once: tuple[str, ...] = ("json", "headers")
        """The ways to read a reply before the question is asked again."""
        self.asks_again = not isinstance(self, dspy.JSONAdapter)
        self.use_json_adapter_fallback = False  # DSPy's own would write the demos, and read the answer, its own way

    def __call__(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: Any, inputs: dict[str, Any]) -> Any:
        """As DSPy's."""
        try:
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)  # type: ignore[misc]
        except exceptions.AdapterParseError as unread:
            try:
                if not self.asks_again:
                    raise
                return _JSONAdapter()(lm, lm_kwargs, signature, demos, inputs)
            except exceptions.AdapterParseError:
                if fields := _plain(signature, unread):
                    return [fields]
                raise

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The output fields of a reply.

        Raises:
            AdapterParseError: They do not stand in it.
        """
        meter = dspy.settings.get("usage_tracker")
        ended = meter.last.ended if isinstance(meter, Meter) and meter.last else None
        if fields := self._as_asked(signature, completion):
            return _noted(fields, None, ended)
        if found := salvage(signature, completion, self.at_once):
            way, fields = found
            return _noted(fields, way, ended)
        raise AdapterParseError(type(self).__name__.lstrip("_"), signature, completion, ended)

    def _as_asked(self, signature: Any, completion: str) -> dict[str, Any] | None:
        """As DSPy reads it, if that gives more than what the prompt has in the fields' places."""
        if isinstance(self, dspy.JSONAdapter) and nests_deeply(completion):
            return None  # repairing it would take forever
        try:
            fields: dict[str, Any] = super().parse(signature, completion)  # type: ignore[misc]
        except (exceptions.AdapterParseError, ValueError, RecursionError):
            return None
        return None if all(hollow(signature, *field) for field in fields.items()) else fields


def _plain(signature: Any, unread: Exception) -> dict[str, Any] | None:
    """The bare answer in what could not be read."""
    if isinstance(unread, AdapterParseError) and (found := salvage(signature, unread.lm_response, ("plain",))):
        way, fields = found
        return _noted(fields, way, unread.ended)
    return None


def _noted(fields: dict[str, Any], salvaged: str | None, ended: str | None) -> dict[str, Any]:
    if (readings := _readings.get()) is not None:
        readings.append(Reading(fields, salvaged, ended))
    return fields


class _ChatAdapter(Salvaging, DemosAsAsked, dspy.ChatAdapter):
    pass


class _JSONAdapter(Salvaging, DemosAsAsked, dspy.JSONAdapter):
    pass


class _XMLAdapter(Salvaging, DemosAsAsked, dspy.XMLAdapter):
    pass


_ADAPTERS = {"chat": _ChatAdapter, "json": _JSONAdapter, "xml": _XMLAdapter}


def build(config: AdapterConfig) -> dspy.Adapter:
    """The adapter of that name; `auto` is settled before."""
    return _ADAPTERS[config.name]()
