"""A language model inside this process: llama.cpp (through xllamacpp) as a DSPy engine.

One question is answered at a time, and a prompt is always computed in the same pieces: what comes before each user
message, and before the value of its first field, apart. So the state after instructions and demos can be kept from call
to call, in the slot that answered, and still an answer at temperature 0 depends on nothing but its prompt. Computed in
other pieces, or beside another question, the same prompt gives slightly other numbers, and every now and then another
word.
"""

import importlib.metadata
import json
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bibleqa import artifacts, schema
from bibleqa.artifacts import Artifact
from bibleqa.errors import ConfigError, EndpointUnusable
from bibleqa.lm import listening, models
from bibleqa.lm.listening import Listener
from bibleqa.schema import Config, EndpointConfig

if TYPE_CHECKING:
    from dspy.lm15 import Request, Response

MODELS: dict[str, Artifact] = {
    "qwen2.5-coder-0.5b-instruct": models.QWEN_0_5B,
    "qwen2.5-coder-1.5b-instruct": models.QWEN_1_5B,
    "smollm2-135m-instruct": models.SMOLLM2_135M,
}


def digest(endpoint: EndpointConfig) -> str | None:
    """sha256 of the model's file, and of the adapter's where there is one; None for an endpoint not embedded.

    Raises:
        ConfigError: No embedded model has that name, or the adapter is not one of it.
    """
    if endpoint.kind != "embedded":
        return None
    if endpoint.model not in MODELS:
        raise ConfigError(f"endpoint.model={endpoint.model}: no such embedded model; there are {', '.join(MODELS)}")
    base = MODELS[endpoint.model].sha256
    return f"{base}+{adapter_digest(endpoint)}" if endpoint.adapter else base


def digests(config: Config) -> dict[str, str]:
    """The digest of every embedded model that a run asks, by what it is to the run (`endpoint`, `teacher`, …)."""
    found = {role: digest(endpoint) for role, endpoint in schema.endpoints(config).items()}
    return {role: sha256 for role, sha256 in found.items() if sha256}


def adapter_digest(endpoint: EndpointConfig) -> str:
    """sha256 of the adapter that an endpoint names.

    Raises:
        ConfigError: The file is not there, or is not what the adapter.json beside it says.
    """
    assert endpoint.adapter
    path = Path(endpoint.adapter)
    try:
        manifest = json.loads(path.with_name("adapter.json").read_text(encoding="utf-8"))
        found = artifacts.sha256_of(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"endpoint.adapter={path}: the adapter.gguf of a run folder is wanted, with its adapter.json ({error})"
        ) from None
    if manifest.get("sha256") != found:
        raise ConfigError(f"endpoint.adapter={path}: the file is damaged, its adapter.json has another digest")
    if manifest.get("base_model") != endpoint.model:
        raise ConfigError(f"endpoint.adapter={path}: belongs to {manifest.get('base_model')}, not to {endpoint.model}")
    return found


def version() -> str:
    """Which llama.cpp it is.

    Raises:
        EndpointUnusable: It is not installed.
    """
    try:
        return f"xllamacpp {importlib.metadata.version('xllamacpp')}"
    except importlib.metadata.PackageNotFoundError:
        raise EndpointUnusable(
            'the embedded models need xllamacpp: pip install -c constraints.txt -e ".[embedded]"; '
            "or choose another endpoint, for instance endpoint=lm_studio"
        ) from None


CONTEXT_TOKENS = 8192
"""Prompt and answer together."""
SLOTS = 4
"""Beginnings of prompts that are kept: a program with DSPy's second request in JSON has two for each predictor."""
MEMORY = {
    "qwen2.5-coder-0.5b-instruct": 1_050_000_000,
    "qwen2.5-coder-1.5b-instruct": 2_850_000_000,
    "smollm2-135m-instruct": 950_000_000,
}
"""Bytes that a model takes while it is loaded, with its slots, as the tests measure."""

Message = dict[str, str]
_HEADING = re.compile(r"\[\[ ## \w+ ## \]\]\n")


@dataclass(frozen=True)
class Weights:
    """What is loaded: a model file, with a LoRA adapter over it or without."""

    model: Path
    adapter: Path | None = None


