"""Optimizers made of others: BetterTogether runs several in turn, Ensemble lets the best candidates of one vote."""

from collections.abc import Callable
from typing import Any

import dspy
from dspy.teleprompt.teleprompt import Teleprompter

from bibleqa import assertions
from bibleqa import program as programs
from bibleqa.config import parts
from bibleqa.optimizers import candidates
from bibleqa.optimizers.candidates import Candidate
from bibleqa.optimizers.task import Task
from bibleqa.schema import BetterTogetherConfig, EnsembleConfig, OptimizerConfig

Compile = Callable[[OptimizerConfig, dspy.Module, Task], tuple[dspy.Module, list[Candidate]]]


class _Step(Teleprompter):
    """An optimizer in the form in which BetterTogether calls one."""

    def __init__(
        self, name: str, config: OptimizerConfig, task: Task, compile_one: Compile, tried: list[list[Candidate]]
    ):
        super().__init__()
        self._name = name
        self._config = config
        self._task = task
        self._compile = compile_one
        self._tried = tried

    def compile(self, student: dspy.Module, *, trainset: list[dspy.Example], **kwargs: Any) -> dspy.Module:
        """Compile with what the task has beside the trainset, which BetterTogether has shuffled."""
        self._task.tell(f"{self._name} ({self._config.name})")
        lm = student.get_lm()
        try:
            with dspy.context(lm=lm):  # a tuned one is not the run's own
                compiled, tried = self._compile(self._config, student, self._task.with_trainset(trainset))
        except Exception as error:  # BetterTogether stops there, and says so in its log alone
            self._task.swallowed.add(f"step {self._name} failed: {type(error).__name__}: {error}")
            raise
        for predictor in compiled.predictors():
            predictor.lm = predictor.lm or lm
        others = [one for one in tried if one.program is not compiled]
        self._tried.append(
            [Candidate(f"{self._name}: {one.name}", one.program, one.score, one.scored_on) for one in others]
        )
        return compiled


def better_together(
    config: BetterTogetherConfig, student: dspy.Module, task: Task, compile_one: Compile
) -> tuple[dspy.Module, list[Candidate]]:
    """Run a strategy's steps in turn; all that each of them tried is kept."""
    inside: list[list[Candidate]] = []
    """What each step tried beside what it made."""
    steps = {name: _Step(name, step, task, compile_one, inside) for name, step in parts.steps(config).items()}
    compiled = dspy.BetterTogether(metric=task.metric, **steps).compile(
        student,
        trainset=task.trainset,
        valset=task.valset,
        strategy=config.strategy,
        seed=config.seed,
        num_threads=task.workers,
        max_errors=100 * len(task.valset),
    )
    if compiled.flag_compilation_error_occurred and not task.swallowed.sentences():
        task.swallowed.add("BetterTogether stopped at a step that failed; run.log has it")
    given, *made = candidates.of_better_together(compiled)
    return compiled, [given, *(one for others, step in zip(inside, made, strict=False) for one in [*others, step])]


def ensemble(
    config: EnsembleConfig, student: dspy.Module, task: Task, compile_one: Compile
) -> tuple[dspy.Module, list[Candidate]]:
    """The best candidates of an optimizer, by its own scores, under one vote."""
    compiled, tried = compile_one(parts.members(config), student, task)
    scored = [one for one in tried if one.score is not None]
    best = sorted(scored, key=lambda one: -(one.score or 0.0))[: config.size]
    if len(best) < config.size:
        task.swallowed.add(f"the ensemble has {len(best)} members, not {config.size}: no more candidates were tried")
    inner = [assertions.inside(one.program) for one in best] or [assertions.inside(compiled)]
    voted = assertions.around(student, lambda module: programs.vote(inner))
    return voted, [*tried, Candidate("ensemble", voted)]
