"""Answering questions with a program that a run has made, or with the unoptimized one."""

import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError, LMAuthError, LMError, LMInvalidRequestError

from bibleqa import adapters, assertions, formats, retrieval
from bibleqa import program as programs
from bibleqa.data import sources
from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item, Turn
from bibleqa.data.kjv import Bible, Verse, context_of, kjv
from bibleqa.errors import BibleQAError, ConfigError, EndpointUnusable, Stopped
from bibleqa.lm import endpoints, listening
from bibleqa.lm.answers import Source
from bibleqa.lm.health import short
from bibleqa.lm.meter import Meter
from bibleqa.results import past
from bibleqa.retrieval import Retriever, named
from bibleqa.schema import Config, EndpointConfig
from bibleqa.serve import lexicon, models
from bibleqa.serve.answer import Answered, Citation, Piece
from bibleqa.serve.lexicon import Lexicon
from bibleqa.serve.pieces import answer_so_far

TURNS = 8
"""Of a conversation, the latest that a model is told."""
_MOST_VERSES = 60
_LONGEST_REFERENCE = 60
_REFERENCE = re.compile(r"\s*(?:[1-3]\s*)?[^\W\d][^\n\d]*\d[\d\s:.,;–-]*")
_PUNCTUATION = 15
"""Characters that two ways to write a verse may differ by."""
_PATIENCE = 10.0
"""Seconds that a person may be kept waiting by an endpoint that asks for it."""


