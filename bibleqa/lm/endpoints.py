"""From an endpoint's config to a DSPy language model that is known to answer."""

import hashlib
import os
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import httpx
from dspy import lm15
from dspy.utils.exceptions import LMAuthError, LMError
from filelock import FileLock, Timeout

from bibleqa import paths, provenance
from bibleqa.errors import BibleQAError, EndpointUnusable
from bibleqa.lm import embedded
from bibleqa.lm.embedded import EmbeddedEngine
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
    folder = _cache_dir(endpoint, again)
    if again:
        _hold(folder)
    try:
        dspy.configure_cache(
            disk_cache_dir=str(folder),
            disk_size_limit_bytes=2**40,  # answers are never thrown away behind the user's back
            restrict_pickle=True,
        )
    except sqlite3.Error as error:
        raise BibleQAError(f"the answers kept in {folder} cannot be used: {error}; is the disk full?") from error
    sampling = {
        "temperature": endpoint.temperature,
        "max_tokens": endpoint.max_tokens,
        "seed": endpoint.seed,
        "cache": cache,
    }
    if endpoint.kind == "embedded":
        assert endpoint.threads is not None
        return _LM(f"embedded/{endpoint.model}", engine=EmbeddedEngine(endpoint.threads), num_retries=0, **sampling)
    if not endpoint.base_url:
        raise EndpointUnusable("endpoint.base_url: an address is needed, for instance http://127.0.0.1:1234/v1")
    provider = f"bibleqa-{endpoint.kind}"
    lm15.register_provider(
        lm15.ProviderDefinition.chat(
            lm15.AccessPolicy(provider=provider, base_url=endpoint.base_url),
            compat=lm15.OpenAIChatCompat.preset(endpoint.kind),
            placeholder_key="none",
        ),
        supports=lm15.ModelSupport(response_schema=endpoint.response_schema),
        replace=True,
    )
    return _LM(
        f"{provider}/{endpoint.model}",
        engine="lm15",  # else what lm15 cannot send falls to LiteLLM without a word
        api_base=endpoint.base_url,
        api_key=_key(endpoint) or "none",
        timeout=endpoint.timeout,
        num_retries=endpoint.retries,
        **sampling,
    )


class _LM(dspy.LM):
    """An LM whose rollouts differ also where the endpoint takes a seed."""

    def copy(self, **kwargs: Any) -> dspy.LM:
        """As DSPy's; another rollout gets another seed, else the same request would come back the same."""
        if kwargs.get("rollout_id") is not None:
            kwargs.setdefault("seed", (self.kwargs.get("seed") or 0) + kwargs["rollout_id"])
        return super().copy(**kwargs)


def probe(endpoint: EndpointConfig, lm: dspy.LM) -> Health:
    """Ask the endpoint something small, so that what is wrong shows before anything is spent.

    Raises:
        EndpointUnusable: It does not answer; the message says what to start or correct.
    """
    begun = time.perf_counter()
    listed: list[str] = []
    if endpoint.kind == "embedded":
        lm.engine.load(endpoint.model)
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
    (folder / _DONE).touch()
    dspy.cache.disk_cache.close()
    shutil.rmtree(folder, ignore_errors=True)  # what is still open stays on Windows, until the next one comes
    _held.pop(folder).release()


def _hold(folder: Path) -> None:
    """Take the folder of a run that asks all over again, without what an earlier one has left when it was done."""
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


def _key(endpoint: EndpointConfig) -> str | None:
    if endpoint.api_key_env is None:
        return None
    if not (key := os.environ.get(endpoint.api_key_env)):
        raise EndpointUnusable(
            f"endpoint.api_key_env={endpoint.api_key_env}: that environment variable is not set; .env is a place for it"
        )
    return key


def _list_models(endpoint: EndpointConfig) -> list[str]:
    """The models that the server offers, or nothing when it does not say."""
    assert endpoint.base_url
    headers = {"Authorization": f"Bearer {key}"} if (key := _key(endpoint)) else {}
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
