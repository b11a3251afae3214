"""What an optimizer needs and costs is known before anything is spent."""

import importlib.util

import pytest
from dspy.teleprompt import GEPA

from bibleqa import config, optimizer_limits
from bibleqa.errors import ConfigError
from bibleqa.optimizer_limits import most_calls
from bibleqa.schema import BootstrapConfig, GepaConfig, MiproConfig, OptimizerConfig

pytestmark = pytest.mark.usefixtures("project")

TOGETHER = "optimizer=better_together"


def check(*overrides: str, train: int = 8, val: int = 4) -> None:
    optimizer_limits.check(config.compose(overrides), train, val)


REFUSED = {
    "a minibatch larger than train": (
        ["optimizer=simba", "optimizer.bsize=9"],
        ["optimizer.bsize=9", "8 train questions"],
    ),
    "more demos than train questions": (
        ["optimizer=bootstrap", "optimizer.max_bootstrapped_demos=9"],
        ["optimizer.max_bootstrapped_demos=9", "8 train questions"],
    ),
    "more demos to a combination": (
        ["optimizer=mipro", "optimizer.max_bootstrapped_demos=9"],
        ["optimizer.max_bootstrapped_demos=9", "8 train questions"],
    ),
    "labeled demos alone in a combination": (
        ["optimizer=mipro", "optimizer.max_bootstrapped_demos=0"],
        ["optimizer.max_bootstrapped_demos=0", "optimizer.max_labeled_demos=0"],
    ),
    "a budget that val alone uses up": (
        ["optimizer=gepa", "optimizer.max_metric_calls=4"],
        ["optimizer.max_metric_calls=4", "takes 4"],
    ),
    "a step": (
        [TOGETHER, 'optimizer.strategy="p -> simba"'],
        ["optimizer.steps.simba.bsize=16", "8 train questions"],
    ),
    "a member": (
        ["optimizer=ensemble", "optimizer.of.name=simba", "+optimizer.of.bsize=9"],
        ["optimizer.of.bsize=9", "8 train questions"],
    ),
    "weights behind a server": (
        ["optimizer=finetune", "endpoint=lm_studio"],
        ["endpoint=lm_studio", "cannot be tuned", "optimizer=mipro or gepa", "endpoint=embedded"],
    ),
    "weights behind a server in a strategy": (
        [TOGETHER, "endpoint=lm_studio"],
        ["endpoint=lm_studio", "cannot be tuned", '"bootstrap -> mipro", "mipro -> gepa"', "endpoint=embedded"],
    ),
    "reference answers for a program that reasons": (
        ["optimizer=finetune", "program=chain_of_thought"],
        ["optimizer.source=labels", "program=chain_of_thought", "optimizer.source=teacher"],
    ),
    "both for a program that reasons": (
        [TOGETHER, "program=chain_of_thought", "optimizer.steps.w.source=both"],
        ["optimizer.steps.w.source=both", "optimizer.steps.w.source=teacher"],
    ),
    "weights that are tuned already": (
        ["optimizer=finetune", "endpoint.adapter=adapter.gguf"],
        ["endpoint.adapter", "not tuned again"],
    ),
}


@pytest.mark.parametrize(("overrides", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(overrides: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(*overrides)
    assert "\n" not in str(caught.value)
    for words in named:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=simba", "optimizer.bsize=8"],
        ["optimizer=bootstrap", "optimizer.max_bootstrapped_demos=8"],
        ["optimizer=mipro", "optimizer.max_bootstrapped_demos=0", "optimizer.max_labeled_demos=0"],
        ["optimizer=gepa", "optimizer.max_metric_calls=5"],
        ["optimizer=gepa", "optimizer.max_metric_calls=null", "optimizer.budget=light"],
        ["optimizer=infer_rules"],
        ["optimizer=labeled"],
        ["optimizer=knn"],
        ["optimizer=none", "endpoint=lm_studio"],
        [TOGETHER, 'optimizer.strategy="bootstrap -> mipro"', "endpoint=lm_studio"],
        [TOGETHER, 'optimizer.strategy="mipro -> gepa"', "endpoint=lm_studio"],
    ],
    ids=" ".join,
)
def test_what_can_be_done_passes(overrides: list[str]) -> None:
    check(*overrides)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages that are not installed."""
    missing: list[str] = []
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest))
    return missing


@pytest.mark.parametrize("overrides", [["optimizer=finetune"], [TOGETHER]], ids=" ".join)
def test_what_tuning_needs_is_missed_before_anything_is_spent(overrides: list[str], without: list[str]) -> None:
    without += ["torch", "peft"]
    with pytest.raises(ConfigError, match=r"^tuning weights needs torch, peft: pip install .*\[weights\]") as caught:
        check(*overrides)
    assert "\n" not in str(caught.value)
    check("optimizer=bootstrap")


def test_none_costs_nothing() -> None:
    assert most_calls(OptimizerConfig("none"), 64, 32) == 0


def test_rounds_questions_and_val_add_up() -> None:
    once = BootstrapConfig("bootstrap")
    assert most_calls(once, 64, 32) == 64 + 2 * 32
    assert most_calls(BootstrapConfig("bootstrap", max_rounds=3), 64, 32) == 3 * 64 + 2 * 32
    assert most_calls(BootstrapConfig("bootstrap", max_bootstrapped_demos=0), 64, 32) == 2 * 32


def test_a_step_that_comes_twice_is_paid_for_twice() -> None:
    def strategy(words: str) -> int:
        return most_calls(config.compose([TOGETHER, f'optimizer.strategy="{words}"']).optimizer, 64, 32)

    twice = strategy("p -> labeled -> p") - strategy("p -> labeled")
    assert twice == 64 + 32


@pytest.mark.parametrize("budget", ["light", "medium", "heavy"])
@pytest.mark.parametrize("val", [4, 32, 100])
def test_gepas_budget_is_dspys(budget: str, val: int) -> None:
    n = {"light": 6, "medium": 12, "heavy": 18}[budget]
    optimizer = GEPA(metric=lambda *five: 0.0, auto=budget, reflection_lm=object())
    scored = optimizer.auto_budget(num_preds=1, num_candidates=n, valset_size=val)
    own = GepaConfig("gepa", budget=budget, max_metric_calls=None, reflection_minibatch_size=1000_000)
    assert most_calls(own, 64, val) == scored + 3 * val


@pytest.mark.parametrize(("budget", "candidates", "trials"), [("light", 6, 10), ("medium", 12, 18), ("heavy", 18, 27)])
def test_mipros_budget_is_dspys(budget: str, candidates: int, trials: int) -> None:
    named = MiproConfig("mipro", budget=budget)
    own = MiproConfig("mipro", budget=None, num_candidates=candidates, num_trials=trials)
    assert most_calls(named, 64, 32) == most_calls(own, 64, 32)
