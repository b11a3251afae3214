"""What each prompt optimizer finds when the model lets it, and what it says when the model does not."""

from collections import Counter
from collections.abc import Callable

import pytest
from dspy.utils.exceptions import AdapterParseError
from dummies import ECHO, Asked, example, son
from optimizing import (
    GROUNDED,
    MAGIC,
    TRAIN,
    VAL,
    Reply,
    Setting,
    answers,
    babble,
    bootstrapped,
    demos,
    down,
    instructions,
    knows,
    number,
    on_val,
    right,
    shown,
    small,
    told,
    write,
    wrong,
)

from bibleqa import assertions, config
from bibleqa.nearest import NearestDemos
from bibleqa.schema import AssertionsConfig

CHECKS = {"no checks": None, "grounded": GROUNDED}


def test_labeled_takes_reference_answers_and_asks_nothing_to_find_them() -> None:
    setting = Setting(knows(shown))
    result = setting.optimize("labeled")
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert len(demos(result.program)) == 3
    assert {demo.answer for demo in demos(result.program)} <= {question.answer for question in TRAIN}
    assert {number(asked) for asked in setting.asked()} == {int(question.answer[3:]) for question in VAL}


@pytest.mark.parametrize("checks", CHECKS.values(), ids=CHECKS)
def test_knn_shows_the_questions_worded_most_like_it(checks: AssertionsConfig | None) -> None:
    setting = Setting(knows(shown), checks=checks)
    result = setting.optimize("knn")
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert isinstance(assertions.inside(result.program), NearestDemos)
    assert isinstance(result.program, assertions.Checked) == bool(checks)


@pytest.mark.parametrize("checks", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("program", ["predict", "chain_of_thought"])
def test_bootstrap_makes_demos_of_right_answers(program: str, checks: AssertionsConfig | None) -> None:
    setting = Setting(knows(lambda asked: number(asked) != 0 and shown(asked)), checks=checks, program=program)
    result = setting.optimize("bootstrap")
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert [demo.answer for demo in bootstrapped(result.program)] == ["Son1", "Son2"]
    assert all(("reasoning" in demo) == (program == "chain_of_thought") for demo in bootstrapped(result.program))
    assert len(demos(result.program)) == 3
    assert [one.name for one in result.candidates] == ["baseline", "bootstrap"]


def test_demos_of_a_checked_program_hold_no_feedback() -> None:
    tried: set[str] = set()

    def right_the_second_time(asked: Asked) -> bool:
        if number(asked) >= 20:
            return shown(asked)
        answer = son(asked.last)
        known = answer in tried
        tried.add(answer)
        return known

    result = Setting(knows(right_the_second_time), checks=GROUNDED).optimize("bootstrap")
    assert [demo.answer for demo in bootstrapped(result.program)] == ["Son0", "Son1"]
    assert not [demo for demo in demos(result.program) if "feedback" in demo or "Nobody" in str(demo)]


def test_a_right_answer_that_fails_a_check_is_no_demo() -> None:
    strict = AssertionsConfig("strict", {"matches": {"pattern": "Son[12]"}}, attempts=1)
    result = Setting(knows(lambda asked: True), checks=strict).optimize("bootstrap")
    tried = result.candidates[-1].program
    assert [demo.answer for demo in bootstrapped(tried)] == ["Son1", "Son2"]


@pytest.mark.parametrize("name", ["bootstrap", "bootstrap_random_search", "mipro", "infer_rules"])
def test_demos_are_found_under_the_strict_set(name: str) -> None:
    setting = Setting(knows(shown), checks=config.compose(["assertions=strict"]).assertions)
    values = {"num_candidates": 4} if name == "mipro" else {}
    result = setting.optimize(small(name, **values))
    assert [one for one in result.candidates if bootstrapped(one.program)]
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))


