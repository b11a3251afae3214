"""What improves a program: DSPy's optimizers, with what they swallow brought to light, and the choice among theirs.

An optimizer learns from train. What comes of it is then compared with the program that it was given, on val alone:
the better one stays, so that the optimized program is never worse there than the baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import dspy

from bibleqa import program as programs
from bibleqa.config import plugins
from bibleqa.lm.finetune import LoRAProvider, Tuned
from bibleqa.lm.meter import Meter
from bibleqa.optimizers import prompts, swallowed, together, weights
from bibleqa.optimizers.candidates import Candidate
from bibleqa.optimizers.objective import Objective
from bibleqa.optimizers.task import Task
from bibleqa.schema import BetterTogetherConfig, EnsembleConfig, FinetuneConfig, OptimizerConfig, OwnOptimizerConfig

__all__ = ["Candidate", "Objective", "Optimized", "Task", "optimize"]

_COMPARED = 3
"""Candidates that are measured on all of val in the end, beside what the optimizer itself gives back."""


@dataclass
class Optimized:
    """What an optimizer gave back."""

    program: dspy.Module
    candidates: list[Candidate] = field(default_factory=list)
    """Everything it tried, in that order; the baseline first, once val has decided."""
    errors: list[str] = field(default_factory=list)
    """What went wrong inside, each in a sentence."""
    unchanged: bool = False
    """Whether it is the program that was given: nothing tried was better on val, or nothing was tried."""

    @property
    def tuned(self) -> Tuned | None:
        """The weights behind the program, where they were tuned."""
        return _tuned(self.program)

    @property
    def tuned_at_all(self) -> Tuned | None:
        """The weights that were tuned, be it that val chose another program."""
        programs_made = [self.program, *(one.program for one in self.candidates)]
        return next(filter(None, map(_tuned, programs_made)), None)


def _tuned(program: dspy.Module) -> Tuned | None:
    lm = program.predictors()[0].lm
    provider = getattr(lm, "provider", None)
    return provider.tuned.get(lm.model.removeprefix("embedded/")) if isinstance(provider, LoRAProvider) else None


def optimize(
    config: OptimizerConfig,
    program: dspy.Module,
    task: Task,
    measure: Callable[[dspy.Module], float],
    meter: Meter,
) -> Optimized:
    """Improve a program, which itself stays as it is. Runs inside `dspy.context(lm=…, adapter=…)`.

    Args:
        config: Which optimizer, and its budget.
        program: What to improve; its predictors have their LM.
        task: Questions, metric and models.
        measure: The mean score of a program on val.
        meter: Sees the LM calls that fail inside.
    """
    if config.name == "none":
        return Optimized(program, unchanged=True)
    failed_before = len(meter.errors)
    with swallowed.listening(task.swallowed):
        compiled, tried = _compile(config, _copy(program), task)
    for one in tried:
        _with_lm(one.program, task.lm)
    result = _chosen_on_val(program, _with_lm(compiled, task.lm), tried, task, measure)
    failures = [str(error) for error in [*meter.errors[failed_before:], *task.metric.errors]]
    if failures:
        result.errors.append(f"{len(failures)} LM calls failed inside the optimizer, the last with: {failures[-1]}")
    result.errors += task.swallowed.sentences(known=failures)
    return result


def _compile(config: OptimizerConfig, student: dspy.Module, task: Task) -> tuple[dspy.Module, list[Candidate]]:
    match config:
        case BetterTogetherConfig():
            return together.better_together(config, student, task, _compile)
        case EnsembleConfig():
            return together.ensemble(config, student, task, _compile)
        case FinetuneConfig():
            return weights.compile(config, student, task)
        case OwnOptimizerConfig():
            compiled = plugins.named(config.function)(student, task, **config.parameters)
            return compiled, [Candidate(config.name, compiled)]
    return prompts.compile(config, student, task)


def _copy(program: dspy.Module) -> dspy.Module:
    """Without what DSPy marks a compiled program with: some optimizers take no such one."""
    copy = program.deepcopy()
    copy._compiled = False
    return _with_lm(copy, program.predictors()[0].lm)


def _with_lm(program: dspy.Module, lm: dspy.LM) -> dspy.Module:
    """The same program; where bootstrapping has dropped a predictor's LM it has one again."""
    for predictor in program.predictors():
        predictor.lm = predictor.lm or lm
    return program


def _chosen_on_val(
    program: dspy.Module,
    compiled: dspy.Module,
    tried: list[Candidate],
    task: Task,
    measure: Callable[[dspy.Module], float],
) -> Optimized:
    """The best on val of the baseline, what the optimizer gave back, and the best that it tried by its own scores."""
    baseline = Candidate("baseline", program)
    given = programs.digest(compiled)
    returned = next((one for one in tried if programs.digest(one.program) == given), None)
    if returned is None:
        tried = [*tried, returned := Candidate("returned", compiled)]
    ranked = sorted((one for one in tried if one.score is not None), key=lambda one: -(one.score or 0.0))
    distinct = {programs.digest(one.program): one for one in [*ranked[:_COMPARED][::-1], returned]}
    distinct.pop(programs.digest(program), None)
    finalists = list(distinct.values())[::-1]  # what the optimizer gave back, then the best it tried
    for number, one in enumerate([baseline, *finalists], 1):
        task.tell(f"choosing on val, program {number} of {len(finalists) + 1}")
        one.val = measure(one.program)
    best = max([baseline, *finalists], key=lambda one: one.val or 0.0)  # of equals the first: the baseline
    return Optimized(best.program, [baseline, *tried], unchanged=best is baseline)
