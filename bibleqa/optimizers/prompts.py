"""DSPy's prompt optimizers: how each one is called, and the candidates it leaves."""

import random
from collections.abc import Sequence
from typing import Any

import dspy
from dspy.teleprompt import (
    COPRO,
    GEPA,
    SIMBA,
    BootstrapFewShot,
    BootstrapFewShotWithRandomSearch,
    InferRules,
    LabeledFewShot,
    MIPROv2,
)

from bibleqa import assertions
from bibleqa.nearest import NearestDemos
from bibleqa.optimizers import candidates
from bibleqa.optimizers.candidates import Candidate
from bibleqa.optimizers.task import Task
from bibleqa.program import digest
from bibleqa.schema import (
    BootstrapConfig,
    BootstrapRandomSearchConfig,
    CoproConfig,
    GepaConfig,
    InferRulesConfig,
    KnnConfig,
    LabeledConfig,
    MiproConfig,
    OptimizerConfig,
    SimbaConfig,
)

Compiled = tuple[dspy.Module, list[Candidate]]


def compile(config: OptimizerConfig, student: dspy.Module, task: Task) -> Compiled:
    """Run a prompt optimizer on a copy of the student; returns what it gave back, and all it tried.

    The student's predictors have their LM set; what comes back may have lost it.
    """
    match config:
        case LabeledConfig():
            return _only(config, LabeledFewShot(k=config.k).compile(student.reset_copy(), trainset=task.trainset))
        case KnnConfig():
            demos = _few_shot(student, task.trainset)
            return _only(config, assertions.around(student, lambda module: NearestDemos(module, demos, config.k)))
        case InferRulesConfig():
            return _infer_rules(config, student, task)
        case BootstrapRandomSearchConfig():
            return _random_search(config, student, task)
        case BootstrapConfig():
            optimizer = BootstrapFewShot(metric=task.metric, **_bootstrapping(config, student, task))
            compiled = optimizer.compile(student.reset_copy(), trainset=task.trainset)
            _miss_no_demos(config, _demos(compiled), task)
            return _only(config, compiled)
        case CoproConfig():
            return _copro(config, student, task)
        case MiproConfig():
            return _mipro(config, student, task)
        case GepaConfig():
            return _gepa(config, student, task)
        case SimbaConfig():
            return _simba(config, student, task)
    raise AssertionError(f"no optimizer is built for {config.name}")


def _only(config: OptimizerConfig, compiled: dspy.Module) -> Compiled:
    return compiled, [Candidate(config.name, compiled)]


def _few_shot(student: dspy.Module, trainset: Sequence[dspy.Example]) -> list[dict[str, Any]]:
    """Train questions as demos: the fields of the signature alone."""
    (predictor,) = student.predictors()
    return [{name: example[name] for name in predictor.signature.fields if name in example} for example in trainset]


def _lm(student: dspy.Module) -> dspy.LM:
    lm: dspy.LM = student.get_lm()
    return lm


def _bootstrapping(config: BootstrapConfig, student: dspy.Module, task: Task) -> dict[str, Any]:
    return {
        "max_bootstrapped_demos": config.max_bootstrapped_demos,
        "max_labeled_demos": config.max_labeled_demos,
        "max_rounds": config.max_rounds,
        "metric_threshold": _threshold(config.metric_threshold),
        "teacher_settings": task.teaching(_lm(student)),
        "max_errors": _no_limit(task) * config.max_rounds,
    }


def _threshold(threshold: float | None) -> float:
    return 1.0 if threshold is None else threshold


def _no_limit(task: Task) -> int:
    """An answer that cannot be read is an error to DSPy, and ten of them would end the optimizer."""
    return 100 * (len(task.trainset) + len(task.valset))


def _miss_no_demos(config: BootstrapConfig | MiproConfig, sets: Sequence[list[Any]], task: Task) -> None:
    """Say so when demos were to come out of right answers, and there was none; DSPy marks those as augmented."""
    found = any(demo.get("augmented", False) for demos in sets for demo in demos)
    if sets and config.max_bootstrapped_demos and not found:
        task.swallowed.add(
            f"bootstrapping found no right answer among {len(task.trainset)} questions; there are labeled demos only"
        )


def _miss_no_text(tried: Sequence[Candidate], student: dspy.Module, task: Task, unreadable_before: int) -> None:
    """Say so when nothing new was tried, since nothing that was written for it could be read."""
    unreadable = task.swallowed.unreadable - unreadable_before
    if unreadable and all(digest(one.program) == digest(student) for one in tried):
        task.swallowed.add(
            f"nothing new was tried: none of {unreadable} texts that the model wrote for the optimizer could be read; "
            "a better one may write them: endpoint@teacher"
        )


def _demos(*programs: dspy.Module) -> list[list[Any]]:
    return [predictor.demos for program in programs for predictor in program.predictors()]


def _random_search(config: BootstrapRandomSearchConfig, student: dspy.Module, task: Task) -> Compiled:
    compiled = BootstrapFewShotWithRandomSearch(
        metric=task.metric,
        num_candidate_programs=config.num_candidate_programs,
        num_threads=task.workers,
        stop_at_score=None if config.stop_at_score is None else 100 * config.stop_at_score,
        **_bootstrapping(config, student, task),
    ).compile(student.reset_copy(), trainset=task.trainset, valset=task.valset)
    tried = list(candidates.of_random_search(compiled))
    # A search that stops early may not have come to bootstrapping.
    bootstrapped = [c.program for c in tried if c.name not in ("zero_shot", "labeled")]
    _miss_no_demos(config, _demos(*bootstrapped), task)
    return compiled, tried