class EmbeddedEngine:
    """Answers `dspy.lm15` requests for the models in `MODELS`, and for LoRA adapters registered by name.

    Safe from many threads, which wait for each other. A model is loaded when it is first asked; one is held at a
    time.
    """

    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
    supported_params = frozenset({"temperature", "max_tokens", "top_p", "stop", "seed", "response_format"})

    def __init__(self, threads: int):
        """Make an engine; nothing is loaded yet.

        Args:
            threads: CPU threads; another number may give other answers.
        """
        self.threads = threads
        self._adapters: dict[str, tuple[str, Path]] = {}
        self._weights: dict[str, Weights] = {}
        self._lock = threading.RLock()
        self._loaded: tuple[Weights, _Model] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # DSPy copies programs with their LM; the loaded model is shared

    def dump_state(self) -> dict[str, Any]:
        """What DSPy writes beside a program; the engine is made anew from the config."""
        return {"threads": self.threads}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `dump_state`."""
        return cls(**state)

    def weights(self, name: str) -> Weights:
        """The files of a model, downloaded if need be.

        Raises:
            EndpointUnusable: There is no model or adapter of that name, or its file cannot be had.
        """
        if name in self._weights:
            return self._weights[name]
        base, adapter = self._adapters.get(name, (name, None))
        if base not in MODELS:
            known = ", ".join([*MODELS, *self._adapters])
            raise EndpointUnusable(f"endpoint.model={name}: no embedded model of that name; there are {known}")
        self._weights[name] = Weights(artifacts.fetch(MODELS[base]), adapter)
        return self._weights[name]

    def adopt(self, name: str, base: str, adapter: Path) -> None:
        """Serve a model with a LoRA adapter over it (a GGUF file), under a name of its own."""
        self._adapters[name] = base, adapter

    def load(self, name: str) -> None:
        """Have the model in memory, in place of the one that was there."""
        weights = self.weights(name)
        with self._lock:
            if self._loaded is None or self._loaded[0] != weights:
                self.unload()
                self._loaded = (weights, _Model(weights, self.threads))

    def unload(self) -> None:
        """Give the memory back; the next call loads again."""
        with self._lock:
            self._loaded = None

    def complete(self, request: "Request") -> "Response":
        """Answer one request; whoever listens hears it piece by piece.

        Raises:
            dspy.lm15.InvalidRequestError: llama.cpp refuses it, for instance a prompt longer than the context.
        """
        from dspy.lm15 import InvalidRequestError, Message, Response, Usage

        with self._lock:
            self.load(request.model.removeprefix("embedded/"))
            assert self._loaded is not None
            reply = self._loaded[1].answer(_messages(request), _sampling(request))
        if "choices" not in reply:
            raise InvalidRequestError(f"llama.cpp: {reply.get('error', reply)}")
        choice, usage = reply["choices"][0], reply["usage"]
        return Response(
            id=reply["id"],
            model=request.model,
            message=Message.assistant(choice["message"].get("content") or ""),
            finish_reason=choice["finish_reason"],
            usage=Usage(
                input_tokens=usage["prompt_tokens"],
                output_tokens=usage["completion_tokens"],
                total_tokens=usage["total_tokens"],
            ),
        )

    def close(self) -> None:
        """Part of DSPy's engine contract."""
        self.unload()


_WITH_USAGE = {"stream_options": {"include_usage": True}}


