"""What servers that speak as OpenAI do understand and how each behaves, a row for each kind of endpoint.

All five take `temperature`, `seed`, `stop` and a limit of tokens; what its field is called stands in lm15's presets:
`max_completion_tokens` for OpenAI, whose newer models refuse `max_tokens` (openai reference, chat/create;
teilomillet/gollm #33), `max_tokens` for the others (Ollama has no field of the other name: ollama openai/openai.go).
OpenAI's reasoning models take no temperature but 1 (decolua/9router #560) and say so in their error.

Where the facts come from:

LM Studio
    `json_object` is refused with 400, `{"error": "'response_format.type' must be 'json_schema' or 'text'"}`
    (lmstudio-bug-tracker #189, #307; stanfordnlp/dspy #8503). Parameters: lmstudio.ai/docs/developer/openai-compat/
    chat-completions. `GET /api/v0/models` lists what is downloaded, each with `state` loaded or not-loaded and a
    `type` (lmstudio.ai/docs/api/rest-api). `GET /v1/models` lists the same with just-in-time loading, and without it
    only what is loaded; with it a question loads its model (lmstudio.ai/docs/app/api/headless). A model that it does
    not have is refused with 404 (gitbutler #8706) or 400 (gpt-researcher #1556), code `model_not_found`; but a model
    that is the only one loaded may answer in its place, whatever was asked for (lmstudio-bug-tracker #619). None
    loaded: 400 or 404 "No models loaded" (lms #107, lmstudio-bug-tracker #1730). A wrong path is answered with
    status 200 and `{"error": "Unexpected endpoint or method. …"}` (lmstudio-bug-tracker #618).
Ollama
    `json_object` and `json_schema`; another type is passed over (ollama openai/openai.go, FromChatRequest).
    `GET /api/tags` lists what is there, `GET /api/ps` what is loaded (ollama docs/api.md). A question loads its
    model. Names without a tag mean `:latest`. An unknown model: 404 `not_found_error` (ollama openai/openai.go).
vLLM
    `json_object`, `json_schema`, `text` (vllm entrypoints/openai/engine/protocol.py, ResponseFormat). `GET /v1/models`
    lists what it serves, all of it loaded: it listens only then. An unknown model: 404 `NotFoundError`
    (vllm-project/vllm #3485).
llama.cpp
    `json_object`, `json_schema`, `text`, measured: another type is 400 `invalid_request_error`. Whatever model is
    asked for, the one that is loaded answers; `GET /v1/models` names it by its alias, else by its file. While it
    loads, `GET /health` is 503 "Loading model", and so is all else (all measured with xllamacpp 2026.10; in other
    builds `/v1/models` answers then: llama.cpp tools/server/server-http.cpp). Started without a model it is a router,
    which lists models with a `status` and loads the one asked for (llama.cpp tools/server/README.md).
OpenAI
    `json_object`, `json_schema`, `text`; another type is 400 `invalid_value` (deep-research-py #19). An unknown model:
    404 `model_not_found`. Servers of other makers go by this kind too, and need not list all that they have.
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bibleqa.config import plugins
from bibleqa.errors import ConfigError, EndpointUnusable
from bibleqa.schema import EndpointConfig

if TYPE_CHECKING:
    import httpx
    from dspy.lm15 import OpenAIChatCompat, Request

Read = Callable[[str], "httpx.Response"]
"""GET a path that is relative to `endpoint.base_url`."""


@dataclass(frozen=True)
class Served:
    """A model that a server has.

    Attributes:
        id: As requests name it.
        loaded: Whether it is in memory; None when the server does not say.
        wants: What has to be done before it answers; None when it is enough to ask.
    """

    id: str
    loaded: bool | None = None
    wants: str | None = None

    def __str__(self) -> str:
        return f"{self.id} (loaded)" if self.loaded else self.id


@dataclass(frozen=True)
class Dialect:
    """A kind of server.

    Attributes:
        name: What people call it.
        preset: lm15's name for how requests are written.
        formats: Types of `response_format` that it takes.
        start: How it is started.
        get: How it comes by `{model}`.
        models: From its answers to the models that it has; none when it does not say.
        plain: From a model's name to what is the same in all names of that model.
        substitutes: Whether it may let another model answer, without a word, for one that it does not have.
    """

    name: str
    preset: str
    formats: frozenset[str]
    start: str
    get: str
    models: Callable[[Read], list[Served]]
    plain: Callable[[str], str] = str
    substitutes: bool = False

    def compat(self) -> "OpenAIChatCompat":
        """How lm15 writes requests."""
        from dspy.lm15 import OpenAIChatCompat

        return OpenAIChatCompat.preset(self.preset)

    def fitted(self, request: "Request") -> "Request":
        """The request without a response format that the server would refuse: the prompt asks for the same."""
        wish = request.config.response_format
        if wish is None or wish["type"] in self.formats:
            return request
        return dataclasses.replace(request, config=dataclasses.replace(request.config, response_format=None))

    def complaint(self, model: str, served: list[Served]) -> str | None:
        """Why a model is not to be had and what to do about it; None when nothing is known against it."""
        mine = self._named(model, served)
        if not served or any(one.wants is None for one in mine):
            return None
        loaded = [one.id for one in served if one.loaded]
        if mine:
            found = f"{self.name} has {', '.join(loaded) or 'no model'} loaded, not {model}"
            ways = [*_instead(loaded), f"load it: {mine[0].wants}"]
        else:
            near = get_close_matches(model, [one.id for one in served if not one.loaded], n=4, cutoff=0)
            names = [str(one) for one in served if one.loaded][:4] + near
            found = f"{self.name} lists no {model}; it has {', '.join(names)}"
            ways = [*_instead(loaded or near), *([self.get.format(model=model)] if self.get else [])]
        return f"{found}: {', or '.join(ways)}"

    def loaded_instead(self, model: str, served: list[Served]) -> list[str]:
        """What is in memory when the model itself is not, as far as the server says."""
        if any(one.loaded for one in self._named(model, served)):
            return []
        return [one.id for one in served if one.loaded]

    def _named(self, model: str, served: list[Served]) -> list[Served]:
        return [one for one in served if self.plain(one.id) == self.plain(model)]


def _instead(names: list[str]) -> list[str]:
    return [f"endpoint.model={name}" for name in names[:1]]


def _rows(reply: "httpx.Response", name: str) -> list[dict[str, Any]]:
    """The objects of a list in a reply; none when it is another kind of reply."""
    try:
        body = reply.json()
    except ValueError:
        return []
    listed = body.get(name) if reply.is_success and isinstance(body, dict) else None
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def _ids(rows: list[dict[str, Any]], name: str = "id") -> list[str]:
    return [str(row[name]) for row in rows if name in row]


def _openai(read: Read) -> list[Served]:
    return [Served(name) for name in _ids(_rows(read("models"), "data"))]


def _vllm(read: Read) -> list[Served]:
    return [Served(one.id, loaded=True) for one in _openai(read)]


def _lmstudio(read: Read) -> list[Served]:
    reply = read("models")
    if "Unexpected endpoint" in reply.text:
        raise EndpointUnusable("endpoint.base_url: LM Studio's address ends in /v1, as in http://127.0.0.1:1234/v1")
    offered = _ids(_rows(reply, "data"))
    here = [row for row in _rows(read("../api/v0/models"), "data") if "id" in row and row.get("type") != "embeddings"]
    if not here:
        return [Served(name) for name in offered]
    return [
        Served(
            row["id"],
            loaded=row.get("state") == "loaded",
            wants=None
            if row["id"] in offered
            else f"`lms load {row['id']}`, or switch on just-in-time loading (Developer > Server Settings)",
        )
        for row in here
    ]


def _ollama(read: Read) -> list[Served]:
    loaded = _ids(_rows(read("../api/ps"), "models"), "name")
    here = _ids(_rows(read("../api/tags"), "models"), "name")
    return [Served(name, loaded=name in loaded) for name in here] or _openai(read)


def _llamacpp(read: Read) -> list[Served]:
    if read("../health").status_code == 503:
        raise EndpointUnusable("llama.cpp's server is still loading its model: wait, and try again")
    return [
        Served(name, loaded=(row.get("status") or {}).get("value", "loaded") == "loaded")
        for row in _rows(read("models"), "data")
        for name in dict.fromkeys([*_ids([row]), *(row.get("aliases") or [])])
    ]


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _unpublished(name: str) -> str:
    """Without LM Studio's publisher (`qwen/`), variant (`@q4_k_m`) and number of the instance (`:2`)."""
    return re.sub(r"(@.*|:\d+)$", "", name.rpartition("/")[2])


