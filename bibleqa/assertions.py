"""Holds a program to the checks that its answers must pass.

`dspy.Refine` and `dspy.BestOfN` work on a copy of the module, so that an optimizer finds no demos in their traces.
`Checked` keeps the predictors it was given, and hands the failed checks to the model through the adapter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from bibleqa import retrieval
from bibleqa.checks import Check, build
from bibleqa.schema import AssertionsConfig


@dataclass(frozen=True)
class Complaint:
    """What a check says of an answer that fails it."""

    check: str
    message: str
    hard: bool


def complaints(checks: Mapping[str, Check], inputs: Mapping[str, Any], answer: str) -> list[Complaint]:
    """What is wrong with an answer, in the order of the checks."""
    said = [(name, check.severity, check(inputs, answer)) for name, check in checks.items()]
    return [Complaint(name, message, severity == "hard") for name, severity, message in said if message is not None]


@dataclass
class Attempts:
    """What the checks said of one question's answer."""

    count: int = 1
    first: dict[str, bool] = field(default_factory=dict)
    """Whether each check passed on the first attempt."""
    final: dict[str, bool] = field(default_factory=dict)
    """Whether each check passed on the answer that was given."""


_attempts: ContextVar[Attempts | None] = ContextVar("attempts", default=None)


@contextmanager
def watched() -> Iterator[Attempts]:
    """What the checks say of the question that is asked inside; a prediction cannot carry it, demos would."""
    attempts = Attempts()
    token = _attempts.set(attempts)
    try:
        yield attempts
    finally:
        _attempts.reset(token)


class Checked(dspy.Module):
    """Asks again while a hard check fails, saying which; gives the answer that failed fewest.

    Of equally many hard ones fewer soft ones decide, then the earlier answer.
    """

    def __init__(self, module: dspy.Module, checks: Mapping[str, Check], attempts: int, temperature: float):
        super().__init__()
        self.module = module
        self._checks = dict(checks)
        self._most = attempts
        self._temperature = temperature

    def over(self, module: dspy.Module) -> "Checked":
        """The same checks around another module."""
        return Checked(module, self._checks, self._most, self._temperature)

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Answer a question. Only the trace of the answer that is given is left for an optimizer to see."""
        adapter = dspy.settings.adapter or dspy.ChatAdapter()
        trace = dspy.settings.trace
        report = _attempts.get() or Attempts()
        best: _Answer | None = None
        for attempt in range(self._most):
            mark = len(trace) if trace is not None else 0
            asked = adapter
            if best:
                feedback = " ".join(complaint.message for complaint in best.failed)
                asked = _WithFeedback(adapter, feedback, attempt, self._temperature)
            report.count = attempt + 1
            try:
                with dspy.context(adapter=asked), retrieval.watched() as found:
                    prediction = self.module(**inputs)
            except AdapterParseError:
                if best is None:
                    raise
                if trace is not None:
                    del trace[mark:]
                continue  # what cannot be read is no better than the answer at hand
            read = {**inputs, "context": retrieval.context_of(found)} if found else inputs
            failed = complaints(self._checks, read, str(prediction.answer))
            answer = _Answer(prediction, failed, list(trace[mark:]) if trace is not None else [])
            if trace is not None:
                del trace[mark:]
            if attempt == 0:
                report.first = self._passed(answer)
            if best is None or answer.failures < best.failures:
                best = answer
                report.final = self._passed(answer)
            if not any(complaint.hard for complaint in failed):
                break
        assert best
        if trace is not None:
            trace.extend(best.trace)
        return best.prediction

    def _passed(self, answer: "_Answer") -> dict[str, bool]:
        failed = {complaint.check for complaint in answer.failed}
        return {name: name not in failed for name in self._checks}


@dataclass(frozen=True)
class _Answer:
    """The answer of one attempt, what is wrong with it, and its trace."""

    prediction: dspy.Prediction
    failed: list[Complaint]
    trace: list[Any]

    @property
    def failures(self) -> tuple[int, int]:
        """How many hard checks and how many soft ones it failed."""
        hard = sum(complaint.hard for complaint in self.failed)
        return hard, len(self.failed) - hard


class _WithFeedback(dspy.Adapter):
    """An adapter that adds to a request what was wrong with the answer before."""

    def __init__(self, adapter: dspy.Adapter, feedback: str, attempt: int, temperature: float):
        super().__init__()
        self._adapter = adapter
        self._feedback = feedback
        self._attempt = attempt
        self._extra = {"rollout_id": attempt, "temperature": temperature}

    def __call__(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: Any, inputs: dict[str, Any]) -> Any:
        """Ask, with the feedback as one more input field."""
        return self._adapter(lm, *self._extended(lm, lm_kwargs, signature), demos, self._inputs(inputs))

    def _extended(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> tuple[dict[str, Any], Any]:
        seed = (lm.kwargs.get("seed") or 0) + self._attempt
        return {**lm_kwargs, **self._extra, "seed": seed}, _extended(signature, signature.instructions)

    def _inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "feedback": self._feedback}


@lru_cache(maxsize=64)  # as in `bibleqa.adapters`: a class for each question asked again would be most of its cost
def _extended(signature: Any, instructions: str) -> Any:
    return signature.append("feedback", dspy.InputField(desc="what was wrong with the answer before"))


def enforce(program: dspy.Module, assertions: AssertionsConfig, plugins: Sequence[str] = ()) -> dspy.Module:
    """The program with the checks around it, or itself when there are none. For `plugins` see `checks.build`."""
    checks = build(assertions, plugins)
    return Checked(program, checks, assertions.attempts, assertions.temperature) if checks else program


def inside(program: dspy.Module) -> dspy.Module:
    """What answers under the checks: the program itself when there are none."""
    return program.module if isinstance(program, Checked) else program


def around(program: dspy.Module, make: Callable[[dspy.Module], dspy.Module]) -> dspy.Module:
    """Another program made of what is inside, under the same checks."""
    made = make(inside(program).deepcopy())
    return program.over(made) if isinstance(program, Checked) else made