class _Model:
    """A loaded model, and the pieces that each of its slots has computed.

    `_shared` is the longest one of a slot that two prompts had in common; in `_used` the slot used last comes last.
    """

    def __init__(self, weights: Weights, threads: int):
        # Before the native library is loaded. Threads that wait for work spin only briefly: on a busy machine
        # spinning makes generation several times slower, and not spinning at all costs a fifth on an idle one.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
        version()
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(weights.model)
        params.n_ctx = CONTEXT_TOKENS * SLOTS
        params.n_parallel = SLOTS
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.prefill_assistant = False  # a last message of the assistant's is complete, not a beginning
        params.warmup = False
        params.ui = False
        params.verbosity = 0
        params.cache_ram_mib = 0  # no second cache that would decide by itself what to compute anew
        if weights.adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(weights.adapter), 1.0)]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise EndpointUnusable(f"llama.cpp cannot load {weights.model}: {error}") from error
        self._computed: dict[int, list[str]] = {slot: [] for slot in range(SLOTS)}
        self._shared: dict[int, str] = dict.fromkeys(range(SLOTS), "")
        self._used = list(range(SLOTS))

    def answer(self, messages: list[Message], sampling: dict[str, Any]) -> dict[str, Any]:
        pieces = _pieces(messages)
        slot, kept = self._choose(pieces)
        self._used.remove(slot)
        self._used.append(slot)
        self._computed[slot] = []  # until it has gone well: llama.cpp empties a slot that fails
        self._shared[slot] = kept[-1] if kept else ""
        twice = [piece for piece in pieces[len(kept) :] for _ in range(2)]  # its last token alone, as if gone back to
        for number, piece in enumerate([*kept[-1:], *twice]):
            computed = self._compute(slot, piece, go_on=bool(kept or number))
            if "error" in computed:
                return computed
        body = {"messages": messages, "id_slot": slot, "cache_prompt": bool(pieces), **sampling}
        listener = listening.current()
        reply = self._stream(body, listener) if listener else self._server.handle_chat_completions(body)
        if "choices" in reply:
            self._computed[slot] = pieces
        return reply

    def _choose(self, pieces: list[str]) -> tuple[int, list[str]]:
        """The slot that has most of it, and what it has; never one that would lose what has been of use twice."""
        free = [slot for slot in self._used if not self._shared[slot] or self._shared[slot] in pieces]
        has = {slot: _common(pieces, self._computed[slot]) for slot in free or self._used[:1]}
        best = max(has, key=lambda slot: len(has[slot]))
        return best, has[best]

    def _stream(self, body: dict[str, Any], listener: Listener) -> dict[str, Any]:
        """The reply as it comes in one piece, told piece by piece."""
        said: list[str] = []
        whole: dict[str, Any] = {}
        stopped: list[BaseException] = []

        def hear(chunk: dict[str, Any]) -> bool:
            whole.update({key: value for key, value in chunk.items() if value})
            for choice in chunk.get("choices", ()):
                whole["ended"] = choice["finish_reason"]
                if piece := choice["delta"].get("content"):
                    said.append(piece)
                    try:
                        listener.hears(piece)
                    except BaseException as error:  # noqa: BLE001  llama.cpp's thread would swallow it
                        stopped.append(error)
                        return True  # llama.cpp stops
            return False

        listener.begins()
        self._server.handle_chat_completions({**body, "stream": True, **_WITH_USAGE}, hear)
        if stopped:
            raise stopped[0]
        if "error" in whole or not whole.get("ended"):
            return {"error": whole.get("error", "the answer broke off")}
        message = {"content": "".join(said)}
        return {**whole, "choices": [{"message": message, "finish_reason": whole["ended"]}]}

    def _compute(self, slot: int, text: str, *, go_on: bool) -> dict[str, Any]:
        """Bring a slot's state to the end of a text, computing only what is not there yet.

        llama.cpp goes on from the longest beginning that prompt and state have in common, but computes one token at
        least: where all is there, the last one, alone.
        """
        body = {"prompt": text, "id_slot": slot, "cache_prompt": go_on, "n_predict": 0, "temperature": 0}
        reply: dict[str, Any] = self._server.handle_completions(body)
        return reply


def _common(some: list[str], others: list[str]) -> list[str]:
    """The pieces with which both begin: each begins with those before it."""
    return [piece for piece, other in zip(some, others, strict=False) if piece == other]


def _pieces(messages: list[Message]) -> list[str]:
    """The beginnings of a prompt that are computed apart: up to each user message, and up to its first field's value.

    Tokens must not run over their ends: no message may begin with white space. All models are prompted in ChatML.
    """
    turns = [i for i, message in enumerate(messages) if message["role"] == "user"]
    if messages[0]["role"] != "system" or not all(messages[i]["content"][:1].strip() for i in turns):
        return []
    spoken = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    pieces = ["".join(spoken[:i]) + "<|im_start|>user\n" for i in turns]
    heading = _HEADING.match(messages[turns[-1]]["content"]) if turns else None
    if heading and messages[turns[-1]]["content"][heading.end() :][:1].strip():
        pieces.append(pieces[-1] + heading[0])
    return pieces


def _messages(request: "Request") -> list[Message]:
    messages = []
    if request.system:
        system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system)
        messages.append({"role": "system", "content": system})
    messages += [{"role": message.role, "content": message.text or ""} for message in request.messages]
    return messages


def _sampling(request: "Request") -> dict[str, Any]:
    config = request.config
    body = {
        "temperature": config.temperature or 0.0,
        "max_tokens": config.max_tokens,
        "top_p": config.top_p,
        "seed": config.seed,
        "stop": list(config.stop) if config.stop else None,
    }
    if schema := (config.response_format or {}).get("schema"):
        # DSPy hands the schema flat, llama.cpp takes it nested as OpenAI does.
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    elif config.response_format:
        body["response_format"] = dict(config.response_format)
    return {key: value for key, value in body.items() if value is not None}
