"""Every optimizer as its YAML has it, what a strategy is made of, and what is refused."""

import dataclasses
import re
from typing import Any

import pytest
import yaml

from bibleqa import config, paths, schema
from bibleqa.config import parts
from bibleqa.errors import ConfigError
from bibleqa.schema import BetterTogetherConfig, EnsembleConfig

pytestmark = pytest.mark.usefixtures("project")

OPTIMIZERS = sorted(path.stem for path in (paths.conf() / "optimizer").glob("*.yaml"))
TOGETHER = "optimizer=better_together"
MADE_OF_OTHERS = ("better_together", "ensemble")


def written(name: str) -> dict[str, Any]:
    """What stands in the YAML."""
    content = yaml.safe_load((paths.conf() / "optimizer" / f"{name}.yaml").read_text(encoding="utf-8"))
    content.pop("defaults")
    assert content.pop("name") == name
    return dict(content)


def test_every_optimizer_has_a_schema_and_every_schema_a_yaml() -> None:
    schemas = {path.partition("/")[2] for path in schema._SCHEMAS if path.startswith("optimizer/")}
    assert schemas - {"own"} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in MADE_OF_OTHERS])
def test_a_yaml_says_what_the_schema_says(name: str) -> None:
    fields = {field.name: field.default for field in dataclasses.fields(schema.of(f"optimizer/{name}"))}
    del fields["name"]
    assert written(name) == fields


@pytest.mark.parametrize("name", MADE_OF_OTHERS)
def test_one_made_of_others_names_some(name: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(schema.of(f"optimizer/{name}"))}
    assert set(written(name)) == set(fields) - {"name"}
    for key, value in written(name).items():
        assert value == fields[key].default or isinstance(value, dict)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_settled_stays_so_when_it_is_read_again(name: str) -> None:
    composed = config.compose([f"optimizer={name}"])
    assert composed.optimizer.name == name
    again = config.compose([f"optimizer={name}"])
    parts.settle(again)
    assert again == composed


def test_a_strategy_is_written_out_with_every_key() -> None:
    composed = config.compose([TOGETHER, 'optimizer.strategy="mipro -> w"', "optimizer.steps.w.rank=8"]).optimizer
    assert isinstance(composed, BetterTogetherConfig)
    assert list(composed.steps) == ["mipro", "w"]
    assert composed.steps["mipro"] == {"name": "mipro", **written("mipro")}
    assert composed.steps["w"] == {"name": "finetune", **written("finetune"), "rank": 8}


def test_an_ensemble_is_written_out_with_every_key() -> None:
    composed = config.compose(["optimizer=ensemble", "optimizer.of.name=copro", "+optimizer.of.depth=1"]).optimizer
    assert isinstance(composed, EnsembleConfig)
    assert (composed.of["name"], composed.of["depth"], composed.of["breadth"]) == ("copro", 1, 3)