_ALL = frozenset({"json_schema", "json_object", "text"})

DIALECTS: dict[str, Dialect] = {
    "lmstudio": Dialect(
        name="LM Studio",
        preset="lmstudio",
        formats=frozenset({"json_schema", "text"}),
        start="start LM Studio's server (Developer > Start server, or `lms server start`) and load the model",
        get="get it: `lms get {model}`",
        models=_lmstudio,
        plain=_unpublished,
        substitutes=True,
    ),
    "ollama": Dialect(
        name="Ollama",
        preset="ollama",
        formats=_ALL,
        start="start it with `ollama serve`",
        get="get it: `ollama pull {model}`",
        models=_ollama,
        plain=_tagged,
    ),
    "vllm": Dialect(
        name="vLLM",
        preset="vllm",
        formats=_ALL,
        start="start it with `vllm serve <model>`; it listens when the model is loaded",
        get="serve it: `vllm serve {model}`",
        models=_vllm,
    ),
    "llamacpp": Dialect(
        name="llama.cpp's server",
        preset="lmstudio",  # lm15 has none for llama.cpp; this one holds nothing that it does not take
        formats=_ALL,
        start="start it with `llama-server -m <model>.gguf --alias <name> --port 8080`",
        get="serve it: `llama-server -m <its file> --alias {model}`",
        models=_llamacpp,
        substitutes=True,
    ),
    "openai": Dialect(
        name="the server",
        preset="openai",
        formats=_ALL,
        start="start the server, or correct endpoint.base_url",
        get="",
        models=_openai,
    ),
}
"""By `endpoint.kind`."""


def of(endpoint: EndpointConfig) -> Dialect:
    """How an endpoint is spoken to.

    Raises:
        ConfigError: It is to be a dialect of the user's own, and there is none of that name.
    """
    if endpoint.dialect is None:
        return DIALECTS[endpoint.kind]
    dialect = plugins.named(endpoint.dialect)
    if not isinstance(dialect, Dialect):
        raise ConfigError(f"endpoint.dialect={endpoint.dialect}: is no bibleqa.lm.dialects.Dialect")
    return dialect
