"""Checks, and the module that asks again while one fails."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, LMServerError
from dummies import ECHO, chat, example, model, son
from hypothesis import given, settings
from hypothesis import strategies as st

from bibleqa import adapters, config, evaluation
from bibleqa import program as programs
from bibleqa.assertions import Attempts, Checked, Complaint, around, complaints, enforce, watched
from bibleqa.checks import Answers, Grounded, MaxWords, build
from bibleqa.errors import ConfigError
from bibleqa.schema import AdapterConfig, AssertionsConfig, ProgramConfig


def inputs(context: str = "And Seth begat Enos.", **values: Any) -> dict[str, Any]:
    return dict(example(1, context=context, **values).inputs())


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"biblical": {}}, "assertions.checks.biblical: no such check; there are grounded, answers, max_words"),
        ({"biblical": None}, "assertions.checks.biblical: no such check"),
        ({"grounded": {"severity": "firm"}}, "assertions.checks.grounded.severity=firm: not one of hard, soft"),
        ({"max_words": {"most": 0}}, "assertions.checks.max_words.most=0: must be 1 or more"),
        ({"matches": {}}, "assertions.checks.matches.pattern: is needed"),
        ({"matches": {"pattern": "("}}, "assertions.checks.matches.pattern=(: not a regular expression: missing )"),
        ({"grounded": {"function": "a.b"}}, "assertions.checks.grounded.function: unknown key"),
        ({"grounded": {"min_share": 1.5}}, "assertions.checks.grounded.min_share=1.5: must be from 0 to 1"),
        (
            {"grounded": {"min_share": float("nan")}},
            "assertions.checks.grounded.min_share=nan: must be a finite number",
        ),
        ({"grounded": {"share": 1}}, "assertions.checks.grounded.share: unknown key; known here: severity, min_share"),
        ({"grounded": {"min_share": "much"}}, "assertions.checks.grounded.min_share: Value 'much'"),
        ({"grounded": [1]}, "assertions.checks.grounded=[1]: a check takes its parameters by name"),
        ({"grounded": 3}, "assertions.checks.grounded=3: a check takes its parameters by name"),
    ],
    ids=str,
)
def test_a_wrong_set_of_checks_is_refused(checks: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(AssertionsConfig("mine", checks))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_check_without_parameters_has_its_defaults() -> None:
    built = build(AssertionsConfig("mine", {"grounded": None, "max_words": {}}))
    assert built == {"grounded": Grounded(1.0), "max_words": MaxWords(10)}


def test_the_checks_keep_the_order_of_the_set() -> None:
    names = ["max_words", "grounded", "answers"]
    assert list(build(AssertionsConfig("mine", dict.fromkeys(names)))) == names


def test_complaints_name_check_message_and_severity_in_order() -> None:
    checks = {"brief": MaxWords(1, severity="soft"), "grounded": Grounded(), "answers": Answers()}
    assert complaints(checks, inputs(), "Adam and Eve") == [
        Complaint("brief", "Be brief: 3 words are too many, 1 must do.", hard=False),
        Complaint("grounded", "Use words of the context only: adam, eve is not in it.", hard=True),
    ]
    assert complaints(checks, inputs(), "Seth") == []


def test_without_checks_the_program_stays_as_it_is() -> None:
    program = programs.build(ProgramConfig("predict"))
    assert enforce(program, AssertionsConfig("none")) is program


def test_what_has_no_checks_is_asked_once() -> None:
    program = programs.build(ProgramConfig("predict"))
    with watched() as attempts, dspy.context(lm=model(lambda _: chat("Noah")), adapter=dspy.ChatAdapter()):
        program(**inputs())
    assert (attempts.count, attempts.first, attempts.final) == (1, {}, {})


class Asked:
    """A checked program, and the answers that its model gives one after the other."""

    def __init__(
        self,
        *answers: str | Exception,
        attempts: int = 3,
        adapter: str = "chat",
        checks: dict[str, Any] | None = None,
    ):
        left = iter(answers)
        self.lm = model(lambda _: next(left))
        self.program = enforce(
            programs.build(ProgramConfig("predict")),
            AssertionsConfig("mine", checks or {"grounded": {}}, attempts, temperature=0.7),
        )
        self.adapter = adapters.build(AdapterConfig(adapter))
        self.attempts = Attempts()
        self.trace: list[Any] = []

    def answer(self) -> str:
        with watched() as self.attempts, dspy.context(lm=self.lm, adapter=self.adapter, trace=self.trace):
            return str(self.program(**inputs()).answer)


def test_who_watches_a_question_hears_of_it_until_the_end_and_not_after() -> None:
    with watched() as outer:
        with watched() as inner:
            pass
        with dspy.context(lm=(asked := Asked(chat("Seth"))).lm, adapter=asked.adapter):
            asked.program(**inputs())
    assert (outer.first, inner.first) == ({"grounded": True}, {})


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


def test_instructions_that_are_set_later_are_those_of_a_further_attempt() -> None:
    asked = Asked(*[chat("Noah"), chat("Seth")] * 2)
    (predictor,) = asked.program.predictors()
    predictor.signature = predictor.signature.with_instructions("Answer.")
    for said in ("Be brief.", "Be long."):
        predictor.signature.instructions = said
        assert asked.answer() == "Seth"
        assert said in str(asked.lm.engine.asked[-1].system)


@pytest.mark.parametrize(("seed", "sent"), [(None, [None, 1, 2]), (5, [5, 6, 7])])
def test_each_further_attempt_has_a_seed_of_its_own(seed: int | None, sent: list[int | None]) -> None:
    asked = Asked(chat("Noah"), chat("Ham"), chat("Shem"))
    asked.lm.kwargs["seed"] = seed
    asked.answer()
    assert [request.config.seed for request in asked.lm.engine.asked] == sent


def test_the_trace_is_that_of_the_answer_given_and_of_what_was_before() -> None:
    asked = Asked(chat("Noah"), chat("Seth"))
    asked.trace.append("before")
    asked.answer()
    before, (predictor, asked_with, prediction) = asked.trace
    assert before == "before"
    assert predictor is asked.program.predictors()[0]
    assert (prediction.answer, "feedback" in asked_with) == ("Seth", False)


def test_without_a_trace_it_asks_again_as_well() -> None:
    asked = Asked(chat("Noah"), ECHO, ECHO, chat("Seth"))
    with dspy.context(lm=asked.lm, adapter=asked.adapter, trace=None):
        assert asked.program(**inputs()).answer == "Seth"


def test_an_unreadable_further_attempt_does_not_lose_the_answer_before() -> None:
    asked = Asked(chat("Noah"), ECHO, ECHO, chat("Seth"))
    assert asked.answer() == "Seth"
    assert asked.attempts.count == 3
    asked = Asked(chat("Noah"), ECHO, ECHO, attempts=2)
    assert asked.answer() == "Noah"
    assert len(asked.trace) == 1


def test_an_unreadable_first_answer_is_unreadable() -> None:
    with pytest.raises(AdapterParseError):
        Asked(ECHO, ECHO, chat("Seth")).answer()


def test_an_endpoint_that_fails_on_a_further_attempt_is_an_error() -> None:
    with pytest.raises(LMServerError):
        Asked(chat("Noah"), LMServerError("down")).answer()


SOFT = {"max_words": {"most": 1, "severity": "soft"}}
HARD_AND_SOFT = {"grounded": {}, **SOFT}


def test_a_failed_soft_check_costs_no_call() -> None:
    asked = Asked(chat("Seth Enos"), checks=HARD_AND_SOFT)
    assert asked.answer() == "Seth Enos"
    assert len(asked.lm.engine.asked) == 1
    passed = {"grounded": True, "max_words": False}
    assert asked.attempts == Attempts(1, passed, passed)


def test_a_failed_soft_check_is_told_along_with_a_hard_one() -> None:
    asked = Asked(chat("Noah Ham"), chat("Seth"), checks=HARD_AND_SOFT)
    assert asked.answer() == "Seth"
    assert asked.attempts.first == {"grounded": False, "max_words": False}
    assert asked.attempts.final == {"grounded": True, "max_words": True}
    told = str(asked.lm.engine.asked[1].messages)
    assert "noah, ham is not in it. Be brief: 2 words are too many" in told


@pytest.mark.parametrize(
    ("answers", "given"),
    [
        (["Noah Ham", "Noah", "Shem"], "Noah"),  # the softly better of equally hard
        (["Noah", "Ham Shem", "Shem"], "Noah"),  # the earlier of equals
        (["Noah", "Seth Enos", "Ham"], "Seth Enos"),  # a hard one weighs more than any soft one
        (["Noah Ham", "Noah Shem", "Ham Shem"], "Noah Ham"),
    ],
)
def test_the_answer_that_fails_fewest_hard_then_fewest_soft_is_given(answers: list[str], given: str) -> None:
    asked = Asked(*map(chat, answers), checks=HARD_AND_SOFT)
    assert asked.answer() == given
    ((_, _, prediction),) = asked.trace
    assert prediction.answer == given


@given(
    st.lists(st.sampled_from(["Seth", "Seth Enos", "Noah", "Noah Ham", "begat begat begat", "blah"]), min_size=4),
    st.integers(1, 4),
)
@settings(max_examples=30)
def test_whatever_is_answered_one_answer_and_its_trace_are_left(answers: list[str], attempts: int) -> None:
    asked = Asked(*map(chat, answers), attempts=attempts, checks={**HARD_AND_SOFT, "answers": {}})
    given_ = asked.answer()
    tried = answers[: asked.attempts.count]

    def failures(answer: str) -> tuple[int, int]:
        failed = complaints(asked.program._checks, inputs(), answer)
        return sum(c.hard for c in failed), sum(not c.hard for c in failed)

    assert given_ == min(tried, key=failures)
    assert all(failures(answer)[0] for answer in tried[:-1])
    assert not failures(tried[-1])[0] or len(tried) == attempts
    assert [prediction.answer for _, _, prediction in asked.trace] == [given_]
    assert asked.attempts.final == {c: c not in _failed(asked, given_) for c in asked.program._checks}


def _failed(asked: Asked, answer: str) -> set[str]:
    return {complaint.check for complaint in complaints(asked.program._checks, inputs(), answer)}


def test_a_set_of_soft_checks_alone_asks_once() -> None:
    asked = Asked(chat("Noah Ham"), checks=SOFT)
    assert asked.answer() == "Noah Ham"
    assert asked.attempts == Attempts(1, {"max_words": False}, {"max_words": False})


def test_the_checked_program_keeps_its_predictors() -> None:
    program = programs.build(ProgramConfig("chain_of_thought"))
    checked = Checked(program, {"grounded": Grounded()}, 3, 0.7)
    assert checked.predictors() == program.predictors()
    assert len(checked.deepcopy().predictors()) == 1


def test_a_program_made_of_another_is_held_to_the_same_checks() -> None:
    asked = Asked(chat("Noah"), chat("Ham"), chat("Shem"))
    asked.program = around(asked.program, lambda module: module)
    asked.answer()
    assert asked.attempts == Attempts(3, {"grounded": False}, {"grounded": False})
    assert [request.config.temperature for request in asked.lm.engine.asked] == [None, 0.7, 0.7]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["strict", "theological", "scholarly"])
def test_a_right_and_brief_answer_passes_every_set(name: str) -> None:
    checks = build(config.compose([f"assertions={name}"]).assertions)
    asked = inputs("[Genesis 5:6] And Seth, the son of Adam, begat Enos.")
    for answer in ("Seth", "Seth the son of Adam"):
        assert not any(complaint.hard for complaint in complaints(checks, asked, answer))
    for answer in ("I don't know", ""):
        assert "answers" in [complaint.check for complaint in complaints(checks, asked, answer)]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["strict", "theological", "scholarly"])
def test_bootstrapping_finds_demos_under_every_set(name: str) -> None:
    tried: set[str] = set()

    def right_the_second_time(asked: str) -> str:
        if (answer := son(asked)) in tried:
            return chat(answer)
        tried.add(answer)
        return chat("I don't know")

    program = enforce(programs.build(ProgramConfig("predict")), config.compose([f"assertions={name}"]).assertions)
    program.set_lm(lm := model(right_the_second_time))
    optimizer = dspy.BootstrapFewShot(
        metric=lambda gold, said, trace=None: said.answer == gold.answer,
        max_bootstrapped_demos=2,
        max_labeled_demos=0,
        teacher_settings={"lm": lm},
    )
    with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig("chat"))):
        compiled = optimizer.compile(program, trainset=[example(n) for n in range(4)])
    (predictor,) = compiled.predictors()
    assert [demo.answer for demo in predictor.demos] == ["Son0", "Son1"]
    assert "feedback" not in predictor.demos[0]


def test_attempts_are_added_up() -> None:
    outcomes = [
        evaluation.Outcome(f"i{n}", "kinship", "baseline", "", "Seth", 1.0, "", attempts=count)
        for n, count in enumerate([1, 3, 1, 2])
    ]
    assert evaluation.attempts(outcomes) == {"mean": 1.75, "extra_calls": 3}
    assert evaluation.attempts([]) == {"mean": None, "extra_calls": 0}


PLUGIN = """
from collections.abc import Mapping
from typing import Any