def test_a_teacher_answers_for_the_demos() -> None:
    setting = Setting(knows(lambda asked: number(asked) >= 20 and shown(asked)), teacher=right)
    result = setting.optimize("bootstrap")
    assert (result.errors, on_val(result)) == ([], (0.0, 1.0))
    assert len(bootstrapped(result.program)) == 2
    assert {number(asked) for asked in setting.asked()} == {20, 21, 22, 23}


def test_the_search_keeps_what_it_tried_in_that_order() -> None:
    result = Setting(knows(lambda asked: number(asked) < 20 or "Son3" in asked.shown)).optimize(
        "bootstrap_random_search"
    )
    tried = result.candidates[1:]
    assert [one.name for one in tried] == ["zero_shot", "labeled", "bootstrap", "random_0", "random_1"]
    assert [one.score for one in tried] == [float("Son3" in str(demos(one.program))) for one in tried]
    assert {one.scored_on for one in tried} == {"val"}
    assert (result.unchanged, on_val(result)) == (False, (0.0, 1.0))
    assert "Son3" in str(demos(result.program))


def test_a_search_that_stops_before_bootstrapping_is_no_error() -> None:
    result = Setting(right).optimize(small("bootstrap_random_search", stop_at_score=0.9))
    assert [one.name for one in result.candidates] == ["baseline", "zero_shot"]
    assert (result.unchanged, result.errors) == (True, [])


