"""A wrong answer, an unreadable one and none at all are kept apart; and what the outcomes add up to."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Barrier
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, LMServerError, LMTransportError
from dummies import chat, example, item, model, son

from bibleqa import adapters, assertions, evaluation
from bibleqa import program as programs
from bibleqa.evaluation import Evaluator, Outcome
from bibleqa.lm.meter import Meter, Usage
from bibleqa.metrics import Contains, Score
from bibleqa.schema import AdapterConfig, AssertionsConfig, ProgramConfig


class Scripted(dspy.Module):
    """Answers, or fails, as the script says of a question's number; right when it says nothing."""

    def __init__(self, script: dict[int, str | Exception], before: Callable[[], Any] = lambda: None):
        super().__init__()
        self.script = script
        self.before = before

    def forward(self, context: str, question: str, history: dspy.History) -> dspy.Prediction:
        self.before()
        said = self.script.get(int(son(question)[3:]), son(question))
        if isinstance(said, Exception):
            raise said
        return dspy.Prediction(answer=said)


UNREADABLE = AdapterParseError("ChatAdapter", programs.BibleQA, "blah")
DOWN = LMServerError("upstream\nbroke")


def ask(script: dict[int, str | Exception], questions: int, workers: int = 1) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes, and those that were kept."""
    kept: list[Outcome] = []
    evaluator = Evaluator(Contains(6), {"adapter": dspy.ChatAdapter()}, Meter(), workers)
    examples = [example(number) for number in range(questions)]
    return evaluator.evaluate(Scripted(script), examples, "baseline", kept.append), kept


def test_wrong_unreadable_and_error_are_kept_apart() -> None:
    (right, wrong, unreadable, error), _ = ask({1: "Cain", 2: UNREADABLE, 3: DOWN}, 4)
    assert (right.score, right.prediction, right.unreadable, right.error) == (1.0, "Son0", False, None)
    assert (wrong.score, wrong.prediction, wrong.unreadable, wrong.error) == (0.0, "Cain", False, None)
    assert (unreadable.score, unreadable.prediction, unreadable.unreadable, unreadable.error) == (0.0, None, True, None)
    assert unreadable.raw == "blah"
    assert (error.score, error.prediction, error.unreadable) == (None, None, False)
    assert error.error == {"class": "LMServerError", "message": "upstream\nbroke"}


def test_they_add_up_to_what_they_are() -> None:
    outcomes, _ = ask({1: "Cain", 2: UNREADABLE, 3: DOWN}, 8)
    found = evaluation.scores(outcomes)
    assert (found["score"], found["n"], found["errors"], found["unreadable"]) == (5 / 7, 7, 1, 1)
    assert found["by_type"] == {"kinship": {"score": 5 / 7, "n": 7}}


def test_salvaged_answers_and_endings_are_counted() -> None:
    outcomes = [
        outcome("1", 1.0, salvaged="plain", ended="length"),
        outcome("2", 0.0, ended="refused", unreadable=True),
    ]
    found = evaluation.scores([*outcomes, outcome("3", 1.0, salvaged="plain"), outcome("4", 0.0)])
    assert found["salvaged"] == {"json": 0, "headers": 0, "plain": 2}
    assert found["ended"] == {"length": 1, "refused": 1, "empty": 0}


def read(*replies: str, checks: dict[str, Any] | None = None) -> Outcome:
    """The outcome of a question to which these are the replies."""
    left = iter(replies)
    settings = {"lm": model(lambda asked: next(left)), "adapter": adapters.build(AdapterConfig("chat"))}
    program = assertions.enforce(
        programs.build(ProgramConfig("predict")), AssertionsConfig("own", checks or {}, attempts=3)
    )
    (outcome,) = Evaluator(Contains(6), settings, Meter(), 1).evaluate(
        program, [example(0)], "baseline", lambda outcome: None
    )
    return outcome


def test_how_an_answer_was_salvaged_stands_with_it() -> None:
    assert read(chat("Son0")).salvaged is None
    assert read("**Answer:** Son0").salvaged == "headers"
    assert read("Son0", "").salvaged == "plain"
    assert read("Son0", '{"answer": "Son0"}').salvaged is None, "the reply that is used counts"
    assert read("", "").salvaged is None


def test_of_several_attempts_that_of_the_answer_counts() -> None:
    grounded: dict[str, Any] = {"grounded": {}}
    assert read("**Answer:** Methuselah", chat("Son0"), checks=grounded).salvaged is None
    assert read(chat("Methuselah"), "**Answer:** Son0", checks=grounded).salvaged == "headers"


class Refusing:
    """A metric whose judge does not answer."""

    def score(self, example: dspy.Example, answer: str) -> Score:
        raise DOWN


def test_a_judge_that_fails_is_an_error_and_the_answer_is_kept() -> None:
    (outcome,) = Evaluator(Refusing(), {}, Meter(), 1).evaluate(Scripted({}), [example(0)], "baseline", lambda _: None)
    assert (outcome.score, outcome.prediction, outcome.feedback) == (None, "Son0", "No score came.")
    assert outcome.error == {"class": "LMServerError", "message": "upstream\nbroke"}


def anchors(*pairs: tuple[float | None, str | None]) -> dict[str, Any]:
    """How scores of answers to anchor questions agree with `contains`; the answer is Seth."""
    examples = [programs.example(replace(item(n, answer="Seth"), id=f"anchor:{n}")) for n in range(len(pairs))]
    outcomes = [replace(outcome(f"anchor:{n}", score), prediction=said) for n, (score, said) in enumerate(pairs)]
    generated = outcome("i9", 1.0)
    return evaluation.agreement([*outcomes, generated], [*examples, example(9)], Contains(6))


def test_agreement_is_that_of_the_hand_written_questions_cut_at_half() -> None:
    found = anchors((1.0, "Seth"), (0.5, "Seth"), (0.4, "Enos"), (1.0, "Enos"), (None, "Seth"), (0.0, None))
    assert found == {"n": 4, "agreement": 0.75, "kappa": pytest.approx(0.5)}


def test_agreement_of_nothing_is_none() -> None:
    assert anchors() == {"n": 0, "agreement": None, "kappa": None}
    assert anchors((1.0, "Seth"), (1.0, "Seth")) == {"n": 2, "agreement": 1.0, "kappa": None}


def test_a_defect_of_the_program_is_no_outcome() -> None:
    with pytest.raises(ZeroDivisionError):
        ask({1: ZeroDivisionError()}, 3)


def test_gives_up_when_the_endpoint_fails_many_times_in_a_row() -> None:
    outcomes, kept = ask(dict.fromkeys(range(3, 40), DOWN), 40)
    assert [outcome.error is not None for outcome in outcomes] == [False] * 3 + [True] * 5
    assert kept == outcomes


def test_goes_on_when_answers_come_in_between() -> None:
    failing: dict[int, str | Exception] = {n: LMTransportError("reset") for n in range(40) if n % 5}
    assert len(ask(failing, 40)[0]) == 40


def test_unreadable_answers_are_no_reason_to_give_up() -> None:
    assert len(ask(dict.fromkeys(range(40), UNREADABLE), 40)[0]) == 40


def test_outcomes_come_in_the_order_of_the_questions_and_each_is_kept_once() -> None:
    together = Barrier(4)  # four are asked at once, or this breaks
    kept: list[Outcome] = []
    evaluator = Evaluator(Contains(6), {}, Meter(), workers=4)
    program = Scripted({}, before=lambda: together.wait(timeout=10))
    outcomes = evaluator.evaluate(program, [example(n) for n in range(40)], "optimized", kept.append)
    assert [outcome.id for outcome in outcomes] == [f"i{n}" for n in range(40)]
    assert Counter(kept_.id for kept_ in kept) == Counter(outcome.id for outcome in outcomes)
    assert {outcome.phase for outcome in outcomes} == {"optimized"}


def test_tokens_and_calls_are_those_of_the_question() -> None:
    meter = Meter()
    settings = {"lm": model(lambda asked: chat(son(asked))), "adapter": dspy.ChatAdapter()}
    program = programs.build(ProgramConfig("predict"))
    outcomes = Evaluator(Contains(6), settings, meter, 2).evaluate(
        program, [example(n) for n in range(3)], "baseline", lambda outcome: None
    )
    assert [(outcome.score, outcome.tokens) for outcome in outcomes] == [(1.0, {"input": 5, "output": 2})] * 3
    assert meter.usage == Usage(calls=3, input_tokens=15, output_tokens=6)


def test_the_checks_of_a_question_are_recorded_with_it() -> None:
    answers = iter(["Methuselah", "Son0", "Son1"])
    settings = {"lm": model(lambda asked: chat(next(answers))), "adapter": dspy.ChatAdapter()}
    program = assertions.enforce(
        programs.build(ProgramConfig("predict")), AssertionsConfig("grounded", {"grounded": {}}, 3, 0.7)
    )
    outcomes = Evaluator(Contains(6), settings, Meter(), 1).evaluate(
        program, [example(n) for n in range(2)], "baseline", lambda outcome: None
    )
    assert [(o.attempts, o.checks_first["grounded"], o.checks["grounded"]) for o in outcomes] == [
        (2, False, True),
        (1, True, True),
    ]
    assert evaluation.pass_rates(outcomes) == {"grounded": {"pass_rate_first": 0.5, "pass_rate_final": 1.0}}


def test_the_digest_of_inputs_tells_questions_apart() -> None:
    def digest(**values: Any) -> str:
        return evaluation._inputs_digest(example(1, **values))

    assert digest() == digest(answer="other", type="other")
    assert len({digest(), digest(context="other"), evaluation._inputs_digest(example(2))}) == 3


def test_a_line_has_everything_and_reads_back() -> None:
    (outcome,), _ = ask({0: "יהוה"}, 1)
    line = outcome.to_json()
    assert "\n" not in line
    assert "יהוה" in line
    assert Outcome(**json.loads(line)) == outcome


def test_an_answer_repeated_in_another_phase_costs_nothing() -> None:
    (outcome,), _ = ask({}, 1)
    again = replace(outcome, seconds=2.0, tokens={"input": 5, "output": 2}).repeated_in("optimized")
    assert (again.phase, again.seconds, again.tokens) == ("optimized", 0.0, {"input": 0, "output": 0})
    assert (again.score, again.prediction) == (outcome.score, outcome.prediction)


def outcome(id: str, score: float | None, **values: Any) -> Outcome:
    error = {"class": "LMServerError", "message": ""} if score is None else None
    return Outcome(id, "a", "baseline", "", "", score, "", error=error, **values)


def test_nothing_measured_has_no_score() -> None:
    assert evaluation.scores([]) == {
        "score": None,
        "n": 0,
        "errors": 0,
        "unreadable": 0,
        "salvaged": {"json": 0, "headers": 0, "plain": 0},
        "ended": {"length": 0, "refused": 0, "empty": 0},
        "ci95": None,
        "by_type": {},
    }
    assert evaluation.scores([outcome("1", None)])["score"] is None
    assert evaluation.improvement([], []) == {"value": None, "ci95": None}
    assert evaluation.pass_rates([outcome("1", 1.0)]) == {}


def test_the_improvement_is_paired_by_question() -> None:
    before = [outcome("1", 0.0), outcome("2", 1.0), outcome("3", None), outcome("4", 0.5), outcome("5", 1.0)]
    after = [outcome("4", 1.0), outcome("2", 1.0), outcome("1", 1.0), outcome("3", 1.0), outcome("5", None)]
    found = evaluation.improvement(before, after)
    assert found["value"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["ci95"][0] < found["value"] < found["ci95"][1]


def test_an_improvement_of_every_question_by_the_same_is_certain() -> None:
    before = [outcome(str(n), 0.25 * (n % 2)) for n in range(20)]
    after = [replace(o, score=(o.score or 0) + 0.5) for o in before]
    assert evaluation.improvement(before, after) == {"value": 0.5, "ci95": [0.5, 0.5]}


def test_pass_rates_tell_first_and_final_attempt_apart() -> None:
    outcomes = [
        outcome("1", 1.0, checks_first={"a": False, "b": True}, checks={"a": True, "b": True}),
        outcome("2", 0.0, checks_first={"a": False, "b": True}, checks={"a": False, "b": False}),
        outcome("3", None),
    ]
    assert evaluation.pass_rates(outcomes) == {
        "a": {"pass_rate_first": 0.0, "pass_rate_final": 0.5},
        "b": {"pass_rate_first": 1.0, "pass_rate_final": 0.5},
    }
