"""Meaning as a vector: from an embedded model, or from an OpenAI-compatible endpoint's /embeddings.

The embedded models are made to write, not to compare, and the mean of their states tells a right answer from a wrong
one no better than a coin. So the text is put into a sentence that asks for its meaning in one word, the state is
taken where that word would follow (Jiang et al. 2023, "Scaling Sentence Embeddings with Large Language Models",
arXiv:2307.16645), and what all texts have in common is subtracted.
"""

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import httpx
import numpy as np
from dspy import lm15
from dspy.clients.errors import error_boundary
from dspy.utils.exceptions import LMError, LMInvalidRequestError

from bibleqa import artifacts, provenance
from bibleqa.errors import ConfigError, EndpointUnusable
from bibleqa.lm import answers, embedded, endpoints
from bibleqa.lm.answers import Kept, Source
from bibleqa.lm.health import Health
from bibleqa.schema import EndpointConfig

MOST_CHARACTERS = 1000
"""What is longer is compared by its beginning."""

_CODE = provenance.code_digest(["lm/embeddings"])[:12]
_CONTEXT_TOKENS = 4096  # a character of Hebrew may take three tokens
_SENTENCE = 'This sentence: "{}" means in one word: "'
_COMMON = (
    "Adam|Jerusalem|forty days|the king|bread and wine|he went up to the mountain|faith|seven|a woman|"
    "because they sinned|in the temple|the Philistines|love one another|a lamb|Paul the apostle|a thousand"
).split("|")
"""The mean of these is what all answers have in common."""

_STATUS: dict[int, type[lm15.ProviderError]] = {
    401: lm15.AuthError,
    403: lm15.AuthError,
    404: lm15.UnsupportedModelError,
    408: lm15.TimeoutError,
    429: lm15.RateLimitError,
}


class Embedder(Protocol):
    """Gives texts a place each; what lies in one direction means the same."""

    def embed(self, texts: list[str]) -> np.ndarray:
        """Vectors of length 1, one row a text.

        Raises:
            LMError: They cannot be had.
        """
        ...


def connect(endpoint: EndpointConfig, source: Source, kept: Kept | None = None) -> Embedder:
    """The embedder of an endpoint. Nothing is asked or loaded yet; a vector that was once had is kept.

    Args:
        endpoint: Which model.
        source: Where the run has its answers from.
        kept: Where vectors are kept, if not with those.

    Raises:
        ConfigError: There is no such embedded model.
        EndpointUnusable: There is no address, or the variable of the key is not set.
        BibleQAError: The vectors that are kept cannot be read or written.
    """
    if endpoint.kind == "embedded":
        embedded.digest(endpoint)
        if endpoint.adapter:
            raise ConfigError("embedder.adapter: meanings are compared by the model as it is; leave the adapter out")
        assert endpoint.threads is not None
        return EmbeddedEmbedder(endpoint.model, endpoint.threads, kept or answers.of(endpoint, source))
    key = None if source.recorded else endpoints.key(endpoint)
    kept = kept or answers.of(endpoint, source)
    return RemoteEmbedder(endpoint, endpoints.address(endpoint), key, kept, source.tell)


def probe(embedder: Embedder) -> None:
    """Ask for a vector, so that what is wrong shows before anything is spent.

    Raises:
        EndpointUnusable: There is none.
    """
    try:
        embedder.embed(["ark"])
    except LMError as error:
        raise EndpointUnusable(f"no embeddings: {' '.join(str(error).split())[:200]}") from error


