"""Code of the user's own: what a config may name, and what becomes of it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dummies import example

from bibleqa import config, metrics, optimizer_limits, paths
from bibleqa.data import build
from bibleqa.data.card import card
from bibleqa.errors import ConfigError
from bibleqa.lm import dialects
from bibleqa.schema import Config, EndpointConfig, OwnMetricConfig, OwnOptimizerConfig

SOURCE = """
def half(example, answer, value=0.5):
    return value

def improve(student, task):
    return student

TYPE, OPEN_BOOK = "mine", True
"""


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that is there to be imported."""
    (project / "mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(project))
    yield "mine"
    sys.modules.pop("mine", None)


def settled(plugins: list[str], **groups: Any) -> Config:
    """A config with these groups in it, checked as far as code of one's own goes."""
    from bibleqa.config.plugins import refuse_others

    made = config.compose(["optimizer=none", f"plugins=[{','.join(plugins)}]"])
    for name, value in groups.items():
        setattr(made, name, value)
    refuse_others(made)
    return made


METRIC = OwnMetricConfig("half", "mine.half")
OPTIMIZER = OwnOptimizerConfig("improve", "mine.improve")


@pytest.mark.parametrize(
    ("group", "value", "key"),
    [
        ("metric", METRIC, "metric.function=mine.half"),
        ("optimizer", OPTIMIZER, "optimizer.function=mine.improve"),
        ("endpoint", EndpointConfig("x", "openai", "x", dialect="mine.DIALECT"), "endpoint.dialect=mine.DIALECT"),
        ("judge", EndpointConfig("x", "openai", "x", dialect="mine.DIALECT"), "judge.dialect=mine.DIALECT"),
    ],
)
def test_code_of_a_module_that_is_not_listed_is_refused_and_not_imported(
    mine: str, group: str, value: Any, key: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        settled([], **{group: value})
    said = "not a function of a module listed in plugins; allow it with plugins=[mine]"
    assert str(refused.value) == f"{key}: {said}"
    assert "mine" not in sys.modules
    settled(["mine"], **{group: value})


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["endpoint.dialect=mine.DIALECT"], "endpoint.dialect=mine.DIALECT"),
        (["dataset.families=[mine]"], "dataset.families=mine"),
    ],
)
def test_a_key_on_the_command_line_names_listed_modules_alone(overrides: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: not a .*listed in plugins; allow it with plugins=\[mine\]"):
        config.compose(overrides)
    assert "mine" not in sys.modules
    config.compose([*overrides, "plugins=[mine]"])


@pytest.mark.usefixtures("mine")
def test_parts_of_a_whole_are_looked_at_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    for group in paths.conf().iterdir():
        (conf / group.name).symlink_to(group)
    (conf / "metric").unlink()
    (conf / "metric").mkdir()
    for option in (paths.conf() / "metric").iterdir():
        (conf / "metric" / option.name).symlink_to(option)
    (conf / "metric" / "half.yaml").write_text(
        "defaults: [/schema/metric/own@_here_]\nname: half\nfunction: mine.half\n", encoding="utf-8"
    )
    monkeypatch.setattr(paths, "conf", lambda: conf)
    overrides = ["metric=weighted", "+metric.parts.half=1", "optimizer=none"]
    with pytest.raises(ConfigError, match=r"metric\.parts\.half\.function=mine\.half: not a function of a module"):
        config.compose(overrides)
    metric = metrics.build(config.compose([*overrides, "plugins=[mine]"]))
    assert metric.score(example(1), "Nobody").value == pytest.approx(0.25)  # theological 0, token_f1 0, half 0.5 of 2


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "right", None, (0.5, 3)])
def test_a_metric_that_gives_no_score_is_not_believed(value: Any) -> None:
    metric = metrics.build(settled(["mine"], metric=OwnMetricConfig("half", "mine.half", {"value": value})))
    with pytest.raises(TypeError, match=r"mine\.half gave .*; a metric gives 0 to 1, or \(0 to 1, why\)"):
        metric.score(example(1), "Son1")


@pytest.mark.usefixtures("mine")
def test_a_metric_that_cannot_be_called_is_refused() -> None:
    run = settled(["mine"], metric=OwnMetricConfig("half", "mine.half", {"k": 3}))
    message = r"^metric\.function=mine\.half: it is called with \(example, answer, \*\*parameters\)"
    with pytest.raises(ConfigError, match=message):
        metrics.build(run)


@pytest.mark.usefixtures("mine")
def test_a_metric_of_ones_own_is_graded() -> None:
    made = config.compose(["plugins=[mine]"])
    made.metric = METRIC
    with pytest.raises(ConfigError, match=r"optimizer\.metric_threshold: is needed with metric=half"):
        config.parts.settle(made)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (OwnOptimizerConfig("x", "mine.absent"), "optimizer.function=mine.absent: mine has no function absent"),
        (OwnOptimizerConfig("x", "mine.improve", {"k": 3}), "it is called with (student, task, **parameters)"),
    ],
)
def test_an_optimizer_that_cannot_be_called_is_refused_before_anything_is_spent(
    optimizer: OwnOptimizerConfig, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        optimizer_limits.check(settled(["mine"], optimizer=optimizer), train=8, val=4)
    assert message in str(refused.value)


def test_what_an_optimizer_of_ones_own_may_cost_is_what_it_says() -> None:
    with_calls = OwnOptimizerConfig("x", "mine.improve", calls=100)
    free = OwnOptimizerConfig("x", "mine.improve")
    assert optimizer_limits.most_calls(with_calls, 8, 4) - optimizer_limits.most_calls(free, 8, 4) == 100


def test_a_dataset_card_has_the_code_that_made_its_questions(mine: str, project: Path) -> None:
    (project / "mine.py").write_text(SOURCE + "def questions(bible):\n    return iter(())\n", encoding="utf-8")
    recipe = build.recipe_of(["kjv"], [mine])
    manifest = {"sources": dict(recipe.digests), "seed": 7, "counts": {}, "dropped": {}, "sha256": {}}
    assert "| plugins/mine | code of the user's own" in card("mine", manifest, {})
    assert recipe.text[-1].TYPE == "mine"


@pytest.mark.usefixtures("mine")
def test_a_family_without_questions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.families=mine: it has no function questions\(bible\)"):
        build.recipe_of([], ["mine"])


@pytest.mark.usefixtures("project")
def test_a_dialect_is_one() -> None:
    endpoint = EndpointConfig("x", "openai", "x", dialect="json.dumps")
    with pytest.raises(ConfigError, match=r"endpoint\.dialect=json\.dumps: is no bibleqa\.lm\.dialects\.Dialect"):
        dialects.of(endpoint)
