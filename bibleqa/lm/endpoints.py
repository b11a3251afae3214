"""From an endpoint's config to a DSPy language model that is known to answer."""

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

import dspy
import httpx
from dspy import lm15
from dspy.clients.cache import Cache
from dspy.utils.exceptions import LMAuthError, LMError
from filelock import FileLock, Timeout

from bibleqa import paths, provenance
from bibleqa.errors import BibleQAError, ConfigError, EndpointUnusable
from bibleqa.lm import embedded
from bibleqa.lm.embedded import EmbeddedEngine
from bibleqa.lm.finetune import LoRAProvider
from bibleqa.schema import EndpointConfig

_START = {
    "lmstudio": "start LM Studio's server (Developer > Start server) and load the model",
    "ollama": "start it with `ollama serve`",
    "vllm": "start it with `vllm serve <model>`",
    "openai": "start the server, or correct endpoint.base_url",
}


_DONE = "done"
_held: dict[Path, FileLock] = {}
"""The folders of runs that this process makes again."""


@dataclass(frozen=True)
class Health:
    """What a probe found."""

    models: list[str]
    """Models that the server lists; empty for an embedded model."""
    seconds: float
    """Time to the first answer, loading included."""


def connect(endpoint: EndpointConfig, *, cache: bool = True, again: str | None = None) -> dspy.LM:
    """The language model of an endpoint. Nothing is asked or loaded yet.

    Args:
        endpoint: Where it is.
        cache: Whether answers that were once paid for are given again.
        again: The fingerprint of a run that asks all over again. Its answers are kept apart, so that it can go on
            where it was interrupted, until `forget`.

    Raises:
        EndpointUnusable: There is no address, or the variable of the key is not set.
        BibleQAError: The answers that are kept cannot be read or written.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # DSPy would download a price list
    kept = answers(endpoint, again=again)
    sampling = {
        "temperature": endpoint.temperature,
        "max_tokens": endpoint.max_tokens,
        "seed": endpoint.seed,
        "cache": cache,
    }
    if endpoint.kind == "embedded":
        assert endpoint.threads is not None
        engine = EmbeddedEngine(endpoint.threads)
        name = endpoint.model
        if endpoint.adapter:
            name += f"+{embedded.adapter_digest(endpoint)[:12]}"
            engine.adopt(name, endpoint.model, Path(endpoint.adapter))
        return _LM(f"embedded/{name}", kept, engine=engine, provider=LoRAProvider(engine), num_retries=0, **sampling)
    base_url = address(endpoint)
    provider = f"bibleqa-{endpoint.kind}"
    lm15.register_provider(
        lm15.ProviderDefinition.chat(
            lm15.AccessPolicy(provider=provider, base_url=base_url),
            compat=lm15.OpenAIChatCompat.preset(endpoint.kind),
            placeholder_key="none",
        ),
        supports=lm15.ModelSupport(response_schema=endpoint.response_schema),
        replace=True,
    )
    return _LM(
        f"{provider}/{endpoint.model}",
        kept,
        engine="lm15",  # else what lm15 cannot send falls to LiteLLM without a word
        api_base=base_url,
        api_key=key(endpoint) or "none",
        timeout=endpoint.timeout,
        num_retries=endpoint.retries,
        **sampling,
    )


class Answers(Cache):
    """The answers of one endpoint, in a folder of its own; programs are copied with it, and it is not."""

    def __init__(self, folder: Path):
        super().__init__(
            enable_disk_cache=True,
            enable_memory_cache=True,
            disk_cache_dir=str(folder),
            disk_size_limit_bytes=2**40,  # answers are never thrown away behind the user's back
            restrict_pickle=True,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


_open: WeakValueDictionary[Path, Answers] = WeakValueDictionary()
_asked: ContextVar[Answers] = ContextVar("asked")
"""The answers of the endpoint that is being asked."""


class _OfWhoIsAsked(Cache):
    """DSPy's one cache for all: stands for that of the endpoint which is being asked, else keeps in memory."""

    def __init__(self) -> None:
        super().__init__(enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        kept = _asked.get(None)
        return kept.get(*args, **kwargs) if kept is not None else super().get(*args, **kwargs)

    def put(self, *args: Any, **kwargs: Any) -> None:
        kept = _asked.get(None)
        return kept.put(*args, **kwargs) if kept is not None else super().put(*args, **kwargs)


class _LM(dspy.LM):
    """An LM with the answers of its endpoint, whose rollouts differ also where the endpoint takes a seed."""

    def __init__(self, model: str, kept: Answers, **kwargs: Any):
        super().__init__(model, **kwargs)
        self._kept = kept

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._in_use():
            return super().__call__(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """As DSPy's."""
        with self._in_use():
            return await super().acall(*args, **kwargs)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        token = _asked.set(self._kept)
        try:
            yield
        finally:
            _asked.reset(token)

    def copy(self, **kwargs: Any) -> dspy.LM:
        """As DSPy's; another rollout gets another seed, else the same request would come back the same."""
        if kwargs.get("rollout_id") is not None:
            kwargs.setdefault("seed", (self.kwargs.get("seed") or 0) + kwargs["rollout_id"])
        return super().copy(**kwargs)


def answers(endpoint: EndpointConfig, *, again: str | None = None) -> Answers:
    """The answers of an endpoint that are kept, which its language model is connected with; `again` as there.

    Raises:
        BibleQAError: They cannot be read or written.
    """
    if not isinstance(dspy.__dict__.get("cache"), _OfWhoIsAsked):
        dspy.cache = _OfWhoIsAsked()
    folder = _cache_dir(endpoint, again)
    if again:
        _hold(folder)
    try:
        kept = _open.get(folder) or Answers(folder)
    except sqlite3.Error as error:
        raise BibleQAError(f"the answers kept in {folder} cannot be used: {error}; is the disk full?") from error
    _open[folder] = kept
    return kept


@contextmanager
def speaking_of(role: str) -> Iterator[None]:
    """What is wrong in here is said of that role's endpoint (`judge`, `teacher`, `embedder`)."""
    try:
        yield
    except (ConfigError, EndpointUnusable) as error:
        raise type(error)(f"{role}: {error}") from error


def probe(endpoint: EndpointConfig, lm: dspy.LM) -> Health:
    """Ask the endpoint something small, so that what is wrong shows before anything is spent.

    Raises:
        EndpointUnusable: It does not answer; the message says what to start or correct.
    """
    begun = time.perf_counter()
    listed: list[str] = []
    if endpoint.kind == "embedded":
        lm.engine.load(lm.model.removeprefix("embedded/"))
    else:
        listed = _list_models(endpoint)
    try:
        lm("Answer with one word: who built the ark?", cache=False)
    except LMAuthError as error:
        raise _key_refused(endpoint) from error
    except LMError as error:
        other = f"; the server has {', '.join(listed[:5])}" if listed and endpoint.model not in listed else ""
        raise EndpointUnusable(f"{_where(endpoint)} does not answer: {_short(error)}{other}") from error
    return Health(listed, time.perf_counter() - begun)


def concurrency(endpoint: EndpointConfig) -> int:
    """How many questions are asked at once: an embedded model answers one at a time."""
    return 1 if endpoint.kind == "embedded" else endpoint.threads or 1


def forget(endpoint: EndpointConfig, again: str) -> None:
    """Drop the answers that a run which asked all over again kept apart: it has all it wanted."""
    folder = _cache_dir(endpoint, again)
    if not (lock := _held.pop(folder, None)):
        return  # they were another endpoint's too
    (folder / _DONE).touch()
    if kept := _open.pop(folder, None):
        kept.disk_cache.close()
    shutil.rmtree(folder, ignore_errors=True)  # what is still open stays on Windows, until the next one comes
    lock.release()


def _hold(folder: Path) -> None:
    """Take the folder of a run that asks all over again, without what an earlier one has left when it was done."""
    if folder in _held:
        return  # for another endpoint of the same run
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BibleQAError("another process is making this very run again; wait for it") from None
    _held[folder] = lock
    if (folder / _DONE).exists():
        shutil.rmtree(folder)


def _cache_dir(endpoint: EndpointConfig, again: str | None) -> Path:
    """One folder an endpoint: DSPy's cache key has the model and the prompt, but not where they were sent."""
    if endpoint.kind == "embedded":
        # Another build, another way of calling it or another number of threads may give other answers.
        place = f"{embedded.version()} {provenance.code_digest(['lm/embedded'])} {endpoint.threads}"
    else:
        place = endpoint.base_url or ""
    name = f"{endpoint.kind}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    return paths.project() / "outputs" / ".cache" / (f"{name}-again-{again[:12]}" if again else name)


def address(endpoint: EndpointConfig) -> str:
    """Where the server is, up to /v1.

    Raises:
        EndpointUnusable: The config does not say.
    """
    if not endpoint.base_url:
        raise EndpointUnusable("endpoint.base_url: an address is needed, for instance http://127.0.0.1:1234/v1")
    return endpoint.base_url


def key(endpoint: EndpointConfig) -> str | None:
    """The secret that the server asks for, from the environment; None for a server that asks for none.

    Raises:
        EndpointUnusable: The variable is not set.
    """
    if endpoint.api_key_env is None:
        return None
    if not (secret := os.environ.get(endpoint.api_key_env)):
        raise EndpointUnusable(
            f"endpoint.api_key_env={endpoint.api_key_env}: that environment variable is not set; .env is a place for it"
        )
    return secret


def _list_models(endpoint: EndpointConfig) -> list[str]:
    """The models that the server offers, or nothing when it does not say."""
    assert endpoint.base_url
    headers = {"Authorization": f"Bearer {secret}"} if (secret := key(endpoint)) else {}
    try:
        reply = httpx.get(
            f"{endpoint.base_url.rstrip('/')}/models", headers=headers, timeout=httpx.Timeout(30, connect=3)
        )
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise EndpointUnusable(
            f"nothing answers at {endpoint.base_url} ({_short(error)}): {_START[endpoint.kind]}"
        ) from error
    if reply.status_code in (401, 403):
        raise _key_refused(endpoint)
    try:
        return [str(model["id"]) for model in reply.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def _key_refused(endpoint: EndpointConfig) -> EndpointUnusable:
    if endpoint.api_key_env:
        return EndpointUnusable(f"{endpoint.base_url} refuses the key that {endpoint.api_key_env} holds")
    return EndpointUnusable(f"{endpoint.base_url} wants a key: name its variable in endpoint.api_key_env")


def _where(endpoint: EndpointConfig) -> str:
    return f"{endpoint.model} at {endpoint.base_url or 'llama.cpp'}"


def _short(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