class Answerer:
    """Answers questions, from many threads; an embedded model answers one at a time."""

    def __init__(
        self, folder: Path | None = None, overrides: Sequence[str] = (), *, retriever: Retriever | None = None
    ):
        """Make one; no model is asked or loaded yet, but where the format of `adapter=auto` is not known.

        Args:
            folder: A run folder, or one of models/, which is shaped like it; None: the unoptimized program of the
                default config.
            overrides: As for run.py, for instance `endpoint=lm_studio` to ask another model than the one that the
                program was optimized with.
            retriever: Finds verses for questions that come without.

        Raises:
            ConfigError: There is no such program, or it does not go with the overrides.
            EndpointUnusable: There is no address or key of the endpoint.
        """
        source = Source(passing=True)
        self.config = _patient(formats.settled(models.config_of(folder, overrides)))
        self.about = _about(folder, self.config)
        self._adapter = adapters.build(self.config.adapter)
        learned = folder and not past.find(str(folder)).summary.get("unchanged")
        self._written = context_of if learned else _for_anybody
        self._bible = kjv()
        self.lexicon = Lexicon(Corpus(sources.ensure_store(self.config.corpus)))
        self.retriever = retriever or retrieval.build(self.config.retriever, self.config.embedder, source)
        self._program = _program(self.config, folder, self.retriever, source)

    def probe(self) -> endpoints.Probed:
        """Load the model, or see that its endpoint answers.

        Raises:
            EndpointUnusable: It does not.
        """
        return endpoints.probe(self.config.endpoint, self._program.predictors()[0].lm)

    def glance(self) -> None:
        """See that the endpoint is there; its model is asked nothing, which would cost.

        Raises:
            EndpointUnusable: It is not.
        """
        if self.config.endpoint.kind != "embedded":
            endpoints.models(self.config.endpoint)

    def answer(self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()) -> Answered:
        """Answer a question.

        Args:
            question: What is asked.
            context: What it shall be answered from: verses, or a reference (`Genesis 1:1-3`), which is looked up. Where
                there is none, verses are looked for.
            history: Earlier turns of the conversation, oldest first.

        Raises:
            ConfigError: There is no question, the context names verses that do not exist, or all of it is too long.
            EndpointUnusable: The model does not answer; the next question may go well.
        """
        return self._answer(question, context, history, lambda found: None)

    def _answer(
        self,
        question: str,
        context: str | None,
        history: Sequence[Turn],
        tell: Callable[[Sequence[tuple[Verse, str]]], None],
    ) -> Answered:
        """The answer; `tell` is called with the verses, each with how it came, before a model is asked."""
        begun = time.perf_counter()
        if not question.strip():
            raise ConfigError("a question is wanted")
        history = tuple(history)[-TURNS:]
        text, found = self._at_hand(question, context, history)
        verses = [verse for verse, _ in found]
        retrieved = time.perf_counter()
        tell(found)
        about_words = self.lexicon.has_words and lexicon.is_of_words(question)
        if about_words and (word := self.lexicon.asked(question, verses, history)):
            # Which word stands there is known: a model would have to copy it, and small ones do so badly.
            said = Answered(lexicon.answer_of(word), text, by="lexicon", attempts=0)
        else:
            if about_words and verses and (notes := self.lexicon.notes(verses)):
                text = f"{text}\n{notes}"
            said = self._ask(Item("", text, question, "", history))
        ended = time.perf_counter()
        cited = self._cited(found, f"{question} {said.answer or ''}")
        seconds = {"retrieval": retrieved - begun, "model": ended - retrieved, "total": time.perf_counter() - begun}
        return replace(said, citations=cited, seconds={what: round(taken, 3) for what, taken in seconds.items()})

    def stream(
        self, question: str, *, context: str | None = None, history: Sequence[Turn] = ()
    ) -> Generator[Piece, None, None]:
        """Answer a question as `answer` does: the verses at once, then the text as the model writes it, then the whole.

        The text is the answer of the model's first reply. Where a check fails it, or it cannot be read, the model is
        asked again: what stands is the answer of what comes last, and text that does not make it up does not. The
        verses come with the original words that the question mentions, in the whole with those of the answer too. To
        leave off early ends the asking.
        """
        heard: queue.SimpleQueue[tuple[Citation, ...] | str | None] = queue.SimpleQueue()
        listener = _Pieces(heard.put)
        future: Future[Answered] = Future()

        def tell(found: Sequence[tuple[Verse, str]]) -> None:
            heard.put(self._cited(found, question))

        def work() -> None:
            try:
                with listening.by(listener):
                    future.set_result(self._answer(question, context, history, tell))
            except BaseException as error:  # noqa: BLE001  whoever asked gets it
                future.set_exception(error)
            heard.put(None)

        threading.Thread(target=work, name="answer", daemon=True).start()
        try:
            any_text = False
            while (piece := heard.get()) is not None:
                any_text = any_text or isinstance(piece, str)
                yield piece
            answered = future.result()
            if answered.answer and not any_text:
                yield answered.answer
            yield answered
        finally:
            listener.leave()

    def _at_hand(
        self, question: str, context: str | None, history: Sequence[Turn]
    ) -> tuple[str, list[tuple[Verse, str]]]:
        """What the question is answered from, and the verses in it, each with how it came."""
        if context and context.strip():
            if verses := _referred(self._bible, context):
                return self._written(verses), [(verse, "looked up") for verse in verses]
            return context, [(verse, "given") for verse in _quoted(self._bible, context)]
        most = self.config.retriever.k
        passages = self.retriever.search(question, most, history)
        if lexicon.is_of_words(question) and history and not named.verses_of(question):
            # "Here" is where the conversation is.
            before = self.retriever.search(history[-1].question, most, history[:-1])
            passages = before or passages
        found: dict[Verse, str] = {}
        for passage in passages:
            for verse in self._bible.passage(passage.reference):
                found.setdefault(verse, passage.found)
        return self._written(list(found)), list(found.items())

    def _cited(self, found: Sequence[tuple[Verse, str]], about: str) -> tuple[Citation, ...]:
        """Verses as they are shown, with the original words that a text mentions."""
        return tuple(
            Citation(verse.reference, verse.text, how, self.lexicon.words(verse, about)) for verse, how in found
        )

    def _ask(self, item: Item) -> Answered:
        """The program's answer."""
        meter = Meter()
        settings = {"adapter": self._adapter, **meter.settings}
        with (
            assertions.watched() as attempts,
            adapters.watched() as readings,
            dspy.context(**settings, trace=None),
        ):
            try:
                answer = str(self._program(**programs.example(item).inputs()).answer)
                read = next((reading for reading in readings if reading.says(answer)), None)
                said: dict[str, Any] = {"answer": answer}
                said |= {"salvaged": read.salvaged, "ended": read.ended} if read else {}
            except AdapterParseError:
                said = {"answer": None, "ended": meter.last.ended if meter.last else None}
            except LMError as error:
                raise _unusable(self.config.endpoint, error) from error
            except Stopped as stopped:
                if isinstance(stopped, _Left):
                    raise
                raise stopped.reason from stopped
        return Answered(
            context=item.context,
            checks=dict(attempts.final),
            attempts=attempts.count,
            prompt=meter.prompt,
            raw=meter.last.text if meter.last else None,
            **said,
        )


class _Left(Stopped):
    """Nobody waits for the answer any more."""


