"""A weight step: DSPy's BootstrapFinetune, which learns reference answers, a teacher's right answers, or both."""

from typing import Any

import dspy
from dspy.teleprompt import BootstrapFinetune

from bibleqa import program as programs
from bibleqa.errors import BibleQAError
from bibleqa.optimizers.candidates import Candidate
from bibleqa.optimizers.task import Task
from bibleqa.schema import FinetuneConfig


def compile(config: FinetuneConfig, student: dspy.Module, task: Task) -> tuple[dspy.Module, list[Candidate]]:
    """Tune the weights behind a copy of the student, whose one predictor has its LM."""
    pool = programs.with_contexts(student, task.pool[: config.max_examples])
    gold = pool if config.source != "teacher" else []
    asked = pool[: config.max_traces] if config.source != "labels" else []
    optimizer = _Finetune(
        gold,
        metric=task.metric.from_score(1.0 if config.metric_threshold is None else config.metric_threshold),
        train_kwargs={
            "rank": config.rank,
            "alpha": config.alpha,
            "learning_rate": config.learning_rate,
            "epochs": config.epochs,
            "batch_tokens": config.batch_tokens,
            "seed": config.seed,
        },
        exclude_demos=config.exclude_demos,
        num_threads=max(1, task.workers),
    )
    student = student.deepcopy()
    teacher = student.deepcopy()
    teacher.set_lm(task.teacher)
    provider = student.get_lm().provider
    provider.tell = task.tell
    if asked:
        task.tell(f"the teacher answers {len(asked)} questions")
    compiled = optimizer.compile(student, trainset=asked, teacher=teacher)
    if asked and not optimizer.learned_from_teacher:
        task.swallowed.add(f"the teacher answered none of {len(asked)} questions rightly: nothing is learned from it")
    return compiled, [Candidate(config.name, compiled)]


class _Finetune(BootstrapFinetune):
    """BootstrapFinetune that learns reference answers besides."""

    def __init__(self, gold: list[dspy.Example], **kwargs: Any):
        super().__init__(**kwargs)
        self._gold = gold
        self.learned_from_teacher = 0
        self._student: dspy.Module
        self._teacher: dspy.Module | None = None

    def compile(
        self, student: dspy.Module, trainset: list[dspy.Example], teacher: dspy.Module | None = None
    ) -> dspy.Module:
        """As DSPy's; without train questions the teacher is asked nothing."""
        self._student, self._teacher = student, teacher
        return super().compile(student, trainset, teacher if trainset else [])

    def finetune_lms(self, finetune_dict: dict[Any, dict[str, Any]]) -> dict[Any, dspy.LM]:
        """As DSPy's, but in this thread, which hears of an interrupt: it ends the tuning."""

        def tuned(lm: dspy.LM, **asked: Any) -> dspy.LM:
            return lm.copy(model=lm.provider.finetune(None, lm.model, **asked))

        return {key: tuned(**asked) for key, asked in finetune_dict.items()}

    def _prepare_finetune_data(
        self, trace_data: list[dict[str, Any]], lm: dspy.LM, pred_ind: int | None = None
    ) -> tuple[list[dict[str, Any]], Any]:
        """Conversations in the very form in which the student will be asked: with its instructions and demos."""
        (predictor,) = self._student.predictors()
        adapter = dspy.settings.adapter
        demos = [] if self.exclude_demos else predictor.demos

        def conversation(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
            wanted = {name: outputs[name] for name in predictor.signature.output_fields}
            # DSPy's `format_finetune_data` does the same, but not every adapter has it.
            prompt = adapter.format(predictor.signature, demos, dict(inputs))
            answer = adapter.format_assistant_message_content(predictor.signature, wanted)
            return {"messages": [*prompt, {"role": "assistant", "content": answer}]}

        if self._teacher and (lm := self._teacher.predictors()[0].lm):
            lm.kill()  # what it knew is written down; its memory is needed
        right = [trace["trace"][-1] for trace in trace_data if trace["score"]]
        self.learned_from_teacher = len(right)
        rows = [conversation(inputs, outputs) for _, inputs, outputs in right]
        rows += [conversation(dict(example.inputs()), dict(example)) for example in self._gold]
        if not rows:
            raise BibleQAError(
                f"the teacher answered none of {len(trace_data)} questions rightly: there is nothing to learn; "
                "ask it more (max_traces), or learn the reference answers (source=labels)"
            )
        return rows, "chat"