class EmbeddedEmbedder:
    """Embeds by a model inside this process, loaded when it is first asked; safe from many threads."""

    def __init__(self, model: str, threads: int, kept: Kept):
        """Make an embedder.

        Args:
            model: One of `embedded.MODELS`.
            threads: CPU threads.
            kept: The states that were computed before.
        """
        self._model = model
        self._threads = threads
        self._kept = kept
        self._lock = threading.RLock()
        self._known: dict[str, np.ndarray] = {}

    def embed(self, texts: list[str]) -> np.ndarray:
        """Vectors of length 1, one row a text.

        Raises:
            EndpointUnusable: The model cannot be had or loaded.
        """
        with self._lock:
            for text in texts:
                if text not in self._known:
                    self._known[text] = _of_length_1(self._state(text) - self._common)
            return np.array([self._known[text] for text in texts])

    @cached_property
    def _common(self) -> np.ndarray:
        return np.mean([self._state(text) for text in _COMMON], axis=0)

    def _state(self, text: str) -> np.ndarray:
        request = {"_fn_identifier": f"bibleqa.embeddings {_CODE}", "model": self._model, "input": text}
        state = self._kept.get(request)
        if state is None:
            state = self._computed(text)
            self._kept.put(request, state)
        return np.array(state)

    def _computed(self, text: str) -> list[float]:
        reply = self._server.handle_embeddings({"input": [_SENTENCE.format(text[:MOST_CHARACTERS])]})
        if "data" not in reply:
            raise LMInvalidRequestError(f"llama.cpp: {reply.get('error', reply)}", model=self._model)
        return [float(number) for number in reply["data"][0]["embedding"]]

    @cached_property
    def _server(self) -> Any:
        path = artifacts.fetch(embedded.MODELS[self._model])
        # As for the models that answer, before the native library is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
        embedded.version()
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
        params.n_ctx = params.n_batch = params.n_ubatch = _CONTEXT_TOKENS
        params.n_parallel = 1  # with more slots the same text does not always get the same vector
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.warmup = False
        params.ui = False
        params.verbosity = 0
        params.cache_ram_mib = 0
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise EndpointUnusable(f"llama.cpp cannot load {path}: {error}") from error


class RemoteEmbedder:
    """Embeds by an OpenAI-compatible server; a vector that was once paid for is kept with its endpoint's answers."""

    def __init__(
        self, endpoint: EndpointConfig, address: str, key: str | None, kept: Kept, tell: Callable[[str], None]
    ):
        """Make an embedder.

        Args:
            endpoint: Which model, and how long and how often it is tried.
            address: Of the server, up to /v1.
            key: What the server asks for, if anything.
            kept: The vectors that were had before.
            tell: See `Health`.
        """
        self._endpoint = endpoint
        self._client = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=endpoint.timeout,
        )
        self._kept = kept
        self._health = Health(endpoint, lambda: self._ask(["Noah"]), tell)

    def embed(self, texts: list[str]) -> np.ndarray:
        """Vectors of length 1, one row a text; the texts that are not known yet are sent in one request.

        Raises:
            LMError: The endpoint failed, after as many tries as its config says.
        """
        texts = [text[:MOST_CHARACTERS] for text in texts]
        vectors = {text: self._kept.get(self._request(text)) for text in texts}
        if new := [text for text, vector in vectors.items() if vector is None]:
            with error_boundary(self._endpoint.model):
                had = self._health.ask(lambda: self._ask(new))
            for text, vector in zip(new, had, strict=True):
                self._kept.put(self._request(text), vector)
                vectors[text] = vector
        return np.array([_of_length_1(np.array(vectors[text])) for text in texts])

    def _request(self, text: str) -> dict[str, Any]:
        return {"_fn_identifier": "bibleqa.embeddings", "model": self._endpoint.model, "input": text}

    def _ask(self, texts: list[str]) -> list[list[float]]:
        body = {"model": self._endpoint.model, "input": texts, "encoding_format": "float"}
        try:
            reply = self._client.post("embeddings", json=body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise lm15.TransportError(str(error) or type(error).__name__) from error
        if reply.status_code >= 400:
            other = lm15.ServerError if reply.status_code >= 500 else lm15.InvalidRequestError
            kind = _STATUS.get(reply.status_code, other)
            raise kind(reply.text[:200], status=reply.status_code, retry_after=_seconds(reply))
        try:
            rows = sorted(reply.json()["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise lm15.ServerError(f"no embeddings in the reply: {reply.text[:200]}") from error
        if len(vectors) != len(texts):
            raise lm15.ServerError(f"{len(vectors)} embeddings for {len(texts)} texts")
        return vectors


def _seconds(reply: httpx.Response) -> float | None:
    """How long the server wants to be left alone."""
    wanted = reply.headers.get("retry-after", "")
    return float(wanted) if wanted.isdigit() else None


def _of_length_1(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) or 1.0)
