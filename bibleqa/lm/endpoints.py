"""From an endpoint's config to a DSPy language model that is known to answer."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
import httpx
from dspy.utils.exceptions import LMAuthError, LMError, LMInvalidRequestError

from bibleqa.errors import GO_ON, ConfigError, EndpointUnusable, RunFailed, Stopped
from bibleqa.lm import answers, dialects, embedded
from bibleqa.lm.answers import SHARED, Kept, Source
from bibleqa.lm.dialects import Served
from bibleqa.lm.embedded import EmbeddedEngine
from bibleqa.lm.finetune import LoRAProvider
from bibleqa.lm.health import short
from bibleqa.lm.meter import Meter
from bibleqa.lm.remote import PROBE, RemoteEngine
from bibleqa.schema import EndpointConfig


@dataclass(frozen=True)
class Probed:
    """What a probe found."""

    models: list[str]
    """Models that the server lists; empty for an embedded model."""
    seconds: float
    """Time to the first answer, loading included."""
    loaded_before: list[str] = field(default_factory=list)
    """Those that it had in memory until then, where the one that was asked was not."""


def connect(endpoint: EndpointConfig, source: Source = SHARED, *, cache: bool = True) -> dspy.LM:
    """The language model of an endpoint. Nothing is asked or loaded yet.

    Args:
        endpoint: Where it is.
        source: Which answers were given before.
        cache: Whether they are given again.

    Raises:
        EndpointUnusable: There is no address, or the variable of the key is not set.
        BibleQAError: The answers that are kept cannot be read or written.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # DSPy would download a price list
    kept = answers.of(endpoint, source)
    sampling = {
        "temperature": endpoint.temperature,
        "max_tokens": endpoint.max_tokens,
        "seed": endpoint.seed,
        "cache": cache,
    }
    if endpoint.kind == "embedded":
        assert endpoint.threads is not None
        engine = _engine(endpoint.model, endpoint.threads)
        name = endpoint.model
        if endpoint.adapter:
            name += f"+{embedded.adapter_digest(endpoint)[:12]}"
            engine.adopt(name, endpoint.model, Path(endpoint.adapter))
        return _LM(
            f"embedded/{name}",
            kept,
            engine=engine,
            provider=LoRAProvider(engine, source.recorded),
            num_retries=0,
            **sampling,
        )
    remote = RemoteEngine(endpoint, address(endpoint), None if source.recorded else key(endpoint), source.tell)
    return _LM(remote.name, kept, engine=remote, num_retries=0, **sampling)


_engines: dict[tuple[str, int], EmbeddedEngine] = {}
"""By model and threads. A process that makes one run after the other loads a model once."""

_well: set[str] = set()
"""Embedded models that this process has loaded."""


def _engine(model: str, threads: int) -> EmbeddedEngine:
    return _engines.setdefault((model, threads), EmbeddedEngine(threads))


def unload_others(wanted: Iterable[EndpointConfig]) -> None:
    """Give back the memory of embedded models that this process has loaded for earlier runs and not for this one."""
    kept = {(endpoint.model, endpoint.threads) for endpoint in wanted}
    for key in _engines.keys() - kept:
        _engines.pop(key).unload()


class _LM(dspy.LM):
    """An LM with the answers of its endpoint, whose rollouts differ also where the endpoint takes a seed."""

    def __init__(self, model: str, kept: Kept, **kwargs: Any):
        super().__init__(model, **kwargs)
        self._kept = kept

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(meter := dspy.settings.get("usage_tracker"), Meter):
            meter.prompt = tuple(
                {"role": str(message["role"]), "content": str(message["content"])}
                for message in kwargs.get("messages") or ()
            )
        with answers.in_use(self._kept), _never_a_zero():
            return super().__call__(*args, **kwargs)

    def copy(self, **kwargs: Any) -> dspy.LM:
        """As DSPy's; another rollout gets another seed, else the same request would come back the same."""
        if kwargs.get("rollout_id") is not None:
            kwargs.setdefault("seed", (self.kwargs.get("seed") or 0) + kwargs["rollout_id"])
        return super().copy(**kwargs)


@contextmanager
def _never_a_zero() -> Iterator[None]:
    """Stop the run where an endpoint fails an optimizer, which would take the failure for an answer worth 0.

    A request that is at fault itself, by its length for instance, says something of the candidate, and is kept among
    the errors of the optimizer.
    """
    try:
        yield
    except LMError as error:
        meter = dspy.settings.get("usage_tracker")
        if isinstance(meter, Meter) and meter.for_optimizer and not isinstance(error, LMInvalidRequestError):
            raise Stopped(RunFailed(f"the endpoint failed inside the optimizer: {short(error)}. {GO_ON}")) from error
        raise


@contextmanager
def speaking_of(role: str) -> Iterator[None]:
    """What is wrong in here is said of that role's endpoint (`judge`, `teacher`, `embedder`)."""
    try:
        yield
    except (ConfigError, EndpointUnusable) as error:
        raise type(error)(f"{role}: {error}") from error


def probe(endpoint: EndpointConfig, lm: dspy.LM) -> Probed:
    """Ask the endpoint something small, so that what is wrong shows before anything is spent.

    Raises:
        EndpointUnusable: It does not answer, or another model would; the message says what to start or correct.
    """
    begun = time.perf_counter()
    served: list[Served] = []
    before: list[str] = []
    complaint = None
    if endpoint.kind == "embedded":
        if lm.model in _well:
            return Probed([], 0.0)  # it was asked for an earlier run of this process
        lm.engine.load(lm.model.removeprefix("embedded/"))
    else:
        dialect = dialects.of(endpoint)
        served = models(endpoint)
        before = dialect.loaded_instead(endpoint.model, served)
        complaint = dialect.complaint(endpoint.model, served)
        if complaint and dialect.substitutes:
            raise EndpointUnusable(complaint)
    try:
        lm(PROBE, cache=False)
    except LMAuthError as error:
        raise _key_refused(endpoint) from error
    except LMError as error:
        more = f"; {complaint}" if complaint else ""
        raise EndpointUnusable(f"{_where(endpoint)} does not answer: {short(error)}{more}") from error
    if endpoint.kind == "embedded":
        _well.add(lm.model)
    return Probed([one.id for one in served], time.perf_counter() - begun, before)


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


def models(endpoint: EndpointConfig) -> list[Served]:
    """The models that a server has, or nothing when it does not say.

    Raises:
        EndpointUnusable: Nothing answers there, it refuses the key, or it is still loading.
    """
    dialect = dialects.of(endpoint)
    base = address(endpoint).rstrip("/")
    headers = {"Authorization": f"Bearer {secret}"} if (secret := key(endpoint)) else {}

    def read(path: str) -> httpx.Response:
        reply = httpx.get(f"{base}/{path}", headers=headers, timeout=httpx.Timeout(30, connect=3))
        if path == "models" and reply.status_code in (401, 403):
            raise _key_refused(endpoint)
        return reply

    try:
        return dialect.models(read)
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise EndpointUnusable(f"nothing answers at {endpoint.base_url} ({short(error)}): {dialect.start}") from error


def _key_refused(endpoint: EndpointConfig) -> EndpointUnusable:
    if endpoint.api_key_env:
        return EndpointUnusable(f"{endpoint.base_url} refuses the key that {endpoint.api_key_env} holds")
    return EndpointUnusable(f"{endpoint.base_url} wants a key: name its variable in endpoint.api_key_env")


def _where(endpoint: EndpointConfig) -> str:
    return f"{endpoint.model} at {endpoint.base_url or 'llama.cpp'}"
