"""What improves a program: DSPy's optimizers, with what they swallow brought to light."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import dspy
from dspy.teleprompt import BootstrapFewShot, BootstrapFewShotWithRandomSearch, LabeledFewShot

from bibleqa import program as programs
from bibleqa.lm.meter import Meter
from bibleqa.metrics import AsDSPy
from bibleqa.schema import BootstrapConfig, BootstrapRandomSearchConfig, LabeledConfig, OptimizerConfig

log = logging.getLogger(__name__)


@dataclass
class Candidate:
    """A program that was tried, and its score on val where the optimizer took one."""

    name: str
    program: dspy.Module
    score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As candidates.json has it."""
        return {"name": self.name, "score": self.score, "program": programs.dump(self.program)}


@dataclass
class Optimized:
    """What an optimizer gave back."""

    program: dspy.Module
    candidates: list[Candidate] = field(default_factory=list)
    """Everything it tried, best first."""
    errors: list[str] = field(default_factory=list)
    """What went wrong inside, each in a sentence."""
    unchanged: bool = False
    """Whether it is the program that was given: nothing tried was better, or nothing was tried."""


def most_calls(config: OptimizerConfig, train: int, val: int) -> int:
    """How many LM calls an optimizer makes at the most, without the further attempts of assertions."""
    match config:
        case BootstrapRandomSearchConfig():
            sets = config.num_candidate_programs + 1
            return sets * train * config.max_rounds + (sets + 2) * val
        case BootstrapConfig():
            return train * config.max_rounds if config.max_bootstrapped_demos else 0
    return 0


def optimize(
    config: OptimizerConfig,
    program: dspy.Module,
    metric: AsDSPy,
    trainset: list[dspy.Example],
    valset: list[dspy.Example],
    *,
    meter: Meter,
    workers: int,
) -> Optimized:
    """Compile the program. Runs inside `dspy.context(lm=…, adapter=…)`; what DSPy prints goes to the log.

    Args:
        config: Which optimizer, and its budget.
        program: What to improve; it stays as it is.
        metric: What counts as right.
        trainset: What the optimizer learns from.
        valset: What it chooses by.
        meter: Sees the LM calls that fail inside.
        workers: How many questions may be asked at once.
    """
    if config.name == "none":
        return Optimized(program, unchanged=True)
    failed_before = len(meter.errors)
    with _printing_to_log():
        compiled = _compile(config, program, metric, trainset, valset, workers)
    result = Optimized(compiled, _candidates(config, compiled))
    result.unchanged = programs.digest(compiled) == programs.digest(program)
    for tried in [compiled, *(candidate.program for candidate in result.candidates)]:
        tried.set_lm(program.get_lm())  # bootstrapping drops it
    if failed := meter.errors[failed_before:]:
        result.errors.append(f"{len(failed)} LM calls failed inside the optimizer, the last with: {failed[-1]}")
    # A search that stops early may not have come to bootstrapping.
    bootstraps = [candidate for candidate in result.candidates if candidate.name not in ("zero_shot", "labeled")]
    wanted = isinstance(config, BootstrapConfig) and config.max_bootstrapped_demos > 0
    if wanted and bootstraps and not _bootstrapped(bootstraps):
        result.errors.append(
            f"bootstrapping found no right answer among {len(trainset)} questions; there are labeled demos only"
        )
    return result


def _compile(
    config: OptimizerConfig,
    program: dspy.Module,
    metric: AsDSPy,
    trainset: list[dspy.Example],
    valset: list[dspy.Example],
    workers: int,
) -> dspy.Module:
    student = program.reset_copy()
    match config:
        case BootstrapRandomSearchConfig():
            return BootstrapFewShotWithRandomSearch(
                metric=metric,
                num_candidate_programs=config.num_candidate_programs,
                num_threads=workers,
                stop_at_score=None if config.stop_at_score is None else 100 * config.stop_at_score,
                **_bootstrap_arguments(config, len(trainset), len(valset)),
            ).compile(student, trainset=trainset, valset=valset)
        case BootstrapConfig():
            optimizer = BootstrapFewShot(metric=metric, **_bootstrap_arguments(config, len(trainset), len(valset)))
            return optimizer.compile(student, trainset=trainset)
        case LabeledConfig():
            return LabeledFewShot(k=config.k).compile(student, trainset=trainset)
    raise AssertionError(f"no optimizer is built for {config.name}")


def _bootstrap_arguments(config: BootstrapConfig, train: int, val: int) -> dict[str, Any]:
    return {
        "max_bootstrapped_demos": config.max_bootstrapped_demos,
        "max_labeled_demos": config.max_labeled_demos,
        "max_rounds": config.max_rounds,
        "metric_threshold": config.metric_threshold,
        # An answer that cannot be read is an error to DSPy, and ten of them would end the optimizer.
        "max_errors": max(train * config.max_rounds, val) + 1,
    }


def _candidates(config: OptimizerConfig, compiled: dspy.Module) -> list[Candidate]:
    tried = getattr(compiled, "candidate_programs", None)
    if tried is None:
        return [Candidate(config.name, compiled)]
    names = {-3: "zero_shot", -2: "labeled", -1: "bootstrap"}
    return [
        Candidate(names.get(t["seed"], f"random_{t['seed']}"), t["program"], float(t["score"]) / 100) for t in tried
    ]


def _bootstrapped(candidates: list[Candidate]) -> bool:
    """Whether any demo came out of the program itself; DSPy marks those as augmented."""
    return any(
        demo.get("augmented", False)
        for candidate in candidates
        for predictor in candidate.program.predictors()
        for demo in predictor.demos
    )


@contextlib.contextmanager
def _printing_to_log() -> Iterator[None]:
    with contextlib.redirect_stdout(_ToLog(sys.stdout)), contextlib.redirect_stderr(_ToLog(sys.stderr)):
        yield


class _ToLog:
    """A text stream whose lines become log entries."""

    def __init__(self, replaced: TextIO):
        self.rich_proxied_file = replaced  # where rich's progress bar still draws

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if line.strip():
                log.info("%s", line.rstrip())
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
