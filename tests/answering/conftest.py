"""A project with a small corpus store, and an endpoint that answers by a script."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dspy
import fake_openai
import pytest
import small_corpus
from fake_openai import MODEL, Asked, Server

from bibleqa.data import sources
from bibleqa.data.item import Turn
from bibleqa.data.kjv import kjv
from bibleqa.retrieval import LOOKED_UP, Passage, named
from bibleqa.serve.answerer import Answerer


@pytest.fixture(autouse=True)
def small_store(project: Path, with_verse_index: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Some words of some verses; no waiting between tries, and DSPy as it was afterwards."""
    path = small_corpus.build(project / "corpus.sqlite")
    monkeypatch.setattr(sources, "ensure_store", lambda corpus: path)
    monkeypatch.setattr("bibleqa.lm.health._backoff", lambda failed: 0.0)
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-your-business")
    before, level = dspy.cache, logging.getLogger("dspy").level
    yield path
    dspy.cache = before
    logging.getLogger("dspy").setLevel(level)


def knows(asked: Asked) -> str:
    """A model that answers from the verses, and follows a conversation."""
    if asked.question == "And what else?":
        return "the earth" if "heavens" in str(asked.body["messages"]) else "of what?"
    return {"Who created the heavens and the earth?": "God", "Who wept?": "Jesus"}.get(asked.question, "unknown")


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(knows) as server:
        yield server


@pytest.fixture
def endpoint(server: Server) -> list[str]:
    """The overrides by which the server is asked."""
    return ["endpoint=openai", f"endpoint.base_url={server.base_url}", f"endpoint.model={MODEL}"]


class Named:
    """Looks up the verses that are named, and searches for no others."""

    def search(self, question: str, k: int, history: Sequence[Turn] = ()) -> list[Passage]:
        return [Passage.of(kjv()[verse.id], LOOKED_UP) for verse in named.verses_of(question, history)[:k]]


@pytest.fixture
def opened(endpoint: list[str]) -> Callable[..., Answerer]:
    """Makes an answerer with overrides."""

    def make(*overrides: str, **rest: Any) -> Answerer:
        return Answerer(None, [*endpoint, *overrides], **{"retriever": Named(), **rest})

    return make