class _Drafts(dspy.BaseLM):
    """A writer whose drafts differ: DSPy asks for several at once, all of them with the one seed of the endpoint."""

    def __init__(self, writer: dspy.LM):
        super().__init__(writer.model, **writer.kwargs)
        self._writer = writer

    def __call__(self, *args: Any, n: int = 1, **kwargs: Any) -> list[Any]:
        seed = self._writer.kwargs.get("seed") or 0
        writers = [self._writer.copy(rollout_id=draft, seed=seed + draft) for draft in range(n)]
        return [text for writer in writers for text in writer(*args, **kwargs)]


def _copro(config: CoproConfig, student: dspy.Module, task: Task) -> Compiled:
    optimizer = COPRO(
        prompt_model=_Drafts(task.writer(_lm(student))),
        metric=task.metric,
        breadth=config.breadth,
        depth=config.depth,
        init_temperature=config.init_temperature,
    )
    with dspy.context(max_errors=_no_limit(task)):
        settings = {"num_threads": task.workers, "display_progress": True}
        compiled = optimizer.compile(student, trainset=task.trainset, eval_kwargs=settings)
    return compiled, list(candidates.of_copro(compiled))


class _RecordingMIPRO(MIPROv2):
    """MIPROv2 that keeps the sets of demos which it bootstraps, those that no trial takes among them."""

    def _bootstrap_fewshot_examples(self, *args: Any, **kwargs: Any) -> Any:
        sets = super()._bootstrap_fewshot_examples(*args, **kwargs)
        # The first is empty, the second has reference answers alone.
        self.bootstrapped = [demos for of_predictor in sets.values() for demos in of_predictor[2:]]
        return sets


def _mipro(config: MiproConfig, student: dspy.Module, task: Task) -> Compiled:
    optimizer = _RecordingMIPRO(
        metric=task.metric,
        prompt_model=task.writer(_lm(student)),
        task_model=_lm(student),
        teacher_settings=task.teaching(_lm(student)),
        max_bootstrapped_demos=config.max_bootstrapped_demos,
        max_labeled_demos=config.max_labeled_demos,
        auto=config.budget,
        num_candidates=config.num_candidates,
        num_threads=task.workers,
        max_errors=_no_limit(task),
        seed=config.seed,
        metric_threshold=_threshold(config.metric_threshold),
    )
    compiled = optimizer.compile(
        student,
        trainset=task.trainset,
        valset=task.valset,
        num_trials=config.num_trials,
        minibatch_size=min(35, len(task.valset)),
        # The source of the program says nothing that the signature does not, and fills the context of a small model.
        program_aware_proposer=False,
    )
    tried = list(candidates.of_mipro(compiled))
    _miss_no_demos(config, optimizer.bootstrapped, task)
    return compiled, tried


def _gepa(config: GepaConfig, student: dspy.Module, task: Task) -> Compiled:
    before = task.swallowed.unreadable
    compiled = GEPA(
        metric=task.metric.for_gepa,
        auto=config.budget,
        max_metric_calls=config.max_metric_calls,
        reflection_minibatch_size=config.reflection_minibatch_size,
        reflection_lm=task.writer(_lm(student)),
        num_threads=task.workers,
        track_stats=True,
        add_format_failure_as_feedback=True,
        seed=config.seed,
    ).compile(student, trainset=task.trainset, valset=task.valset)
    tried = list(candidates.of_gepa(compiled))
    _miss_no_text(tried, student, task, before)
    return compiled, tried


def _simba(config: SimbaConfig, student: dspy.Module, task: Task) -> Compiled:
    before = task.swallowed.unreadable
    compiled = SIMBA(
        metric=task.metric,
        bsize=config.bsize,
        num_candidates=config.num_candidates,
        max_steps=config.max_steps,
        max_demos=config.max_demos,
        prompt_model=task.writer(_lm(student)),
        num_threads=task.workers,
    ).compile(student, trainset=task.trainset, seed=config.seed)
    tried = list(candidates.of_simba(compiled))
    _miss_no_text(tried, student, task, before)
    return compiled, tried


class _RecordingInferRules(InferRules):
    """InferRules that keeps what it tried, and says what fails; DSPy's keeps the best alone.

    DSPy's writes the rules into the signature itself, which every copy of a program shares.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.tried: list[Candidate] = []

    def induce_natural_language_rules(self, predictor: Any, trainset: list[dspy.Example]) -> str:
        try:
            rules: str = super().induce_natural_language_rules(predictor, trainset)
        except AssertionError as error:  # DSPy's word for every failure but a prompt that is too long
            raise error.__context__ or error from None
        return rules

    def update_program_instructions(self, predictor: Any, natural_language_rules: str) -> None:
        predictor.signature = predictor.signature.with_instructions(predictor.signature.instructions)
        super().update_program_instructions(predictor, natural_language_rules)

    def evaluate_program(self, program: dspy.Module, dataset: list[dspy.Example]) -> float:
        score = float(super().evaluate_program(program, dataset))
        self.tried.append(Candidate(f"rules_{len(self.tried)}", program, score / 100, "val"))
        return score


def _infer_rules(config: InferRulesConfig, student: dspy.Module, task: Task) -> Compiled:
    writer = task.writer(_lm(student))
    optimizer = _RecordingInferRules(
        metric=task.metric,
        num_candidates=config.num_candidates,
        num_rules=config.num_rules,
        num_threads=task.workers,
        **_bootstrapping(config, student, task),
    )
    optimizer.rules_induction_program.teacher_settings = {"lm": writer}  # it writes, it does not answer
    asked = random.Random(0).sample(task.trainset, min(config.max_examples, len(task.trainset)))
    compiled = optimizer.compile(student.reset_copy(), trainset=asked, valset=task.valset)
    _miss_no_demos(config, _demos(compiled), task.with_trainset(asked))
    return compiled, optimizer.tried