class _Pieces:
    """Hears the answer of the first reply that has one."""

    def __init__(self, tell: Callable[[str], None]):
        self._tell = tell
        self._reply = ""
        self._told = 0
        self._done = False
        self._left = False

    def begins(self) -> None:
        self._done = self._told > 0
        self._reply = ""

    def hears(self, piece: str) -> None:
        if self._left:
            raise _Left(BibleQAError("nobody waits for the answer any more"))
        self._reply += piece
        answer = "" if self._done else answer_so_far(self._reply)
        if len(answer) > self._told:
            self._tell(answer[self._told :])
            self._told = len(answer)

    def leave(self) -> None:
        self._left = True


def _patient(settled: Config) -> Config:
    """The config with an endpoint as a person is ready to wait for it.

    A run waits for minutes until an endpoint is back. A person is told at once that it is away, and nothing is kept of
    that: the next question may go well.
    """
    endpoint = replace(settled.endpoint, retries=1, pause_after=sys.maxsize, patience=_PATIENCE)
    return replace(settled, endpoint=endpoint)


def _program(settled: Config, folder: Path | None, retriever: Retriever, source: Source) -> dspy.Module:
    lm = endpoints.connect(settled.endpoint, source)
    built = programs.build(settled.program, retriever, settled.retriever.k)
    program = assertions.enforce(built, settled.assertions, settled.plugins)
    if folder:
        if settled.endpoint.kind != "embedded" and past.find(str(folder)).summary["weights"]:
            raise ConfigError(
                f"{folder}: its weights were tuned, which no other endpoint has; leave out the endpoint, "
                "or serve the weights there: bibleqa export"
            )
        return programs.of_run(program, folder, lm)
    program.set_lm(lm)
    return program


def _about(folder: Path | None, settled: Config) -> str:
    """Which program answers, in a line."""
    asked = f"asking {settled.endpoint.model}"
    if folder is None:
        return f"the unoptimized program: nothing is promoted yet; bibleqa promote <run> ({asked})"
    run = past.find(str(folder))
    score = run.summary["optimized"]
    low, high = score["ci95"] or (float("nan"),) * 2
    return (
        f"{run.place}: {settled.metric.name} {run.score or 0.0:.1%}, 95 % interval {low:.1%} to {high:.1%}, "
        f"n {score['n']} ({asked})"
    )


def _for_anybody(verses: Sequence[Verse]) -> str:
    """Verses for a program that was shown none yet, though it was promoted; others have learned to read `context_of`.

    A small model takes what a line begins with for the answer: of "[Genesis 1:1] In the beginning God created", asked
    who created, it says "Genesis 1:1".
    """
    return "\n".join(f"{verse.text} ({verse.reference})" for verse in verses)


def _referred(bible: Bible, context: str) -> list[Verse]:
    """The verses of a context that is a reference; none where it is a text.

    Raises:
        ConfigError: It looks like a reference and is none, or is one to more than a model can read.
    """
    if len(context) > _LONGEST_REFERENCE or "\n" in context.strip():
        return []
    try:
        verses = bible.passage(context)
    except ConfigError:
        if _REFERENCE.fullmatch(context):
            raise
        return []
    if len(verses) > _MOST_VERSES:
        raise ConfigError(f'context "{context}": {len(verses)} verses, at most {_MOST_VERSES} are read at once')
    return verses


def _quoted(bible: Bible, context: str) -> list[Verse]:
    """The verses of a text: those whose labels lead its lines, else lines that are a verse word for word."""
    return bible.cited(context) or [verse for line in context.splitlines() if (verse := _verse_of(bible, line))]


def _verse_of(bible: Bible, line: str) -> Verse | None:
    letters = _letters(line)
    near = (verse for verse in bible.verses if abs(len(verse.text) - len(line)) < _PUNCTUATION)
    found = [verse for verse in near if _letters(verse.text) == letters]
    return found[0] if len(found) == 1 else None


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text)).casefold()


def _unusable(endpoint: EndpointConfig, error: LMError) -> BibleQAError:
    """What an endpoint's failure means to whoever asked."""
    where = f"{endpoint.model} at {endpoint.base_url or 'llama.cpp'}"
    if isinstance(error, LMAuthError):
        return EndpointUnusable(f"{where} refuses the key: endpoint.api_key_env names its variable ({short(error)})")
    if isinstance(error, LMInvalidRequestError):
        return ConfigError(f"{where} refuses the question: {short(error)}; ask with less context, or anew")
    return EndpointUnusable(f"{where} does not answer ({short(error)}); ask again when it is back")
