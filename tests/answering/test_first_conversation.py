"""The conversation that everybody begins with, with the real model and the whole corpus."""

from pathlib import Path

import pytest

from bibleqa.data import sources, store
from bibleqa.data.item import Turn
from bibleqa.errors import ConfigError
from bibleqa.schema import CorpusConfig
from bibleqa.serve.answer import Answered
from bibleqa.serve.answerer import Answerer

pytestmark = pytest.mark.slow

CREATED = "Who created the heavens and the earth?"
MEANT = "What does 'God' mean here?"


def test_who_created_the_heavens_and_what_is_meant(sword_folder: Path, small_store: Path) -> None:
    config = CorpusConfig(sword_path=str(sword_folder))
    list(store.build(small_store, sources.available(config), config.max_rejects))
    answerer = Answerer()

    *pieces, first = answerer.stream(CREATED, context="Genesis 1:1")
    assert isinstance(first, Answered)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == first.answer == "God"
    assert first.by == "model"

    second = answerer.answer(MEANT, context="Genesis 1:1", history=[Turn(CREATED, "God")])
    assert (second.answer, second.by) == ("Elohim (H430)", "lexicon")
    (word,) = second.citations[0].words
    assert (word.text, word.strongs, word.transliteration) == ("God", "H430", "Elohim")


def test_an_answer_in_pieces_is_the_answer_in_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ["endpoint=embedded_tiny", "endpoint.max_tokens=24"]
    whole = Answerer(None, tiny).answer("Who wept?", context="John 11:35")
    monkeypatch.setenv("BIBLEQA_PROJECT", str(project / "where no answers are kept yet"))
    *_, streamed = Answerer(None, tiny).stream("Who wept?", context="John 11:35")

    assert isinstance(streamed, Answered)
    assert (streamed.answer, streamed.raw) == (whole.answer, whole.raw)


def test_what_is_too_long_is_refused_in_pieces_too() -> None:
    answerer = Answerer(None, ["endpoint=embedded_tiny"])

    for ask in (answerer.answer, lambda question, context: list(answerer.stream(question, context=context))):
        with pytest.raises(ConfigError, match=r"refuses the question: .*exceeds the available context"):
            ask("Who?", context="word " * 30_000)
