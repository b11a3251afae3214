"""How an answer is scored: each metric gives 0 to 1 and a sentence that says why.

A metric is called as DSPy calls one, by optimizers and by the evaluation alike.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import dspy
from dspy.utils.exceptions import AdapterParseError, LMError

from bibleqa import adapters, text
from bibleqa.config import plugins
from bibleqa.config.options import option
from bibleqa.config.parts import weighted_parts
from bibleqa.lm import embedded, embeddings, endpoints
from bibleqa.lm.answers import SHARED, Source
from bibleqa.lm.embeddings import Embedder
from bibleqa.schema import (
    AdapterConfig,
    Config,
    ContainsConfig,
    EndpointConfig,
    JudgeConfig,
    MetricConfig,
    OwnMetricConfig,
    SemanticConfig,
    TermConfig,
    TheologicalConfig,
    WeightedConfig,
)


@dataclass(frozen=True)
class Score:
    """0 to 1, and why."""

    value: float
    feedback: str


class Metric(Protocol):
    """Scores the answer to a question."""

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer.

        Args:
            example: The question: question, context, history, type, id, and `accepted`, every right answer, the
                reference answer first.
            answer: What was answered.

        Raises:
            LMError: What the metric asks has failed: there is no score.
        """
        ...


@dataclass(frozen=True)
class ExactMatch:
    """1 when the answer is an accepted one, after normalisation."""

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        accepted = example.accepted
        given = text.words(answer)
        if given and any(given == text.words(form) for form in accepted):
            return Score(1.0, "Right.")
        return Score(0.0, f"The answer is {accepted[0]!r}, and nothing more.")


@dataclass(frozen=True)
class TokenF1:
    """F1 of the words that the answer shares with the accepted answer nearest to it."""

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        accepted = example.accepted
        best = max(_f1(text.words(answer), text.words(form)) for form in accepted)
        return Score(best, f"Words shared with {accepted[0]!r}: F1 {best:.2f}.")


@dataclass(frozen=True)
class Contains:
    """1 when an accepted answer stands in the answer as whole words, and the answer is not much longer."""

    slack_words: int

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        accepted = example.accepted
        found = [form for form in accepted if text.contains(answer, form)]
        if not found:
            return Score(0.0, f"The answer is {accepted[0]!r}.")
        longest = max(len(text.words(form)) for form in (accepted[0], *found)) + self.slack_words
        if len(text.words(answer)) > longest:
            return Score(0.0, f"{accepted[0]!r} is in it, but {longest} words must do: be brief.")
        return Score(1.0, "Right.")


@dataclass(frozen=True)
class Theological:
    """As `Contains`, and the answer names every critical term that the reference answer names."""

    contains: Contains
    terms: Mapping[str, TermConfig]

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        accepted = example.accepted
        score = self.contains.score(example, answer)
        missed = [
            f"{name} ({term.strongs})"
            for name, term in self.terms.items()
            if _names(accepted[0], term) and not _names(answer, term)
        ]
        if score.value and missed:
            return Score(0.0, f"It must name {', '.join(missed)}.")
        return score


def _names(phrase: str, term: TermConfig) -> bool:
    return any(text.contains(phrase, form) for form in (term.strongs, *term.forms))


def _f1(answer: tuple[str, ...], reference: tuple[str, ...]) -> float:
    shared = sum((Counter(answer) & Counter(reference)).values())
    return 2 * shared / (len(answer) + len(reference)) if shared else 0.0


@dataclass(frozen=True)
class Semantic:
    """1 when the answer means what an accepted answer means: their vectors lie close enough together."""

    embedder: Embedder
    threshold: float

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        accepted = [form for form in example.accepted if form.strip()]
        if not answer.strip() or not accepted:
            return Score(0.0, f"The answer is {example.accepted[0]!r}.")
        given, *forms = self.embedder.embed([answer, *accepted])
        similarities = [float(given @ form) for form in forms]
        best = max(similarities)
        nearest = accepted[similarities.index(best)]
        if best < self.threshold:
            return Score(0.0, f"The answer is {nearest!r}; yours is not near it in meaning (similarity {best:.2f}).")
        return Score(1.0, f"Near {nearest!r} in meaning (similarity {best:.2f}).")


class Judgement(dspy.Signature):
    """What the judge is told comes from the rubric."""

    question: str = dspy.InputField()
    context: str = dspy.InputField(desc="what the answer may be taken from, or nothing")
    accepted_answers: str = dspy.InputField(desc="each of them is right")
    given_answer: str = dspy.InputField(desc="the answer to be judged")
    reason: str = dspy.OutputField(desc="one short sentence")
    verdict: Literal["right", "partly", "wrong"] = dspy.OutputField()


class VerdictUnreadable(LMError):
    """The judge answered what is no verdict: nothing is known about the answer that it judged."""

    default_code = "verdict_unreadable"


