"""A language model behind an OpenAI-compatible server, as a DSPy engine: lm15's client, asked with patience."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

from dspy import lm15
from dspy.clients.engines.lm15_engine import LM15Engine, timeouts_for
from dspy.lm15 import Config, Message, Request, Response, TextPart, materialize_response

from bibleqa import secrets
from bibleqa.lm import dialects, listening
from bibleqa.lm.health import Health
from bibleqa.lm.listening import Listener
from bibleqa.schema import EndpointConfig

PROBE = "Answer with one word: who built the ark?"
"""What an endpoint is asked to see whether it answers."""


class RemoteEngine:
    """Answers `dspy.lm15` requests through one server. Safe from many threads, which share its connections."""

    supports_function_calling = False
    supports_reasoning = False
    supported_params = frozenset({"temperature", "max_tokens", "top_p", "stop", "seed", "response_format"})

    def __init__(self, endpoint: EndpointConfig, address: str, key: str | None, tell: Callable[[str], None]):
        """Make an engine; nothing is asked yet.

        Args:
            endpoint: Which model, in which dialect.
            address: Of the server, up to /v1.
            key: What the server asks for, if anything.
            tell: See `Health`.
        """
        provider = f"bibleqa-{endpoint.kind}"
        self.name = f"{provider}/{endpoint.model}"
        self.supports_response_schema = endpoint.response_schema
        self.health = Health(endpoint, self._probe, tell)
        self._dialect = dialects.of(endpoint)
        self._answers_as: Any = None
        self._inner = LM15Engine(
            lm15.RouterConfig(
                api_keys={provider: key or "none"},
                base_urls={provider: address},
                timeouts=timeouts_for(endpoint.timeout),
                providers=(
                    lm15.ProviderDefinition.chat(
                        lm15.AccessPolicy(provider=provider, base_url=address),
                        compat=self._dialect.compat(),
                    ),
                ),
            )
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # DSPy copies programs with their LM; the connections are shared

    def complete(self, request: Request) -> Response:
        """Answer one request; whoever listens hears it piece by piece.

        Raises:
            dspy.lm15.LM15Error: The server refuses it, or goes on failing.
            Stopped: The server has gone and has not come back.
        """
        if listener := listening.current():
            return self.health.ask(lambda: self._stream(request, listener))
        return self.health.ask(lambda: self._complete(request))

    def close(self) -> None:
        """Part of DSPy's engine contract."""
        self._inner.close()

    def _complete(self, request: Request) -> Response:
        try:
            response = _with_text(self._inner.complete(self._dialect.fitted(request)))
        except (TypeError, ValueError) as error:  # JSON, but nothing that lm15 expects
            raise lm15.ServerError(f"no answer in the reply: {error}") from error
        self._see_that_it_is_the_same((response.provider_data or {}).get("model"))
        return _without_secrets(response)

    def _stream(self, request: Request, listener: Listener) -> Response:
        listener.begins()
        fitted = self._dialect.fitted(request)
        try:
            response = materialize_response(_heard(self._inner.stream(fitted), listener), fitted)
        except lm15.StreamAssemblyError as error:
            raise lm15.TransportError(f"the answer was cut off: {error}") from error
        except (TypeError, ValueError) as error:
            raise lm15.ServerError(f"no answer in the reply: {error}") from error
        self._see_that_it_is_the_same(response.model)
        return _without_secrets(response)

    def _see_that_it_is_the_same(self, model: Any) -> None:
        """A server that lets another model answer when its own is unloaded has not answered."""
        if self._answers_as is None:
            self._answers_as = model
        elif self._dialect.substitutes and model != self._answers_as:
            raise lm15.ServerError(f"{model} answers now, it was {self._answers_as}: is the model unloaded?")

    def _probe(self) -> None:
        ask = Message.user(PROBE)
        self._complete(Request(model=self.name, messages=(ask,), config=Config(max_tokens=16)))


def _without_secrets(response: Response) -> Response:
    """The response without a key that a server or a model has sent back: it is read as it will be kept."""
    body = json.dumps(response.provider_data, ensure_ascii=False)
    if secrets.in_text(body) is None:
        return response
    parts = [replace(part, text=secrets.redacted(part.text)) for part in response.message.parts]
    kept = json.loads(secrets.redacted(body))
    return replace(response, message=replace(response.message, parts=tuple(parts)), provider_data=kept)


def _heard(events: Iterator[Any], listener: Listener) -> Iterator[Any]:
    for event in events:
        if isinstance(event, lm15.StreamDeltaEvent) and isinstance(event.delta, lm15.TextDelta):
            listener.hears(event.delta.text)
        yield event


def _with_text(response: Response) -> Response:
    """The response, if there is an answer in it; one that is JSON where text was wanted is the text of that JSON.

    lm15 takes a body without choices, as servers send with their errors, for an empty answer.
    """
    body = response.provider_data or {}
    try:
        content = body["choices"][0]["message"].get("content")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        said = json.dumps(body.get("error") or body, ensure_ascii=False)[:200]
        raise lm15.ServerError(f"no answer in the reply: {said}") from error
    if isinstance(content, (dict, int, float)):
        return replace(response, message=Message.assistant([TextPart(text=json.dumps(content, ensure_ascii=False))]))
    return response
