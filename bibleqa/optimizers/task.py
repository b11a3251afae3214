"""What an optimizer is given to work with."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from bibleqa.optimizers.objective import Objective
from bibleqa.optimizers.swallowed import Swallowed


@dataclass(frozen=True)
class Task:
    """Questions, metric and models. `dspy.context(lm=…, adapter=…)` is in force around it."""

    metric: Objective
    trainset: list[dspy.Example]
    """What a prompt optimizer learns from."""
    valset: list[dspy.Example]
    """What it chooses by."""
    lm: dspy.LM
    """The student."""
    teacher: dspy.LM | None
    """A better model, where there is one."""
    workers: int
    """Questions asked at once."""
    pool: list[dspy.Example]
    """All questions of the train split, for a weight step; trainset is a slice of them."""
    tell: Callable[[str], None] = field(default=lambda note: None)
    """Called with what is being done."""
    swallowed: Swallowed = field(default_factory=Swallowed)
    """Where failures inside are kept."""

    def with_trainset(self, trainset: list[dspy.Example]) -> "Task":
        """The same task with other train questions, or in another order."""
        return replace(self, trainset=trainset)

    def writer(self, lm: dspy.LM) -> dspy.LM:
        """Who writes instructions and rules: the teacher, else the student, with room for more than an answer."""
        return (self.teacher or lm).copy(temperature=1.0, max_tokens=1024)

    def teaching(self, lm: dspy.LM) -> dict[str, Any]:
        """DSPy's `teacher_settings`: who answers for demos."""
        return {"lm": self.teacher or lm}
