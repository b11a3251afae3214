"""What every optimizer holds to: val chooses, what fails inside is told, and what was given stays as it was."""

import re
from typing import Any

import dspy
import pytest
from dspy.clients.cache import Cache
from dspy.utils.exceptions import LMServerError
from dummies import ECHO, Asked, reader
from optimizing import (
    GROUNDED,
    NAMES,
    TRAIN,
    VAL,
    Reply,
    Setting,
    answers,
    down,
    knows,
    number,
    on_val,
    right,
    shown,
    small,
    told,
    wrong,
)

from bibleqa import program as programs
from bibleqa.lm.meter import Meter
from bibleqa.optimizer_limits import most_calls
from bibleqa.schema import ProgramConfig

DEMO_MAKERS = ["bootstrap", "bootstrap_random_search", "infer_rules", "ensemble", "better_together"]
"""Those that bootstrap, and end well when that fails."""


def test_none_leaves_the_program_and_says_so() -> None:
    setting = Setting(down)
    result = setting.optimize("none")
    assert result.program is setting.program
    assert (result.unchanged, result.errors, result.candidates) == (True, [], [])
    assert setting.asked() == []


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_better_on_val_the_baseline_stays(name: str) -> None:
    setting = Setting(knows(lambda asked: True))
    result = setting.optimize(name)
    assert (result.unchanged, result.errors) == (True, [])
    assert result.program is setting.program
    assert on_val(result) == (1.0, 1.0)
    assert [one.name for one in result.candidates].count("baseline") == 1


@pytest.mark.parametrize("name", ["labeled", "knn", "bootstrap", "copro", "infer_rules"])
def test_what_is_worse_on_val_is_not_taken(name: str) -> None:
    def spoilt_by_anything_new(asked: Asked) -> bool:
        return number(asked) < 20 or not (told(asked) or asked.shown)

    result = Setting(knows(spoilt_by_anything_new)).optimize(name)
    assert (result.unchanged, on_val(result)) == (True, (1.0, 1.0))
    assert {one.val for one in result.candidates[1:]} & {0.0}


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_program_given_stays_as_it_was(name: str, checked: bool) -> None:
    setting = Setting(knows(lambda asked: told(asked) or shown(asked)), checks=GROUNDED if checked else None)
    before = programs.digest(setting.program)
    setting.optimize(name)
    assert programs.digest(setting.program) == before
    assert programs.build(ProgramConfig("predict")).predictors()[0].signature.instructions.startswith("Answer the")
    assert setting.program.get_lm() is setting.lm


@pytest.mark.parametrize("name", NAMES)
def test_all_that_was_tried_has_a_language_model_and_can_be_kept(name: str) -> None:
    setting = Setting(knows(shown))
    result = setting.optimize(name)
    for one in result.candidates:
        assert {predictor.lm.model for predictor in one.program.predictors()} == {"script/ed"}
        assert one.to_dict()["program"] == programs.dump(one.program)
        assert one.score is None or 0 <= one.score <= 1
        assert (one.score is None) == (one.scored_on is None)


def test_an_optimizer_without_a_score_of_its_own_has_one_on_val() -> None:
    (baseline, labeled) = Setting(knows(shown)).optimize("labeled").candidates
    assert (baseline.name, baseline.score, baseline.val) == ("baseline", None, 0.0)
    assert (labeled.name, labeled.score, labeled.val) == ("labeled", None, 1.0)


def test_of_many_candidates_the_best_by_their_own_scores_are_compared_on_val() -> None:
    result = Setting(knows(shown)).optimize("bootstrap_random_search")
    compared = [one.name for one in result.candidates if one.val is not None]
    assert compared == ["baseline", "labeled", "bootstrap", "random_0"]


@pytest.mark.parametrize("name", ["bootstrap", "bootstrap_random_search", "simba", "gepa", "ensemble"])
def test_an_endpoint_that_fails_inside_is_brought_to_light(name: str) -> None:
    setting = Setting(knows_but_for_train_1)
    result = setting.optimize(name)
    (said,) = result.errors
    assert re.fullmatch(r"\d+ LM calls failed inside the optimizer, the last with: upstream broke", said)
    assert int(said.split()[0]) == len(setting.meter.errors) > 0


def knows_but_for_train_1(asked: Asked) -> str | Exception:
    if answers(asked) and number(asked) == 1:
        return down(asked)
    return knows(shown)(asked)


@pytest.mark.parametrize("name", ["copro", "mipro", "infer_rules"])
def test_an_endpoint_that_fails_whoever_writes_ends_the_run(name: str) -> None:
    with pytest.raises(LMServerError, match="upstream broke"):
        Setting(knows(shown, writer=down)).optimize(name)


def test_failures_from_before_are_not_the_optimizers() -> None:
    setting = Setting(right)
    setting.meter.errors.append(LMServerError("during the baseline"))
    assert setting.optimize("bootstrap").errors == []


@pytest.mark.parametrize("name", DEMO_MAKERS)
def test_bootstrapping_that_finds_nothing_is_an_error(name: str) -> None:
    result = Setting(knows(lambda asked: False)).optimize(name)
    asked = 4 if name == "infer_rules" else 8
    assert result.errors == [
        f"bootstrapping found no right answer among {asked} questions; there are labeled demos only"
    ]
    assert result.unchanged


@pytest.mark.parametrize("name", [*DEMO_MAKERS, "labeled", "mipro", "simba", "gepa", "copro"])
def test_answers_that_cannot_be_read_end_no_optimizer(name: str) -> None:
    def unreadable_but_for_one(asked: Asked) -> str | Exception:
        return ECHO if answers(asked) and number(asked) != 0 else knows(lambda asked: True)(asked)

    train = [TRAIN[0], *TRAIN[1:] * 4]
    result = Setting(unreadable_but_for_one).optimize(name, train)
    assert [said for said in result.errors if "bootstrapping found no" not in said] == []


@pytest.mark.parametrize("reply", [right, wrong])
@pytest.mark.parametrize("name", NAMES)
def test_it_makes_no_more_calls_than_announced(name: str, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    # Equal requests are paid for once, as with a real endpoint.
    monkeypatch.setattr(dspy, "cache", Cache(enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None))
    setting = Setting(knows(lambda asked: reply is right))
    setting.lm = reader(setting.lm.engine.reply)
    setting.lm.cache = True
    setting.program.set_lm(setting.lm)
    setting.on_val(setting.program, before := Meter())
    setting.optimize(name, workers=1)
    paid = setting.meter.usage.calls - setting.meter.usage.cached_calls + before.usage.calls
    assert paid <= most_calls(small(name), len(TRAIN), len(VAL))
    assert paid >= len(VAL)


def test_it_tells_what_it_does() -> None:
    setting = Setting(knows(shown))
    setting.optimize("better_together")
    assert setting.told[:2] == ["p (bootstrap)", "r (copro)"]
    assert setting.told[2:] == [f"choosing on val, program {n} of 3" for n in (1, 2, 3)]


def test_what_dspy_prints_stays_off_the_screen(capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    with caplog.at_level("INFO"):
        Setting(right).optimize("bootstrap")
    assert capfd.readouterr() == ("", "")
    assert "Bootstrapped 2 full traces" in caplog.text