@pytest.mark.parametrize("checks", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("name", ["copro", "mipro", "gepa", "infer_rules"])
def test_instructions_that_help_are_found(name: str, checks: AssertionsConfig | None) -> None:
    result = Setting(knows(lambda asked: told(asked) or number(asked) == 2), checks=checks).optimize(
        name, [TRAIN[2], TRAIN[2], TRAIN[2], TRAIN[2], *TRAIN[:4]]
    )
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert MAGIC in instructions(result.program)


@pytest.mark.parametrize("name", ["copro", "mipro", "gepa", "infer_rules", "simba"])
def test_a_teacher_writes_and_the_student_does_not(name: str) -> None:
    setting = Setting(knows(wavering(), writer=down), teacher=knows(lambda asked: True))
    result = setting.optimize(name)
    assert (result.errors, on_val(result)) == ([], (0.0, 1.0))
    assert MAGIC in instructions(result.program)


def test_copro_has_the_candidates_of_every_depth() -> None:
    drafts = iter(range(100))

    def another_each_time(asked: Asked) -> str:
        return write(asked).replace(MAGIC, f"{MAGIC} {next(drafts)}")

    result = Setting(knows(told, writer=another_each_time)).optimize("copro")
    assert [one.name[:8] for one in result.candidates[1:]] == ["depth_0_"] * 2 + ["depth_1_"] * 2
    for one in result.candidates[1:]:
        assert (one.score, one.scored_on) == (float(MAGIC in instructions(one.program)), "train")


def test_copro_asks_for_drafts_that_differ_where_the_endpoint_has_a_seed() -> None:
    setting = Setting(knows(told), seed=7)
    setting.optimize(small("copro", breadth=4, depth=2))
    assert [asked.seed for asked in setting.asked() if not answers(asked)] == [7, 8, 9, 7, 8, 9, 10]


def test_mipro_has_every_trial_and_the_program_that_was_given_first() -> None:
    result = Setting(knows(told)).optimize("mipro")
    names = [one.name for one in result.candidates[1:]]
    assert names == [f"trial_{number}" for number in range(1, len(names) + 1)]
    assert (result.candidates[1].score, result.candidates[1].scored_on) == (0.0, "val")
    assert max(one.score or 0.0 for one in result.candidates[1:]) == 1.0


def test_mipro_bootstraps_demos_even_where_no_trial_takes_them() -> None:
    lazy = Setting(knows(lambda asked: True)).optimize(small("mipro", num_candidates=5, num_trials=1))
    assert lazy.errors == []
    found_none = Setting(knows(told)).optimize(small("mipro", num_candidates=5, num_trials=1))
    assert found_none.errors == ["bootstrapping found no right answer among 8 questions; there are labeled demos only"]


def test_gepa_reads_the_feedback_of_metric_and_checks() -> None:
    setting = Setting(knows(told), checks=GROUNDED)
    result = setting.optimize("gepa")
    asked = next(asked.last for asked in setting.asked() if not answers(asked))
    assert "The answer is 'Son" in asked
    assert "Use words of the context only: nobody is not in it." in asked
    assert [(one.name, one.score) for one in result.candidates[1:]] == [("generation_0", 0.0), ("generation_1", 1.0)]


def wavering() -> Callable[[Asked], bool]:
    """What a model is that knows train now and then while it is sampled, and always when it is told how."""
    times: Counter[int] = Counter()

    def right_every_other_time(asked: Asked) -> bool:
        times[number(asked)] += asked.temperature == 1.0
        return told(asked) or (asked.temperature == 1.0 and times[number(asked)] % 2 == 0)

    return right_every_other_time


def test_simba_makes_rules_of_what_the_model_knows_now_and_then() -> None:
    result = Setting(knows(wavering())).optimize("simba")
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert MAGIC in instructions(result.program)
    scores = [one.score or 0.0 for one in result.candidates[1:]]
    assert (scores, scores[0]) == (sorted(scores, reverse=True), 1.0)


def test_simba_makes_demos_under_checks() -> None:
    def known_or_shown(asked: Asked) -> bool:
        return "Son" in asked.shown or (asked.temperature == 1.0 and sometimes(asked))

    sometimes = wavering()
    once = AssertionsConfig("grounded", {"grounded": {}}, attempts=1)
    result = Setting(knows(known_or_shown), checks=once).optimize("simba")
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert bootstrapped(result.program)
    assert not [demo for demo in demos(result.program) if "feedback" in demo]


def test_infer_rules_keeps_each_set_of_rules_apart() -> None:
    drafts = iter(range(100))

    def another_each_time(asked: Asked) -> str:
        return write(asked).replace(MAGIC, f"Rule {next(drafts)}.")

    result = Setting(knows(lambda asked: "Rule" in asked.system, writer=another_each_time)).optimize("infer_rules")
    tried = [instructions(one.program) for one in result.candidates]
    assert [text.count("Rule ") for text in tried] == [0, 1, 1]
    assert len(set(tried)) == 3


@pytest.mark.parametrize("name", ["copro", "mipro", "infer_rules"])
def test_a_writer_that_babbles_is_said_to_be_unreadable(name: str) -> None:
    with pytest.raises(AdapterParseError, match="no format at all"):
        Setting(knows(shown, writer=babble)).optimize(name)


@pytest.mark.parametrize(("name", "knowing"), [("gepa", told), ("simba", wavering())])
def test_a_writer_that_babbles_leaves_nothing_to_try(name: str, knowing: Callable[[Asked], bool]) -> None:
    values = {"max_demos": 0} if name == "simba" else {}
    result = Setting(knows(knowing, writer=babble)).optimize(small(name, **values))
    (said,) = result.errors
    assert "texts that the model wrote for the optimizer could be read" in said
    assert result.unchanged


def test_unreadable_answers_are_no_failure_of_the_optimizer() -> None:
    reply: Reply = lambda asked: right(asked) if number(asked) == 29 else ECHO  # noqa: E731
    result = Setting(reply).optimize("bootstrap", [example(n) for n in range(30)])
    assert [demo.answer for demo in bootstrapped(result.candidates[-1].program)] == ["Son29"]
    assert result.errors == []


def test_bootstrapping_without_any_demo_is_known_to_leave_the_program_unchanged() -> None:
    result = Setting(wrong).optimize(small("bootstrap", max_labeled_demos=0))
    assert result.unchanged
    assert len(result.errors) == 1
