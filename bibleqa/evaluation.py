"""Ask a program every question of a set, keep each answer as it comes, and add up what they are worth.

A wrong answer is scored. An answer that no adapter can read is scored 0 and counted apart. An endpoint that failed
gave no answer: no score at all.
"""

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import dspy
import numpy as np
from dspy.utils.exceptions import AdapterParseError, LMError

from bibleqa import adapters, assertions, retrieval
from bibleqa.comparison import interval
from bibleqa.data.item import Item
from bibleqa.data.reference import Reference, passages
from bibleqa.errors import ConfigError
from bibleqa.lm import health
from bibleqa.lm.meter import ENDINGS, Meter
from bibleqa.metrics import Metric
from bibleqa.salvage import WAYS


@dataclass(frozen=True)
class Outcome:
    """One question asked: a line of predictions.jsonl."""

    id: str
    type: str
    phase: str
    inputs: str
    """sha256 of context, question and history."""
    prediction: str | None
    """What the program answered; None when it could not be read or did not come."""
    score: float | None
    """0 to 1; None for an error, of what answers or of what a metric asks."""
    feedback: str
    unreadable: bool = False
    raw: str | None = None
    """What the model wrote, where it could not be read."""
    salvaged: str | None = None
    """How the answer was read where it was not in the format asked for: `json`, `headers` or `plain`."""
    retrieved: list[str] | None = None
    """The references of the verses that were found for it, the best first; None where nothing was retrieved."""
    ended: str | None = None
    """Why what the model wrote is no whole answer: `length`, `refused` or `empty`, as `Reply.ended`."""
    checks_first: dict[str, bool] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    attempts: int = 1
    error: dict[str, str] | None = None
    """Class and message of what the endpoint failed with."""
    seconds: float = 0.0
    tokens: dict[str, int] = field(default_factory=dict)

    def repeated_in(self, phase: str) -> "Outcome":
        """The same outcome for another phase, in which nothing was asked."""
        return replace(self, phase=phase, seconds=0.0, tokens={"input": 0, "output": 0})

    def to_json(self) -> str:
        """The line."""
        return json.dumps(asdict(self), ensure_ascii=False)


class Evaluator:
    """Asks questions under one language model and adapter, so many at once."""

    def __init__(self, metric: Metric, settings: dict[str, Any], meter: Meter, workers: int):
        """Make an evaluator.

        Args:
            metric: Scores the answers.
            settings: DSPy settings (`lm`, `adapter`) under which the program runs.
            meter: Counts what all of it costs.
            workers: Questions asked at once.
        """
        self._metric = metric
        self._settings = settings
        self._meter = meter
        self._workers = workers

    def evaluate(
        self,
        program: dspy.Module,
        examples: Sequence[dspy.Example],
        phase: str,
        keep: Callable[[Outcome], None],
    ) -> list[Outcome]:
        """Ask every question once; the outcomes come back in the order of the examples.

        Gives up early when the endpoint fails on many questions in a row: the outcomes are then fewer.

        Args:
            program: What answers.
            examples: What is asked.
            phase: `baseline` or `optimized`.
            keep: Called with each outcome as it comes, from any thread.
        """
        gone = _Gone(after=max(5, self._workers))
        outcomes: dict[int, Outcome] = {}

        def ask(index: int) -> None:
            if gone:
                return
            try:
                outcome = self._ask(program, examples[index], phase)
            except BaseException:
                gone.for_good()
                raise
            gone.saw(outcome)
            outcomes[index] = outcome
            keep(outcome)

        with ThreadPoolExecutor(self._workers, thread_name_prefix="ask") as pool:
            futures = [pool.submit(ask, index) for index in range(len(examples))]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                health.give_up()
                pool.shutdown(wait=True, cancel_futures=True)  # what is under way is paid for: let it be kept
                raise
        return [outcomes[index] for index in sorted(outcomes)]

    def _ask(self, program: dspy.Module, example: dspy.Example, phase: str) -> Outcome:
        meter = Meter(self._meter)
        begun = time.perf_counter()
        said: dict[str, Any]
        answer = None
        read = None
        with (
            assertions.watched() as attempts,
            adapters.watched() as readings,
            retrieval.watched() as found,
            dspy.context(**self._settings, **meter.settings),
        ):
            try:
                answer = str(program(**example.inputs()).answer)
                # Of several replies, the first that said so: what a judge replies comes after.
                read = next((reading for reading in readings if reading.says(answer)), None)
                score = self._metric.score(example, answer)
            except AdapterParseError as error:
                said = {"score": 0.0, "feedback": "The answer could not be read.", "unreadable": True}
                said |= {"prediction": None, **_unread(error, meter)}
            except LMError as error:
                came = "No answer came." if answer is None else "No score came."
                said = {"score": None, "feedback": came, "prediction": answer}
                said |= {"error": {"class": type(error).__name__, "message": str(error)}}
            else:
                said = {"score": score.value, "feedback": score.feedback, "prediction": answer}
                said |= {"salvaged": read.salvaged, "ended": read.ended} if read else {}
        return Outcome(
            id=example.id,
            type=example.type,
            phase=phase,
            inputs=_inputs_digest(example),
            retrieved=[passage.reference for passage in found] or None,
            checks_first=attempts.first,
            checks=attempts.final,
            attempts=attempts.count,
            seconds=round(time.perf_counter() - begun, 3),
            tokens={"input": meter.usage.input_tokens, "output": meter.usage.output_tokens},
            **said,
        )