@dataclass(frozen=True)
class Judge:
    """What a language model says: right, partly right or wrong."""

    endpoint: EndpointConfig
    lm: dspy.LM
    rubric: str
    partly: float

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        ask = dspy.Predict(Judgement.with_instructions(self.rubric.strip()))
        # JSON, since most endpoints can be held to a schema. No trace: the judge is no part of the program.
        with dspy.context(lm=self.lm, adapter=adapters.build(AdapterConfig("json")), trace=None):
            try:
                said = ask(
                    question=example.question,
                    context=example.context,
                    accepted_answers=" | ".join(example.accepted),
                    given_answer=answer,
                )
            except AdapterParseError as error:
                raise VerdictUnreadable(f"no verdict: {error.lm_response!r}", model=self.lm.model) from error
        value = {"right": 1.0, "partly": self.partly, "wrong": 0.0}[said.verdict]
        return Score(value, f"{said.verdict.capitalize()}: {' '.join(said.reason.split())}")


@dataclass(frozen=True)
class Weighted:
    """The mean of several metrics by their weights."""

    parts: Mapping[str, tuple[float, Metric]]

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer."""
        scores = {name: (weight, metric.score(example, answer)) for name, (weight, metric) in self.parts.items()}
        total = sum(weight for weight, _ in scores.values())
        return Score(
            # Rounding must not lift it over 1.
            min(1.0, sum(weight * score.value for weight, score in scores.values()) / total),
            " ".join(f"{name} {score.value:.2f}: {score.feedback}" for name, (_, score) in scores.items()),
        )


@dataclass(frozen=True)
class Own:
    """A function of the user's own."""

    function: Callable[..., Any]
    parameters: Mapping[str, Any]

    def score(self, example: dspy.Example, answer: str) -> Score:
        """Score one answer.

        Raises:
            TypeError: The function gave something else than a number from 0 to 1, alone or with a text.
        """
        match said := self.function(example, answer, **self.parameters):
            case float() | int() as value, str() as why:
                score = Score(float(value), why)
            case float() | int() as value:
                score = Score(float(value), f"The answer is {example.accepted[0]!r}.")
            case _:
                score = Score(-1.0, "")
        if not 0 <= score.value <= 1:
            name = f"{self.function.__module__}.{self.function.__qualname__}"
            raise TypeError(f"{name} gave {said!r}; a metric gives 0 to 1, or (0 to 1, why)")
        return score


def build(run: Config, source: Source = SHARED) -> Metric:
    """The metric of a run, with the models that it asks; nothing is asked or loaded yet.

    Args:
        run: A checked config.
        source: Which answers were given before.

    Raises:
        ConfigError: There is no such embedded model.
        EndpointUnusable: The endpoint of the judge or of the embedder has no address or no key.
        BibleQAError: The answers that are kept cannot be read or written.
    """
    return _build(run.metric, run, source)


def theological() -> Theological:
    """The metric of conf/metric/theological.yaml, whichever one a run has: to hold others against it."""
    return _theological(option("metric", "theological"))


def probe(metric: Metric) -> None:
    """Ask the models that a metric asks something small, so that what is wrong shows before anything is spent.

    Raises:
        EndpointUnusable: One does not answer; the message says which, and what to start or correct.
    """
    match metric:
        case Judge():
            with endpoints.speaking_of("judge"):
                endpoints.probe(metric.endpoint, metric.lm)
        case Semantic():
            with endpoints.speaking_of("embedder"):
                embeddings.probe(metric.embedder)
        case Weighted():
            for _, part in metric.parts.values():
                probe(part)


def _build(metric: MetricConfig, run: Config, source: Source) -> Metric:
    match metric:
        case TheologicalConfig():
            return _theological(metric)
        case ContainsConfig():
            return Contains(metric.slack_words)
        case SemanticConfig():
            assert run.embedder is not None
            with endpoints.speaking_of("embedder"):
                return Semantic(embeddings.connect(run.embedder, source), metric.threshold)
        case JudgeConfig():
            assert run.judge is not None
            with endpoints.speaking_of("judge"):
                embedded.digest(run.judge)
                return Judge(run.judge, endpoints.connect(run.judge, source), metric.rubric, metric.partly)
        case WeightedConfig():
            parts = weighted_parts(metric)
            return Weighted({name: (weight, _build(part, run, source)) for name, (weight, part) in parts.items()})
        case OwnMetricConfig():
            signature = "example, answer"
            return Own(
                plugins.function("metric.function", metric.function, signature, metric.parameters), metric.parameters
            )
        case MetricConfig(name="exact_match"):
            return ExactMatch()
        case MetricConfig(name="token_f1"):
            return TokenF1()
    raise AssertionError(f"no metric is built for {metric.name}")


def _theological(metric: TheologicalConfig) -> Theological:
    return Theological(Contains(metric.slack_words), metric.terms)
