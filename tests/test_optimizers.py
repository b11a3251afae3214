"""What DSPy's optimizers give back, and what they swallow brought to light."""

import re
from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import LMServerError
from dummies import chat, example, model, son
from rich.console import Console

from bibleqa import assertions, optimizers
from bibleqa import program as programs
from bibleqa.lm.meter import Meter
from bibleqa.metrics import AsDSPy, Contains
from bibleqa.optimizers import Optimized, most_calls
from bibleqa.schema import (
    AdapterConfig,
    AssertionsConfig,
    BootstrapConfig,
    BootstrapRandomSearchConfig,
    LabeledConfig,
    OptimizerConfig,
    ProgramConfig,
)

TRAIN = [example(n) for n in range(8)]
VAL = [example(n) for n in range(20, 24)]
NONE = OptimizerConfig("none")
LABELED = LabeledConfig("labeled", k=3)
BOOTSTRAP = BootstrapConfig("bootstrap", max_bootstrapped_demos=2, max_labeled_demos=3)
SEARCH = BootstrapRandomSearchConfig(
    "bootstrap_random_search", max_bootstrapped_demos=2, max_labeled_demos=3, num_candidate_programs=2
)
Answer = Callable[[str], str | Exception]


def right(asked: str) -> str:
    return chat(son(asked))


def wrong(asked: str) -> str:
    return chat("Nobody")


def down(asked: str) -> Exception:
    return LMServerError("upstream broke")


class Setting:
    """A program, what its model answers, and what an optimizer made of it."""

    def __init__(self, answer: Answer, *, checked: bool = False):
        self.lm = model(answer)
        self.program = programs.build(ProgramConfig("predict"))
        if checked:
            self.program = assertions.enforce(self.program, AssertionsConfig("grounded", {"grounded": {}}))
        self.program.set_lm(self.lm)
        self.meter = Meter()

    def optimize(self, config: OptimizerConfig, train: list[dspy.Example] = TRAIN) -> Optimized:
        adapter = programs.adapter(AdapterConfig("chat"))
        with dspy.context(lm=self.lm, adapter=adapter, **self.meter.settings):
            return optimizers.optimize(
                config, self.program, AsDSPy(Contains(6)), train, VAL, meter=self.meter, workers=2
            )


def demos(program: dspy.Module) -> list[Any]:
    (predictor,) = program.predictors()
    return list(predictor.demos)


def bootstrapped(program: dspy.Module) -> list[Any]:
    return [demo for demo in demos(program) if demo.get("augmented", False)]


def test_none_leaves_the_program_and_says_so() -> None:
    setting = Setting(down)
    result = setting.optimize(NONE)
    assert result.program is setting.program
    assert (result.unchanged, result.errors, result.candidates) == (True, [], [])
    assert setting.lm.engine.asked == []


def test_labeled_takes_reference_answers_and_asks_nothing() -> None:
    setting = Setting(down)
    result = setting.optimize(LABELED)
    assert len(demos(result.program)) == 3
    assert {demo.answer for demo in demos(result.program)} <= {question.answer for question in TRAIN}
    assert (result.unchanged, result.errors) == (False, [])
    assert setting.lm.engine.asked == []


@pytest.mark.parametrize("checked", [False, True])
def test_bootstrap_finds_demos_in_right_answers(checked: bool) -> None:
    setting = Setting(lambda asked: wrong(asked) if "Father0 " in asked else right(asked), checked=checked)
    result = setting.optimize(BOOTSTRAP)
    assert [demo.answer for demo in bootstrapped(result.program)] == ["Son1", "Son2"]
    assert len(demos(result.program)) == 3
    assert (result.unchanged, result.errors) == (False, [])
    assert [candidate.name for candidate in result.candidates] == ["bootstrap"]


def test_demos_of_a_checked_program_hold_no_feedback() -> None:
    tried: set[str] = set()

    def right_the_second_time(asked: str) -> str:
        if (answer := son(asked)) in tried:
            return chat(answer)
        tried.add(answer)
        return chat("Methuselah")

    result = Setting(right_the_second_time, checked=True).optimize(BOOTSTRAP)
    assert [demo.answer for demo in bootstrapped(result.program)] == ["Son0", "Son1"]
    assert not [demo for demo in demos(result.program) if "feedback" in demo or "Methuselah" in str(demo)]


@pytest.mark.parametrize("config", [BOOTSTRAP, SEARCH], ids=lambda config: config.name)
def test_bootstrapping_that_finds_nothing_is_an_error(config: BootstrapConfig) -> None:
    result = Setting(wrong).optimize(config)
    assert result.errors == [
        "bootstrapping found no right answer among 8 questions; there are labeled demos only",
    ]
    assert bootstrapped(result.program) == []


def test_unreadable_answers_do_not_end_the_optimizer() -> None:
    train = [example(n) for n in range(30)]
    setting = Setting(lambda asked: right(asked) if "Father29 " in asked else "blah")
    result = setting.optimize(BOOTSTRAP, train)
    assert [demo.answer for demo in bootstrapped(result.program)] == ["Son29"]
    assert result.errors == []