LIMIT = 2

def brief(inputs: Mapping[str, Any], answer: str, most: int = LIMIT) -> str | None:
    return None if len(answer.split()) <= most else f"{inputs['question']} In {most} words."
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with a check of the user's own."""
    (tmp_path / "my_checks.py").write_text(PLUGIN)
    (tmp_path / "broken_checks.py").write_text("import nowhere_at_all")
    (tmp_path / "garbled_checks.py").write_text("def f(:")
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_checks"
    for name in ("my_checks", "broken_checks", "garbled_checks"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("project")
def test_a_function_of_ones_own_is_a_check(plugin: str) -> None:
    composed = config.compose(
        [
            f"plugins=[{plugin}]",
            "+assertions.checks={brief:{function:my_checks.brief,most:1},short:{function:my_checks.brief,severity:soft}}",
            "assertions.checks.brief.most=3",
        ]
    )
    checks = build(composed.assertions, composed.plugins)
    assert complaints(checks, inputs(), "Seth the son") == [
        Complaint("short", "Whom did Father1 beget? In 2 words.", hard=False)
    ]
    both = complaints(checks, inputs(), "Seth the son of Adam")
    assert [(complaint.check, complaint.hard) for complaint in both] == [("brief", True), ("short", False)]


def test_a_module_that_is_not_listed_is_never_imported(plugin: str) -> None:
    set_ = AssertionsConfig("mine", {"brief": {"function": "my_checks.brief"}})
    for plugins, allow in (([], "plugins=[my_checks]"), (["others"], "plugins=[others,my_checks]")):
        with pytest.raises(ConfigError) as caught:
            enforce(dspy.Module(), set_, plugins)
        assert str(caught.value) == (
            "assertions.checks.brief.function=my_checks.brief: "
            f"not a function of a module listed in plugins; allow it with {allow}"
        )
    assert plugin not in sys.modules


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("brief", "assertions.checks.mine.function=brief: not a function of a module listed in plugins; give <module>"),
        ("my_checks.sub.brief", "assertions.checks.mine.function=my_checks.sub.brief: not a function of a module"),
        ("os.system", "assertions.checks.mine.function=os.system: not a function of a module listed in plugins"),
        ("my_checks.long", "assertions.checks.mine.function=my_checks.long: my_checks has no function long"),
        ("my_checks.LIMIT", "assertions.checks.mine.function=my_checks.LIMIT: my_checks has no function LIMIT"),
        ("absent_checks.f", "plugins=absent_checks: cannot be imported: No module named 'absent_checks'"),
        ("broken_checks.f", "plugins=broken_checks: cannot be imported: No module named 'nowhere_at_all'"),
        ("garbled_checks.f", "plugins=garbled_checks: cannot be imported: invalid syntax"),
        (3, "assertions.checks.mine.function=3: not a function"),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_a_function_that_cannot_be_had_is_refused(function: Any, message: str) -> None:
    plugins = ["my_checks", "absent_checks", "broken_checks", "garbled_checks"]
    with pytest.raises(ConfigError) as caught:
        build(AssertionsConfig("mine", {"mine": {"function": function}}), plugins)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_parameters_that_a_function_does_not_take_are_refused(plugin: str) -> None:
    set_ = AssertionsConfig("mine", {"brief": {"function": "my_checks.brief", "least": 1}})
    with pytest.raises(
        ConfigError, match=r"checks\.brief\.function=my_checks\.brief: .*\(inputs, answer, .*unexpected.*'least'"
    ):
        build(set_, [plugin])
    set_ = AssertionsConfig("mine", {"brief": {"function": "my_checks.brief", "severity": "firm"}})
    with pytest.raises(ConfigError, match=r"brief\.severity=firm: not one of hard, soft"):
        build(set_, [plugin])
