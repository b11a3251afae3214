"""What counts as right to an optimizer: the metric, and the checks that an answer must pass."""

from collections.abc import Callable, Mapping
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from bibleqa import assertions
from bibleqa.checks import Check
from bibleqa.metrics import Metric, Score


class Objective:
    """A metric in the form that DSPy's optimizers call, with the failures of what it asks, which they swallow."""

    def __init__(self, metric: Metric, checks: Mapping[str, Check]):
        self.errors: list[LMError] = []
        self._metric = metric
        self._checks = checks

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float:
        """The score of a prediction, 0 to 1; as a demo (there is a trace), 0 for one that fails a hard check."""
        score, failed = self._judge(example, prediction)
        return 0.0 if trace is not None and any(complaint.hard for complaint in failed) else score.value

    def from_score(self, threshold: float) -> Callable[..., bool]:
        """Whether an answer is worth learning: its score is high enough and no hard check fails."""
        return lambda example, prediction, trace=None: self(example, prediction, trace or []) >= threshold

    def for_gepa(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> dspy.Prediction:
        """In the form that GEPA calls: score, and as feedback why, and what the checks say."""
        score, failed = self._judge(gold, pred)
        feedback = " ".join([score.feedback, *(complaint.message for complaint in failed)])
        return dspy.Prediction(score=score.value, feedback=feedback)

    def _judge(self, example: Any, prediction: Any) -> tuple[Score, list[assertions.Complaint]]:
        answer = str(prediction.answer)
        try:
            score = self._metric.score(example, answer)
        except LMError as error:
            self.errors.append(error)
            raise
        return score, assertions.complaints(self._checks, example.inputs(), answer)