REFUSED = {
    "no spaces": ([TOGETHER, 'optimizer.strategy="p->w"'], ["optimizer.strategy='p->w'", '" -> "', "p -> w"]),
    "a missing space": ([TOGETHER, 'optimizer.strategy="p ->w"'], ["optimizer.strategy=", '" -> "']),
    "an empty strategy": ([TOGETHER, 'optimizer.strategy=""'], ["optimizer.strategy=''", '" -> "']),
    "an arrow at the end": ([TOGETHER, 'optimizer.strategy="p -> "'], ["optimizer.strategy=", '" -> "']),
    "an unknown step": (
        [TOGETHER, 'optimizer.strategy="p -> x"'],
        ["no step 'x'", "bootstrap", "finetune", "mipro"],
    ),
    "weights that are tuned twice": ([TOGETHER, 'optimizer.strategy="w -> p -> w"'], ["weights are tuned once"]),
    "a step that is none": ([TOGETHER, 'optimizer.strategy="p -> none"'], ["no step 'none'"]),
    "a step whose program no step can follow": ([TOGETHER, 'optimizer.strategy="knn -> p"'], ["no step 'knn'"]),
    "a strategy within a strategy": ([TOGETHER, 'optimizer.strategy="better_together -> p"'], ["no step"]),
    "an unknown optimizer for a step": (
        [TOGETHER, "optimizer.steps.p={name: bootstraps}"],
        ["optimizer.steps.p", "bootstrap_random_search"],
    ),
    "an unknown key of a step": (
        [TOGETHER, "+optimizer.steps.w.ranks=8"],
        ["optimizer.steps.w.ranks", "unknown key", "rank"],
    ),
    "a step's value out of range": (
        [TOGETHER, "optimizer.steps.w.rank=0"],
        ["optimizer.steps.w.rank=0", "from 1 to 256"],
    ),
    "a step's value of another type": ([TOGETHER, "optimizer.steps.w.rank=many"], ["optimizer.steps.w.rank", "many"]),
    "an ensemble of nothing": (
        ["optimizer=ensemble", "optimizer.of={name: none}"],
        ["optimizer.of.name=none", "mipro"],
    ),
    "an ensemble of one candidate": (
        ["optimizer=ensemble", "optimizer.of={name: labeled}"],
        ["optimizer.of.name=labeled", "keeps candidates", "bootstrap_random_search"],
    ),
    "an ensemble's unknown key": (
        ["optimizer=ensemble", "optimizer.of.name=copro", "+optimizer.of.width=3"],
        ["optimizer.of.width", "unknown key", "breadth"],
    ),
    "mipro with two budgets": (["optimizer=mipro", "optimizer.num_trials=5"], ["optimizer: either budget", "null"]),
    "mipro without one": (["optimizer=mipro", "optimizer.budget=null"], ["optimizer: either budget", "num_candidates"]),
    "mipro with half of one": (
        ["optimizer=mipro", "optimizer.budget=null", "optimizer.num_trials=5"],
        ["optimizer: either budget", "num_candidates"],
    ),
    "mipro with a budget unheard of": (["optimizer=mipro", "optimizer.budget=huge"], ["light, medium, heavy"]),
    "gepa with two budgets": (["optimizer=gepa", "optimizer.budget=light"], ["optimizer: either budget"]),
    "gepa without one": (["optimizer=gepa", "optimizer.max_metric_calls=null"], ["optimizer: either budget"]),
    "a budget of a step": (
        [TOGETHER, 'optimizer.strategy="gepa -> p"', "+optimizer.steps.gepa={name: gepa, budget: light}"],
        ["optimizer.steps.gepa: either budget"],
    ),
    "a teacher that is asked nothing": (
        ["optimizer=labeled", "endpoint@teacher=openai"],
        ["teacher: configured", "optimizer=labeled", "~endpoint@teacher"],
    ),
    "a teacher of reference answers": (
        ["optimizer=finetune", "endpoint@teacher=openai"],
        ["teacher: configured", "optimizer=finetune"],
    ),
    "a graded metric without a threshold": (
        ["optimizer=bootstrap", "metric=token_f1"],
        ["optimizer.metric_threshold: is needed", "metric=token_f1", "optimizer.metric_threshold=0.8"],
    ),
    "a step without a threshold": (
        [TOGETHER, "metric=judge"],
        ["optimizer.steps.p.metric_threshold: is needed", "metric=judge"],
    ),
    "a teacher's answers without a threshold": (
        ["optimizer=finetune", "metric=weighted", "optimizer.source=both"],
        ["optimizer.metric_threshold: is needed"],
    ),
}


@pytest.mark.parametrize(("overrides", "named"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_in_one_line(overrides: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.compose(overrides)
    assert "\n" not in str(caught.value)
    for words in named:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=labeled", "metric=token_f1"],
        ["optimizer=gepa", "metric=token_f1"],
        ["optimizer=finetune", "metric=token_f1"],
        ["optimizer=bootstrap", "metric=token_f1", "optimizer.metric_threshold=0.8"],
        ["optimizer=bootstrap", "metric=token_f1", "optimizer.max_bootstrapped_demos=0"],
        [TOGETHER, "metric=token_f1", "+optimizer.steps.p.metric_threshold=0.8"],
        ["optimizer=mipro", "endpoint@teacher=openai"],
        [TOGETHER, 'optimizer.strategy="labeled -> copro"', "endpoint@teacher=openai"],
        ["optimizer=mipro", "optimizer.budget=null", "optimizer.num_candidates=3", "optimizer.num_trials=5"],
    ],
    ids=" ".join,
)
def test_what_is_right_passes(overrides: list[str]) -> None:
    config.compose(overrides)


def test_a_teacher_is_chosen_where_weights_want_one_and_nobody_did() -> None:
    asks, asks_not = (config.compose(["optimizer=finetune", f"optimizer.source={s}"]) for s in ("teacher", "labels"))
    assert (asks.teacher and asks.teacher.name, asks_not.teacher) == ("embedded_large", None)
    assert (config.compose([TOGETHER, "optimizer.steps.w.source=both"]).teacher or asks.endpoint).threads
    own = config.compose(["optimizer=finetune", "optimizer.source=teacher", "endpoint@teacher=lm_studio"])
    assert own.teacher
    assert own.teacher.kind == "lmstudio"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_commands_in_a_yaml_compose(name: str) -> None:
    text = (paths.conf() / "optimizer" / f"{name}.yaml").read_text(encoding="utf-8")
    for command in re.findall(r"#\s+python run\.py (.*)", text):
        overrides = [part[0].strip("'") for part in re.findall(r"('[^']*'|\S+)()", command)]
        assert config.compose(overrides).optimizer.name == name
