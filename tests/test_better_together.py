"""Optimizers made of others: steps one after the other, and candidates that vote."""

from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dummies import Asked
from optimizing import (
    GROUNDED,
    MAGIC,
    Reply,
    Setting,
    babble,
    bootstrapped,
    demos,
    down,
    instructions,
    knows,
    number,
    on_val,
    shown,
    small,
    told,
    write,
)

from bibleqa import assertions
from bibleqa import program as programs
from bibleqa.schema import AssertionsConfig

PROMPT_STEPS = {
    "b": {"name": "bootstrap", "max_bootstrapped_demos": 2, "max_labeled_demos": 3},
    "c": {"name": "copro", "breadth": 2, "depth": 1},
    "m": {"name": "mipro", "budget": None, "num_candidates": 3, "num_trials": 4},
    "g": {"name": "gepa", "max_metric_calls": 24},
    "s": {"name": "simba", "bsize": 4, "num_candidates": 2, "max_steps": 1},
    "l": {"name": "labeled", "k": 2},
}


def both(asked: Asked) -> bool:
    """What a model is that needs demos and the magic words on val, and one of them on train."""
    return told(asked) and (number(asked) < 20 or "Son" in asked.shown)


def strategy(words: str, **values: Any) -> Any:
    return small("better_together", strategy=words, steps=PROMPT_STEPS, **values)


@pytest.mark.parametrize("checks", [None, GROUNDED], ids=["no checks", "grounded"])
@pytest.mark.parametrize("words", ["c -> b", "c -> l", "c -> b -> c"])
def test_each_step_goes_on_from_the_one_before(words: str, checks: AssertionsConfig | None) -> None:
    result = Setting(knows(both), checks=checks).optimize(strategy(words))
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert MAGIC in instructions(result.program)
    assert demos(result.program)


@pytest.mark.parametrize("words", ["b -> c", "b -> m", "c -> g", "b -> s", "l -> g"])
def test_a_later_step_takes_the_compiled_program_of_an_earlier_one(words: str) -> None:
    result = Setting(knows(lambda asked: told(asked) or shown(asked))).optimize(strategy(words))
    assert (result.unchanged, result.errors, on_val(result)) == (False, [], (0.0, 1.0))
    assert words in [one.name for one in result.candidates]


def test_what_every_step_tried_is_kept_in_that_order() -> None:
    result = Setting(knows(both)).optimize(strategy("c -> b"))
    assert [one.name for one in result.candidates] == ["baseline", "given", "c: depth_0_1", "c", "c -> b"]
    assert [one.scored_on for one in result.candidates] == [None, "val", "train", "val", "val"]
    assert [one.score for one in result.candidates] == [None, 0.0, 0.0, 0.0, 1.0]


def test_the_order_of_train_comes_from_the_seed() -> None:
    def first_demos(seed: int) -> list[str]:
        result = Setting(knows(shown)).optimize(strategy("b -> l", seed=seed))
        step = next(one for one in result.candidates if one.name == "b")
        return [demo.answer for demo in bootstrapped(step.program)]

    assert first_demos(1) == first_demos(1)
    assert len({tuple(first_demos(seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize(("writer", "reason"), [(babble, "AdapterParseError"), (down, "LMServerError: upstream broke")])
def test_a_step_that_fails_is_named_and_what_came_before_it_stays(writer: Reply, reason: str) -> None:
    result = Setting(knows(shown, writer=writer)).optimize(strategy("b -> c"))
    assert f"step c failed: {reason}" in " ".join(result.errors)
    assert [one.name for one in result.candidates] == ["baseline", "given", "b"]
    assert (result.unchanged, on_val(result)) == (False, (0.0, 1.0))


def test_a_first_step_that_fails_leaves_the_baseline() -> None:
    result = Setting(knows(shown, writer=down)).optimize(strategy("c -> b"))
    assert result.errors == [
        "1 LM calls failed inside the optimizer, the last with: upstream broke",
        "step c failed: LMServerError: upstream broke",
    ]
    assert result.unchanged


def members(program: dspy.Module) -> list[dspy.Module]:
    return [module for name, module in program.named_sub_modules() if name.rpartition(".")[2].startswith("programs[")]


@pytest.mark.parametrize("checks", [None, GROUNDED], ids=["no checks", "grounded"])
@pytest.mark.parametrize(
    ("of", "knowing"),
    [
        ({"name": "bootstrap_random_search", "num_candidate_programs": 2}, shown),
        ({"name": "copro", "breadth": 2, "depth": 2}, told),
        ({"name": "mipro", "budget": None, "num_candidates": 2, "num_trials": 4}, told),
        ({"name": "gepa", "max_metric_calls": 24}, told),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_an_ensemble_votes_with_the_best_candidates(
    of: dict[str, Any], knowing: Callable[[Asked], bool], checks: AssertionsConfig | None
) -> None:
    drafts = iter(range(100))
    setting = Setting(
        knows(knowing, writer=lambda asked: write(asked).replace(MAGIC, f"{MAGIC} {next(drafts)}")), checks=checks
    )
    result = setting.optimize(small("ensemble", of=of))
    *tried, ensemble = result.candidates
    assert result.errors == []
    assert ensemble.name == "ensemble"
    assert isinstance(ensemble.program, assertions.Checked) == bool(checks)
    voting = {programs.digest(member) for member in members(ensemble.program)}
    best = sorted((one for one in tried if one.score is not None), key=lambda one: -(one.score or 0.0))[:2]
    assert voting == {programs.digest(assertions.inside(one.program)) for one in best}
    assert on_val(result) == (0.0, 1.0)


def test_the_majority_answers() -> None:
    said = iter(["Seth", "Enos", "Seth", "Cain"])
    setting = Setting(lambda asked: f"[[ ## answer ## ]]\n{next(said)}\n\n[[ ## completed ## ]]")
    with dspy.context(lm=setting.lm, adapter=dspy.ChatAdapter()):
        voted = programs.vote([setting.program.deepcopy() for _ in range(4)])
        assert voted(context="", question="Who?", history=dspy.History(messages=[])).answer == "Seth"


def test_an_ensemble_of_fewer_members_than_wanted_says_so() -> None:
    of = {"name": "bootstrap_random_search", "num_candidate_programs": 0, "stop_at_score": 0.5}
    result = Setting(knows(lambda asked: True)).optimize(small("ensemble", size=3, of=of))
    assert result.errors == ["the ensemble has 1 members, not 3: no more candidates were tried"]