def _unread(error: AdapterParseError, meter: Meter) -> dict[str, Any]:
    """What came instead of an answer, and why; where no endpoint's reply is known, what DSPy says of it."""
    if meter.last is None:
        return {"raw": error.lm_response}
    return {"raw": meter.last.text, "ended": meter.last.ended}


class _Gone:
    """Whether the endpoint has failed so many times in a row that going on is pointless."""

    def __init__(self, after: int):
        self._after = after
        self._in_a_row = 0
        self._lock = threading.Lock()

    def saw(self, outcome: Outcome) -> None:
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if outcome.error else 0

    def for_good(self) -> None:
        self._in_a_row = self._after

    def __bool__(self) -> bool:
        return self._in_a_row >= self._after


def _inputs_digest(example: dspy.Example) -> str:
    inputs = {name: str(value) for name, value in example.inputs().items()}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def scores(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The part of summary.json about one phase: score, n, errors, unreadable, 95 % interval, by type.

    Also how many answers were salvaged in which way, and how many were no whole answers and why.
    """
    outcomes = list(outcomes)
    values = [outcome.score for outcome in outcomes if outcome.score is not None]
    by_type: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.score is not None:
            by_type[outcome.type].append(outcome.score)
    return {
        "score": _mean(values),
        "n": len(values),
        "errors": sum(outcome.error is not None for outcome in outcomes),
        "unreadable": sum(outcome.unreadable for outcome in outcomes),
        "salvaged": {way: sum(outcome.salvaged == way for outcome in outcomes) for way in WAYS},
        "ended": {how: sum(outcome.ended == how for outcome in outcomes) for how in ENDINGS},
        "ci95": interval(values),
        "by_type": {name: {"score": _mean(vs), "n": len(vs)} for name, vs in sorted(by_type.items())},
    }


def improvement(baseline: Iterable[Outcome], optimized: Iterable[Outcome]) -> dict[str, Any]:
    """The paired difference: of each question that both answered, the second score less the first."""
    before = {outcome.id: outcome.score for outcome in baseline if outcome.score is not None}
    differences = [o.score - before[o.id] for o in optimized if o.score is not None and o.id in before]
    return {"value": _mean(differences), "ci95": interval(differences)}


def pass_rates(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Share of questions on which each check passed: on the first attempt, and on the answer given."""
    seen = [outcome for outcome in outcomes if outcome.checks]
    names = sorted({name for outcome in seen for name in outcome.checks})
    return {
        name: {
            "pass_rate_first": float(np.mean([outcome.checks_first[name] for outcome in seen])),
            "pass_rate_final": float(np.mean([outcome.checks[name] for outcome in seen])),
        }
        for name in names
    }


def attempts(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """How often a question was asked on the average, and how many times in all one was asked again."""
    counts = [outcome.attempts for outcome in outcomes]
    return {"mean": _mean(counts), "extra_calls": sum(counts) - len(counts)}


def recall(outcomes: Iterable[Outcome], items: Iterable[Item], k: int) -> dict[str, Any]:
    """How often what was retrieved holds a verse of the passage that a question comes from.

    Args:
        outcomes: What was asked.
        items: The questions.
        k: How many verses are found for a question.

    Returns:
        `k`; `n`, the questions for which something was retrieved and whose passage is known; `recall`, the share of
        them of whose passage a verse is among what was retrieved; None where there are none.
    """
    truth = {item.id: _verses(item.reference) for item in items}
    hits = [
        float(bool(_verses(*outcome.retrieved) & truth[outcome.id]))
        for outcome in outcomes
        if outcome.retrieved and truth.get(outcome.id)
    ]
    return {"k": k, "recall": _mean(hits), "n": len(hits)}


def _verses(*references: str) -> set[Reference]:
    """The verses of references; none of one that is no passage, as a lexicon's."""
    found: set[Reference] = set()
    for reference in references:
        with suppress(ConfigError):
            found.update(verse for passage in passages(reference) for verse in passage.verses)
    return found


def agreement(outcomes: Iterable[Outcome], examples: Iterable[dspy.Example], other: Metric) -> dict[str, Any]:
    """How far the scores of the hand-written questions agree with another metric's, both cut at 0.5.

    Args:
        outcomes: What was asked, and how it was scored.
        examples: The questions, among them those of the outcomes.
        other: Scores the same answers; it should ask no model.

    Returns:
        `n` answers that both scored; `agreement`, the share on which they say the same; and `kappa`, Cohen's, which
        is 0 for agreement by chance. None where there is nothing to compare, or nothing but agreement to expect.
    """
    by_id = {example.id: example for example in examples if example.id.startswith("anchor:")}
    pairs = [
        (outcome.score >= 0.5, other.score(by_id[outcome.id], outcome.prediction).value >= 0.5)
        for outcome in outcomes
        if outcome.id in by_id and outcome.score is not None and outcome.prediction is not None
    ]
    if not pairs:
        return {"n": 0, "agreement": None, "kappa": None}
    one, two = np.array(pairs, dtype=float).T
    same = float(np.mean(one == two))
    chance = one.mean() * two.mean() + (1 - one.mean()) * (1 - two.mean())
    return {"n": len(pairs), "agreement": same, "kappa": float((same - chance) / (1 - chance)) if chance < 1 else None}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
