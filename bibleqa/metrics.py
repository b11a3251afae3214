"""How an answer is scored: each metric gives 0 to 1 and a sentence that says why.

A metric is called as DSPy calls one, by optimizers and by the evaluation alike.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bibleqa import text
from bibleqa.schema import ContainsConfig, MetricConfig, TermConfig, TheologicalConfig


@dataclass(frozen=True)
class Score:
    """0 to 1, and why."""

    value: float
    feedback: str


class Metric(Protocol):
    """Scores an answer against a question's accepted answers, the reference answer first."""

    def score(self, accepted: list[str], answer: str) -> Score:
        """Score one answer."""
        ...


@dataclass(frozen=True)
class ExactMatch:
    """1 when the answer is an accepted one, after normalisation."""

    def score(self, accepted: list[str], answer: str) -> Score:
        """Score one answer."""
        given = text.words(answer)
        if given and any(given == text.words(form) for form in accepted):
            return Score(1.0, "Right.")
        return Score(0.0, f"The answer is {accepted[0]!r}, and nothing more.")


@dataclass(frozen=True)
class TokenF1:
    """F1 of the words that the answer shares with the accepted answer nearest to it."""

    def score(self, accepted: list[str], answer: str) -> Score:
        """Score one answer."""
        best = max(_f1(text.words(answer), text.words(form)) for form in accepted)
        return Score(best, f"Words shared with {accepted[0]!r}: F1 {best:.2f}.")


@dataclass(frozen=True)
class Contains:
    """1 when an accepted answer stands in the answer as whole words, and the answer is not much longer."""

    slack_words: int

    def score(self, accepted: list[str], answer: str) -> Score:
        """Score one answer."""
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

    def score(self, accepted: list[str], answer: str) -> Score:
        """Score one answer."""
        score = self.contains.score(accepted, answer)
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


def build(config: MetricConfig) -> Metric:
    """The metric that a config names."""
    match config:
        case TheologicalConfig():
            return Theological(Contains(config.slack_words), config.terms)
        case ContainsConfig():
            return Contains(config.slack_words)
        case MetricConfig(name="exact_match"):
            return ExactMatch()
        case MetricConfig(name="token_f1"):
            return TokenF1()
    raise AssertionError(f"no metric is built for {config.name}")


class AsDSPy:
    """A metric in the form that DSPy's optimizers call."""

    def __init__(self, metric: Metric):
        self._metric = metric

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float:
        """The score of a prediction on an example."""
        return self._metric.score(example.accepted, str(prediction.answer)).value
