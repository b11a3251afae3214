"""What is worth learning: the score, but for answers that fail a hard check."""

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import LMServerError
from dummies import example

from bibleqa.checks import build
from bibleqa.metrics import Contains, Score, TokenF1
from bibleqa.optimizers import Objective
from bibleqa.schema import AssertionsConfig

ASKED = example(1)
BRIEF: dict[str, Any] = {"max_words": {"most": 2}, "grounded": {"severity": "soft"}}


def objective(**checks: Any) -> Objective:
    return Objective(Contains(6), build(AssertionsConfig("own", checks)))


def said(answer: str) -> dspy.Prediction:
    return dspy.Prediction(answer=answer)


def test_a_score_is_the_metrics_whatever_the_checks_say() -> None:
    assert [objective(**BRIEF)(ASKED, said(answer)) for answer in ("Son1", "it is Son1", "Nobody")] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("trace", [[], [("predictor", {}, {})]])
def test_a_demo_that_fails_a_hard_check_is_worth_nothing(trace: list[Any]) -> None:
    assert objective(**BRIEF)(ASKED, said("it is Son1"), trace) == 0.0
    assert objective(**BRIEF)(ASKED, said("Son1"), trace) == 1.0


def test_a_soft_check_spoils_no_demo() -> None:
    assert objective(**BRIEF)(ASKED, said("Son1 Methuselah"), []) == 1.0


@pytest.mark.parametrize(("threshold", "learned"), [(0.5, True), (0.7, False)])
def test_what_reaches_the_threshold_is_learned(threshold: float, learned: bool) -> None:
    worth = Objective(TokenF1(), {}).from_score(threshold)
    assert worth(ASKED, said("Son1 Enos")) == learned  # F1 2/3


def test_what_fails_a_hard_check_is_not_learned() -> None:
    assert objective(**BRIEF).from_score(1.0)(ASKED, said("Son1"))
    assert not objective(**BRIEF).from_score(1.0)(ASKED, said("it is Son1"))


def test_gepa_is_told_the_score_and_what_metric_and_checks_say() -> None:
    result = objective(**BRIEF).for_gepa(ASKED, said("it is Methuselah"), None, "self", None)
    assert result.score == 0.0
    assert result.feedback == (
        "The answer is 'Son1'. Be brief: 3 words are too many, 2 must do. "
        "Use words of the context only: methuselah is not in it."
    )


def test_gepa_may_ask_for_the_score_alone() -> None:
    assert objective().for_gepa(ASKED, said("Son1")).score == 1.0


class Down:
    def score(self, example: dspy.Example, answer: str) -> Score:
        raise LMServerError("the judge broke")


@pytest.mark.parametrize("ask", ["__call__", "for_gepa"])
def test_a_metric_whose_model_fails_is_kept_in_mind(ask: str) -> None:
    broken = Objective(Down(), {})
    with pytest.raises(LMServerError):
        getattr(broken, ask)(ASKED, said("Son1"))
    assert [str(error) for error in broken.errors] == ["the judge broke"]