@pytest.mark.parametrize("config", [BOOTSTRAP, SEARCH], ids=lambda config: config.name)
def test_an_endpoint_that_fails_inside_is_brought_to_light(config: BootstrapConfig) -> None:
    setting = Setting(lambda asked: down(asked) if "Father1 " in asked or "Father21 " in asked else right(asked))
    result = setting.optimize(config)
    assert len(result.errors) == 1
    assert re.match(r"\d+ LM calls failed inside the optimizer, the last with: .*upstream broke", result.errors[0])
    assert int(result.errors[0].split()[0]) == len(setting.meter.errors) > 0


def test_failures_from_before_are_not_the_optimizers() -> None:
    setting = Setting(right)
    setting.meter.errors.append(LMServerError("during the baseline"))
    assert setting.optimize(BOOTSTRAP).errors == []


def test_the_search_keeps_the_best_on_val_and_what_else_it_tried() -> None:
    setting = Setting(right)
    # Right on val only where a demo shows that Father3 begat Son3.
    engine = setting.lm.engine

    def answer(asked: str) -> str:
        shown = any("Son3" in (message.text or "") for message in engine.asked[-1].messages[:-1])
        return right(asked) if shown or int(son(asked)[3:]) < 20 else wrong(asked)

    engine.answer = answer
    result = setting.optimize(SEARCH)
    scores = {candidate.name: candidate.score for candidate in result.candidates}
    assert set(scores) == {"zero_shot", "labeled", "bootstrap", "random_0", "random_1"}
    assert scores["zero_shot"] == 0.0
    for candidate in result.candidates:
        assert candidate.score == float("Son3" in str(demos(candidate.program)))
    assert scores[result.candidates[0].name] == 1.0
    assert scores[result.candidates[-1].name] == 0.0
    assert "Son3" in str(demos(result.program))
    assert not result.unchanged


def test_a_search_that_finds_nothing_better_is_known_to_leave_the_program_unchanged() -> None:
    result = Setting(right).optimize(SEARCH)
    assert (result.unchanged, result.errors) == (True, [])
    assert demos(result.program) == []


def test_a_search_that_stops_before_bootstrapping_is_no_error() -> None:
    result = Setting(right).optimize(
        BootstrapRandomSearchConfig("bootstrap_random_search", num_candidate_programs=2, stop_at_score=0.9)
    )
    assert [candidate.name for candidate in result.candidates] == ["zero_shot"]
    assert result.errors == []


def test_bootstrapping_without_any_demo_is_known_to_leave_the_program_unchanged() -> None:
    result = Setting(wrong).optimize(BootstrapConfig("bootstrap", max_bootstrapped_demos=2, max_labeled_demos=0))
    assert result.unchanged
    assert len(result.errors) == 1


@pytest.mark.parametrize("config", [LABELED, BOOTSTRAP, SEARCH], ids=lambda config: config.name)
@pytest.mark.parametrize("checked", [False, True])
def test_the_program_given_stays_as_it_was(config: OptimizerConfig, checked: bool) -> None:
    setting = Setting(right, checked=checked)
    before = programs.digest(setting.program)
    result = setting.optimize(config)
    assert programs.digest(setting.program) == before
    assert result.program is not setting.program
    assert setting.program.get_lm() is setting.lm


@pytest.mark.parametrize("config", [LABELED, BOOTSTRAP, SEARCH], ids=lambda config: config.name)
def test_what_comes_back_has_its_language_model(config: OptimizerConfig) -> None:
    setting = Setting(right)
    result = setting.optimize(config)
    for program in [result.program, *(candidate.program for candidate in result.candidates)]:
        assert program.get_lm() is setting.lm
    assert result.candidates[0].to_dict()["program"] == programs.dump(result.candidates[0].program)


@pytest.mark.parametrize("config", [NONE, LABELED, BOOTSTRAP, SEARCH], ids=lambda config: config.name)
@pytest.mark.parametrize("answer", [right, wrong])
def test_it_makes_no_more_calls_than_announced(config: OptimizerConfig, answer: Answer) -> None:
    setting = Setting(answer)
    setting.optimize(config)
    assert setting.meter.usage.calls <= most_calls(config, len(TRAIN), len(VAL))
    if answer is wrong:
        assert setting.meter.usage.calls == most_calls(config, len(TRAIN), len(VAL))


def test_what_dspy_prints_stays_off_the_screen(capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    with caplog.at_level("INFO"):
        Setting(right).optimize(BOOTSTRAP)
    assert capfd.readouterr() == ("", "")
    assert "Bootstrapped 2 full traces" in caplog.text


def test_the_progress_bar_draws_on_while_dspy_prints_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with optimizers._printing_to_log():
        print("from DSPy")
        Console().print("from the bar")
    assert capsys.readouterr().out == "from the bar\n"


def test_answers_that_cannot_be_read_do_not_end_a_search() -> None:
    search = BootstrapRandomSearchConfig("bootstrap_random_search", num_candidate_programs=0)

    found = Setting(lambda asked: "no format at all").optimize(search, TRAIN[:2])

    assert [candidate.score for candidate in found.candidates] == [0.0] * 3
