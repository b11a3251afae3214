"""Checks, and the module that asks again while one fails."""

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, LMServerError
from dummies import FOLLOW_UP, chat, example, model

from bibleqa import assertions
from bibleqa import program as programs
from bibleqa.assertions import Attempts, Checked, Grounded, enforce, watched
from bibleqa.errors import ConfigError
from bibleqa.schema import AdapterConfig, AssertionsConfig, ProgramConfig


def inputs(context: str = "And Seth begat Enos.", **values: Any) -> dict[str, Any]:
    return dict(example(1, context=context, **values).inputs())


@pytest.mark.parametrize(
    ("answer", "foreign"),
    [
        ("Seth", None),
        ("SETH's", None),
        ("It was Seth", None),
        ("Adam begat Seth", "Adam"),
        ("Methuselah", "methuselah"),
        ("", None),
    ],
)
def test_content_words_must_stand_in_the_context(answer: str, foreign: str | None) -> None:
    said = Grounded()(inputs(), answer)
    assert (said is None) == (foreign is None)
    assert foreign is None or foreign.lower() in (said or "")


def test_what_was_said_before_counts_as_context() -> None:
    assert Grounded()(inputs(history=FOLLOW_UP), "Adam") is None


def test_without_a_context_there_is_nothing_to_check() -> None:
    assert Grounded()(inputs(context=""), "Methuselah") is None


@pytest.mark.parametrize(("share", "passes"), [(1.0, False), (0.5, True), (0.51, False), (0.0, True)])
def test_the_share_of_words_that_must_stand_there(share: float, passes: bool) -> None:
    assert (Grounded(share)(inputs(), "Seth Methuselah") is None) == passes


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"biblical": {}}, "assertions.checks.biblical: no such check; there are grounded"),
        ({"grounded": {"min_share": 1.5}}, "assertions.checks.grounded.min_share=1.5: must be from 0 to 1"),
        (
            {"grounded": {"min_share": float("nan")}},
            "assertions.checks.grounded.min_share=nan: must be a finite number",
        ),
        ({"grounded": {"share": 1}}, "assertions.checks.grounded: share: unknown key; known here: min_share"),
        ({"grounded": {"min_share": "much"}}, "assertions.checks.grounded: min_share: Value 'much'"),
        ({"grounded": [1]}, "assertions.checks.grounded=[1]: a check takes its parameters by name"),
        ({"grounded": 3}, "assertions.checks.grounded=3: a check takes its parameters by name"),
    ],
    ids=str,
)
def test_a_wrong_set_of_checks_is_refused(checks: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assertions.build(AssertionsConfig("mine", checks))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_check_without_parameters_has_its_defaults() -> None:
    assert assertions.build(AssertionsConfig("mine", {"grounded": None})) == {"grounded": Grounded(1.0)}


def test_without_checks_the_program_stays_as_it_is() -> None:
    program = programs.build(ProgramConfig("predict"))
    assert enforce(program, AssertionsConfig("none")) is program


class Asked:
    """A checked program, and the answers that its model gives one after the other."""

    def __init__(self, *answers: str | Exception, attempts: int = 3, adapter: str = "chat"):
        left = iter(answers)
        self.lm = model(lambda _: next(left))
        self.program = enforce(
            programs.build(ProgramConfig("predict")),
            AssertionsConfig("grounded", {"grounded": {}}, attempts, temperature=0.7),
        )
        self.adapter = programs.adapter(AdapterConfig(adapter))
        self.attempts = Attempts()
        self.trace: list[Any] = []

    def answer(self) -> str:
        with watched() as self.attempts, dspy.context(lm=self.lm, adapter=self.adapter, trace=self.trace):
            return str(self.program(**inputs()).answer)


def test_an_answer_that_passes_is_asked_for_once() -> None:
    asked = Asked(chat("Seth"))
    assert asked.answer() == "Seth"
    assert asked.attempts == Attempts(1, {"grounded": True}, {"grounded": True})


@pytest.mark.parametrize("adapter", ["chat", "xml"])
def test_a_failed_check_is_told_to_the_model(adapter: str) -> None:
    marked = chat if adapter == "chat" else "<answer>{}</answer>".format
    asked = Asked(marked("Methuselah"), marked("Seth"), adapter=adapter)
    assert asked.answer() == "Seth"
    assert asked.attempts == Attempts(2, {"grounded": False}, {"grounded": True})
    first, second = asked.lm.engine.asked
    assert "methuselah" not in str(first.messages)
    assert "methuselah is not in it" in str(second.messages)
    assert (first.config.temperature, second.config.temperature) == (None, 0.7)


def test_the_first_of_equally_failed_answers_is_given() -> None:
    asked = Asked(chat("Noah"), chat("Ham"), chat("Shem"))
    assert asked.answer() == "Noah"
    assert asked.attempts == Attempts(3, {"grounded": False}, {"grounded": False})


def test_the_trace_is_that_of_the_answer_given() -> None:
    asked = Asked(chat("Noah"), chat("Seth"))
    asked.answer()
    ((predictor, asked_with, prediction),) = asked.trace
    assert predictor is asked.program.predictors()[0]
    assert (prediction.answer, "feedback" in asked_with) == ("Seth", False)


def test_an_unreadable_further_attempt_does_not_lose_the_answer_before() -> None:
    asked = Asked(chat("Noah"), "blah", "blah", chat("Seth"))
    assert asked.answer() == "Seth"
    assert asked.attempts.count == 3
    asked = Asked(chat("Noah"), "blah", "blah", attempts=2)
    assert asked.answer() == "Noah"
    assert len(asked.trace) == 1


def test_an_unreadable_first_answer_is_unreadable() -> None:
    with pytest.raises(AdapterParseError):
        Asked("blah", "blah", chat("Seth")).answer()


def test_an_endpoint_that_fails_on_a_further_attempt_is_an_error() -> None:
    with pytest.raises(LMServerError):
        Asked(chat("Noah"), LMServerError("down")).answer()


def test_the_checked_program_keeps_its_predictors() -> None:
    program = programs.build(ProgramConfig("chain_of_thought"))
    checked = Checked(program, {"grounded": Grounded()}, 3, 0.7)
    assert checked.predictors() == program.predictors()
    assert len(checked.deepcopy().predictors()) == 1
