"""Servers that behave as LM Studio, Ollama, vLLM, llama.cpp and OpenAI do, over real HTTP.

Each lists its models in its own way and refuses what the real one refuses, in its words. Where these are from stands
in bibleqa/lm/dialects.py.

    with running(LMStudio) as server:
        server.loaded = ["qwen2.5-7b"]
        ...  # server.base_url
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import fake_openai
from fake_openai import CHAT, MODELS, Answer, Fault, Request, Server

Reply = tuple[int, dict[str, Any]]
QWEN, LLAMA = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"


class Local(Server):
    """What they have in common.

    Attributes:
        loaded: The models in memory, of those that it has.
    """

    def __init__(self, port: int, answer: Answer, models: Sequence[str] = (QWEN, LLAMA)):
        super().__init__(port, answer, models)
        self.loaded = [QWEN]

    def reply(self, request: Request, fault: Fault) -> tuple[int, str, str]:
        if fault.body is not None:
            return super().reply(request, fault)
        if request.path != CHAT:
            status, content = self.page(request.path)
        elif refused := self.refusal(request):
            status, content = refused
        else:
            status, content = 200, self._completion(request.asked, Fault(model=self.answering(request.body["model"])))
        return status, fault.kind, json.dumps(content)

    def page(self, path: str) -> Reply:
        """What a path shows."""
        raise NotImplementedError

    def refusal(self, request: Request) -> Reply | None:
        """What is said to a chat request that is not answered."""
        raise NotImplementedError

    def answering(self, model: str) -> str:
        """Which model answers when one is asked for; it is loaded then."""
        if model not in self.loaded:
            self.loaded.append(model)
        return model


def listed(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """A list of models as OpenAI has it."""
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]}


def wish(request: Request) -> str:
    """The type of `response_format`; `text` when there is none."""
    return str((request.body.get("response_format") or {}).get("type", "text"))


class LMStudio(Local):
    """LM Studio.

    Attributes:
        on_demand: Whether just-in-time loading is on.
    """

    on_demand = True

    def page(self, path: str) -> Reply:
        if path == MODELS:
            return 200, listed(self.models if self.on_demand else self.loaded, owned_by="organization_owner")
        if path == "/api/v0/models":
            rows = [
                {
                    "id": name,
                    "object": "model",
                    "type": "llm",
                    "state": "loaded" if name in self.loaded else "not-loaded",
                }
                for name in self.models
            ]
            nomic = {"id": "text-embedding-nomic-embed-text-v1.5", "type": "embeddings", "state": "loaded"}
            return 200, {"object": "list", "data": [*rows, nomic]}
        return 200, {"error": f"Unexpected endpoint or method. (GET {path})"}

    def refusal(self, request: Request) -> Reply | None:
        model = request.body["model"]
        if wish(request) not in ("json_schema", "text"):
            return 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}
        if not self.loaded and not self.on_demand:
            said = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
            return 404, {"error": {"message": said, "type": "invalid_request_error", "param": "model", "code": None}}
        if len(self.loaded) != 1 and model not in self.models:
            said = f'Invalid model identifier "{model}". Please specify a valid downloaded model.'
            error = {"message": said, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
            return 400, {"error": error}
        return None

    def answering(self, model: str) -> str:
        return super().answering(model) if self.on_demand and model in self.models else self.loaded[0]


class Ollama(Local):
    """Ollama; names have a tag."""

    def __init__(self, port: int, answer: Answer):
        super().__init__(port, answer, (f"{QWEN}:latest", f"{LLAMA}:latest"))
        self.loaded = [f"{QWEN}:latest"]

    def page(self, path: str) -> Reply:
        names = {"/api/tags": self.models, "/api/ps": self.loaded}.get(path)
        if names is not None:
            return 200, {"models": [{"name": name, "model": name, "size": 1} for name in names]}
        return (200, listed(self.models, owned_by="library")) if path == MODELS else (404, {"error": "not found"})

    def refusal(self, request: Request) -> Reply | None:
        model = request.body["model"]
        if self._tagged(model) not in self.models:
            error = {"message": f"model '{model}' not found", "type": "not_found_error", "param": None, "code": None}
            return 404, {"error": error}
        return None

    def answering(self, model: str) -> str:
        return super().answering(self._tagged(model))

    def _tagged(self, model: str) -> str:
        return model if ":" in model else f"{model}:latest"


class VLLM(Local):
    """vLLM; it has one model, loaded."""

    def __init__(self, port: int, answer: Answer):
        super().__init__(port, answer, (QWEN,))

    def page(self, path: str) -> Reply:
        return (200, listed(self.models, owned_by="vllm")) if path == MODELS else (404, {"detail": "Not Found"})

    def refusal(self, request: Request) -> Reply | None:
        model = request.body["model"]
        if model not in self.models:
            return self._error(404, "NotFoundError", f"The model `{model}` does not exist.")
        if wish(request) not in ("json_schema", "json_object", "text", "structural_tag"):
            said = "Input should be 'text', 'json_object', 'json_schema' or 'structural_tag'"
            return self._error(400, "BadRequestError", said)
        return None

    def _error(self, code: int, kind: str, said: str) -> Reply:
        return code, {"error": {"message": said, "type": kind, "param": None, "code": code}}


class LlamaCpp(Local):
    """llama.cpp's server.

    Attributes:
        loading: Whether it is still loading its model.
    """

    loading = False

    def __init__(self, port: int, answer: Answer):
        super().__init__(port, answer, (QWEN,))

    def page(self, path: str) -> Reply:
        if path == MODELS:
            return 200, listed(self.models, aliases=self.models, owned_by="llamacpp")
        if self.loading:
            return self._error(503, "unavailable_error", "Loading model")
        return (200, {"status": "ok"}) if path == "/health" else self._error(404, "not_found_error", "File Not Found")

    def refusal(self, request: Request) -> Reply | None:
        if self.loading:
            return self._error(503, "unavailable_error", "Loading model")
        if (asked := wish(request)) not in ("json_schema", "json_object", "text"):
            said = f'response_format type must be one of "text" or "json_object", but got: {asked}'
            return self._error(400, "invalid_request_error", said)
        return None

    def answering(self, model: str) -> str:
        return self.models[0]

    def _error(self, code: int, kind: str, said: str) -> Reply:
        return code, {"error": {"message": said, "type": kind, "code": code}}


class OpenAI(Local):
    """OpenAI, with a model of those that refuse `max_tokens`; it wants a key."""

    def __init__(self, port: int, answer: Answer):
        super().__init__(port, answer)
        self.key = "sk-marked-for-dialects"

    def page(self, path: str) -> Reply:
        return (200, listed(self.models, owned_by="openai")) if path == MODELS else self._error(404, path, None, None)

    def refusal(self, request: Request) -> Reply | None:
        model = request.body["model"]
        if model not in self.models:
            said = f"The model `{model}` does not exist or you do not have access to it."
            return self._error(404, said, None, "model_not_found")
        if "max_tokens" in request.body:
            said = "Unsupported parameter: 'max_tokens' is not supported with this model."
            return self._error(
                400, f"{said} Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter"
            )
        if (asked := wish(request)) not in ("json_schema", "json_object", "text"):
            said = f"Invalid value: '{asked}'. Supported values are: 'json_object', 'json_schema', and 'text'."
            return self._error(400, said, "response_format.type", "invalid_value")
        return None

    def _error(self, status: int, said: str, param: str | None, code: str | None) -> Reply:
        error = {"message": said, "type": "invalid_request_error", "param": param, "code": code}
        return status, {"error": error}


SERVERS: dict[str, type[Local]] = {
    "lmstudio": LMStudio,
    "ollama": Ollama,
    "vllm": VLLM,
    "llamacpp": LlamaCpp,
    "openai": OpenAI,
}
"""By `endpoint.kind`."""

Kind = TypeVar("Kind", bound=Local)


@contextmanager
def running(kind: type[Kind]) -> Iterator[Kind]:
    """A server until the block ends; it repeats what it is asked."""
    with fake_openai.running(lambda asked: f"heard {asked.question}", kind=kind) as server:
        assert isinstance(server, kind)
        yield server
