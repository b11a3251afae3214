"""Checks that an answer must pass, and the module that enforces them.

`dspy.Refine` and `dspy.BestOfN` work on a copy of the module, so that an optimizer finds no demos in their traces.
`Checked` keeps the predictors it was given, and hands the failed checks to the model through the adapter.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bibleqa import config, text
from bibleqa.errors import ConfigError
from bibleqa.schema import AssertionsConfig, check_range, key

Check = Callable[[Mapping[str, Any], str], str | None]
"""From a question's inputs and the answer to what is wrong with it, or None when it passes."""


@dataclass
class Grounded:
    """The answer's content words stand in the context or the history. Without a context there is nothing to check."""

    min_share: float = key(1.0, "Share of the content words that must stand there.", ge=0, le=1)

    def __call__(self, inputs: Mapping[str, Any], answer: str) -> str | None:
        """Check one answer."""
        if not inputs["context"]:
            return None
        known = set(text.words(inputs["context"]))
        for turn in inputs["history"].messages:
            known.update(text.words(" ".join(str(value) for value in turn.values())))
        content = [word for word in text.words(answer) if word not in _FUNCTION_WORDS]
        foreign = [word for word in content if word not in known]
        if len(content) - len(foreign) < len(content) * self.min_share - 1e-9:
            return f"Use words of the context only: {', '.join(foreign)} is not in it."
        return None


_FUNCTION_WORDS = frozenset(
    text.words(
        "and are as at be been but by did do does for from had has have he her his i in is it its me my not of on or "
        "our said she so that their them there they this to unto upon us was we were which who whom will with you your"
    )
)

_CHECKS: dict[str, type[Check]] = {"grounded": Grounded}


def build(assertions: AssertionsConfig) -> dict[str, Check]:
    """The checks of a set, by name.

    Raises:
        ConfigError: A check or a parameter is not known, or out of range.
    """
    checks: dict[str, Check] = {}
    for name, parameters in assertions.checks.items():
        where = f"assertions.checks.{name}"
        if name not in _CHECKS:
            raise ConfigError(f"{where}: no such check; there are {', '.join(_CHECKS)}")
        if not isinstance(parameters or {}, dict):
            raise ConfigError(f"{where}={parameters}: a check takes its parameters by name, as {{min_share: 1.0}}")
        try:
            check = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(_CHECKS[name]), parameters or {}))
        except (OmegaConfBaseException, ValueError) as error:
            raise ConfigError(f"{where}: {config.explain(error) or error}") from None
        for problem in check_range(check, f"{where}."):
            raise ConfigError(problem)
        checks[name] = check  # type: ignore[assignment]
    return checks


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
    """Asks again while a check fails, saying which; gives the answer that failed fewest."""

    def __init__(self, module: dspy.Module, checks: Mapping[str, Check], attempts: int, temperature: float):
        super().__init__()
        self.module = module
        self._checks = dict(checks)
        self._most = attempts
        self._temperature = temperature

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Answer a question. Only the trace of the answer that is given is left for an optimizer to see."""
        adapter = dspy.settings.adapter or dspy.ChatAdapter()
        trace = dspy.settings.trace
        report = _attempts.get() or Attempts()
        best: tuple[dspy.Prediction, dict[str, str], list[Any]] | None = None
        for attempt in range(self._most):
            mark = len(trace) if trace is not None else 0
            asked = adapter
            if best:
                asked = _WithFeedback(adapter, " ".join(best[1].values()), attempt, self._temperature)
            report.count = attempt + 1
            try:
                with dspy.context(adapter=asked):
                    prediction = self.module(**inputs)
            except AdapterParseError:
                if best is None:
                    raise
                if trace is not None:
                    del trace[mark:]
                continue  # what cannot be read is no better than the answer at hand
            failed = self._failed(inputs, prediction)
            passed = {name: name not in failed for name in self._checks}
            if attempt == 0:
                report.first = passed
            if best is None or len(failed) < len(best[1]):
                best = prediction, failed, list(trace[mark:]) if trace is not None else []
                report.final = passed
            if trace is not None:
                del trace[mark:]
            if not failed:
                break
        assert best
        if trace is not None:
            trace.extend(best[2])
        return best[0]

    def _failed(self, inputs: Mapping[str, Any], prediction: dspy.Prediction) -> dict[str, str]:
        said = {name: check(inputs, str(prediction.answer)) for name, check in self._checks.items()}
        return {name: message for name, message in said.items() if message is not None}


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

    async def acall(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: Any, inputs: dict[str, Any]
    ) -> Any:
        """As `__call__`."""
        return await self._adapter.acall(lm, *self._extended(lm, lm_kwargs, signature), demos, self._inputs(inputs))

    def _extended(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> tuple[dict[str, Any], Any]:
        described = dspy.InputField(desc="what was wrong with the answer before")
        return {**lm_kwargs, **self._extra, "seed": (lm.kwargs.get("seed") or 0) + self._attempt}, signature.append(
            "feedback", described
        )

    def _inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "feedback": self._feedback}


def enforce(program: dspy.Module, assertions: AssertionsConfig) -> dspy.Module:
    """The program with the checks around it, or itself when there are none."""
    checks = build(assertions)
    return Checked(program, checks, assertions.attempts, assertions.temperature) if checks else program
