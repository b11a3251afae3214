"""Verses for a question that comes without any: those that it names are looked up, others are searched."""

from collections.abc import Sequence
from dataclasses import replace

from bibleqa.data.item import Turn
from bibleqa.data.kjv import kjv
from bibleqa.lm import answers, embeddings
from bibleqa.lm.answers import SHARED, Source
from bibleqa.retrieval import named
from bibleqa.retrieval.fts import FullText
from bibleqa.retrieval.local import LocalEmbedder
from bibleqa.retrieval.passages import LOOKED_UP, Passage, Retriever, Search, context_of, note, watched
from bibleqa.retrieval.vectors import Meaning
from bibleqa.schema import EndpointConfig, RetrieverConfig

__all__ = ["LOOKED_UP", "Hybrid", "Passage", "Retriever", "build", "context_of", "note", "watched"]

_MEANING = 1.5
"""What a standard deviation of meaning counts, in BM25; chosen by `benchmarks/retrieval.py --tuning`."""
_ALL = 31_102
"""Verses whose scores are put together: one that a search puts last still has a score in it."""


class LookUpFirst:
    """Gives the verses that a question names, then those that a search finds for the rest of it."""

    def __init__(self, search: Search):
        self._search = search

    def search(self, question: str, k: int, history: Sequence[Turn] = ()) -> list[Passage]:
        """See `Retriever`; a follow-up question is searched with the turn before it."""
        bible = kjv()
        looked_up = [Passage.of(bible[verse.id], LOOKED_UP) for verse in named.verses_of(question, history)]
        if len(looked_up) >= k:
            return looked_up
        before = [f"{turn.question} {turn.answer}" for turn in history[-1:]]
        wanted = named.without(" ".join([*before, question]))
        known = {passage.reference for passage in looked_up}
        found = [
            Passage.of(bible[verse], self._search.name) for verse in self._search.scores(wanted, k + len(looked_up))
        ]
        return [*looked_up, *(passage for passage in found if passage.reference not in known)][:k]

    def __deepcopy__(self, memo: object) -> "LookUpFirst":
        return self  # programs are copied, the index is not


class Hybrid:
    """Full text and meaning together: the sum of both scores.

    BM25 is taken as it is, so that each rare word that a question has of a verse adds to it: one that quotes is decided
    by its words, one in words of its own by its meaning. On the questions that the searches were tuned by, that found
    more than ranks put together (reciprocal rank fusion), which forget by how much a verse leads.
    """

    name = "hybrid"

    def __init__(self, words: Search, meaning: Search):
        self._words = words
        self._meaning = meaning

    def scores(self, text: str, depth: int) -> dict[int, float]:
        """The ids of the best verses with their scores."""
        words = self._words.scores(text, _ALL)
        meaning = self._meaning.scores(text, _ALL)
        total = {verse: words.get(verse, 0.0) + _MEANING * score for verse, score in meaning.items()}
        return dict(sorted(total.items(), key=lambda one: (-one[1], one[0]))[:depth])


def build(config: RetrieverConfig, embedder: EndpointConfig | None = None, source: Source = SHARED) -> Retriever:
    """The retriever of a config. Nothing is loaded or asked yet; an index that is missing is built when it is needed.

    Args:
        config: Its `model` embeds; where that is empty, the endpoint does.
        embedder: The endpoint that embeds.
        source: Where the run has its answers from.

    Raises:
        ConfigError: There is no such embedded model.
        EndpointUnusable: The endpoint has no address, or the variable of its key is not set.
    """
    if config.name == "fts":
        return LookUpFirst(FullText())
    meaning = _meaning(config.model, embedder, source)
    return LookUpFirst(Hybrid(FullText(), meaning) if config.name == "hybrid" else meaning)


def _meaning(model: str | None, endpoint: EndpointConfig | None, source: Source) -> Meaning:
    if model:
        local = LocalEmbedder(model)
        return Meaning(local, local, model)
    assert endpoint, "a checked config has a model or an endpoint that embeds"
    known_by = f"{endpoint.kind} {endpoint.base_url or ''} {endpoint.model}"
    once = embeddings.connect(endpoint, replace(SHARED, tell=source.tell), answers.unkept(endpoint))
    return Meaning(embeddings.connect(endpoint, source), once, known_by)
