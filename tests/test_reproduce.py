"""A saved config, turned back into overrides, is the config that was saved: no less, no more."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from options import GRADED, OPTIONS, choosing_all

from bibleqa import checks, config, paths, reproduce, verdict
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder
from bibleqa.schema import GROUPS, Config, ReproduceConfig, TermConfig

pytestmark = pytest.mark.usefixtures("project")

CHOICES = {group: [o for g, o in OPTIONS if g == group] for group in GROUPS}
UNGRADED = [metric for metric in CHOICES["metric"] if metric not in GRADED]
COMBINATIONS = [
    {group: options[number % len(options)] for group, options in CHOICES.items()}
    | {"optimizer": optimizer, "metric": metrics[number % len(metrics)]}
    for number, optimizer in enumerate(CHOICES["optimizer"])
    for metrics in (GRADED, UNGRADED)
]
"""Every optimizer with a metric that it needs a threshold for, and with one that it does not."""


def saved(text: str) -> str:
    """A run folder with that config.yaml."""
    folder = Path(tempfile.mkdtemp(dir=paths.project()))
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return f"reproduce={folder}"


def again(reference: str, *further: str) -> Config:
    """The config of the run that repeats a saved one."""
    return config.compose(reproduce.expand([reference, *further]))


def comparable(repeated: Config) -> Config:
    assert repeated.rerun
    assert repeated.reproduce.run
    return replace(repeated, rerun=False, reproduce=ReproduceConfig())


@pytest.mark.parametrize("options", COMBINATIONS, ids=lambda options: f"{options['optimizer']}-{options['metric']}")
def test_every_option_comes_back(options: dict[str, str]) -> None:
    composed = config.compose(choosing_all(options))
    assert comparable(again(saved(config.to_yaml(composed)))) == composed


def test_the_combinations_hold_every_option() -> None:
    assert {(group, option) for options in COMBINATIONS for group, option in options.items()} == set(OPTIONS)


# No control characters: YAML itself has them come back as others.
strings = st.text(st.sampled_from("ab 1.\\'\"${}[](),:=#~+-@/א\u05b0"), max_size=10).filter(lambda text: text != "???")


@settings(max_examples=8)
@given(st.lists(strings, min_size=8, max_size=8))
@example(["C:\\data\\", "${oc.env:HOME}", "\\${x}", "it's", '"', "{a: 1, b}", "אֱלֹהִים", "\\\\'"])
@example(["null", "true", "1", "", " ", "[a]", "1e3", "\\"])
@example(["\\\\${x}", "${", "$${x}}", "'${a}\\'", "a,b", "~", "+a=b", "choice(a,b)"])
def test_any_text_comes_back(texts: list[str]) -> None:
    composed = config.compose()
    composed.endpoint.model, composed.tracking.experiment = texts[:2]
    composed.dataset.types = texts[2:6]
    composed.metric.terms = {"new": TermConfig(texts[6], [texts[7], texts[0]])}  # type: ignore[attr-defined]
    assert comparable(again(saved(config.to_yaml(composed)))) == composed


def test_an_edited_table_comes_back_without_what_the_option_has_now() -> None:
    composed = config.compose(["assertions=grounded"])
    terms = composed.metric.terms  # type: ignore[attr-defined]
    del terms["elohim"]
    terms["adon"].forms.pop()
    terms["bara"] = TermConfig("H1254", ["bara"])
    composed.assertions.checks = {}
    assert comparable(again(saved(config.to_yaml(composed)))) == composed


def test_a_table_that_an_option_takes_from_another_is_replaced_too(
    monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    conf = project / "conf"
    shutil.copytree(paths.conf(), conf)
    monkeypatch.setattr(paths, "conf", lambda: conf)
    (conf / "metric" / "theological.yaml").rename(conf / "metric" / "base.yaml")
    (conf / "metric" / "theological.yaml").write_text("defaults: [base, _self_]\nname: theological\n")
    composed = config.compose()
    del composed.metric.terms["elohim"]  # type: ignore[attr-defined]
    assert comparable(again(saved(config.to_yaml(composed)))) == composed


def test_a_parameter_that_a_saved_check_leaves_out_stays_out() -> None:
    composed = config.compose(["assertions=grounded"])
    composed.assertions.checks = {"grounded": {}}
    assert again(saved(config.to_yaml(composed))).assertions.checks == {"grounded": {}}


@pytest.mark.parametrize(
    "overrides",
    [
        ["metric=judge"],
        ["metric=judge", "endpoint@judge=lm_studio", "judge.model='a: b'", "judge.threads=1", "metric.partly=0.2"],
        ["metric=semantic", "endpoint@embedder=openai", "embedder.base_url=http://127.0.0.1:1/v1"],
        ["metric=weighted", "metric.parts.theological={weight: 2, slack_words: 1}", "+metric.parts.judge=1"],
        ["metric=weighted", "~metric.parts.theological", "endpoint@judge=openai", "+metric.parts.judge=3"],
    ],
    ids=str,
)
def test_a_run_with_further_models_comes_back(overrides: list[str]) -> None:
    composed = config.compose(["optimizer=none", *overrides])
    assert comparable(again(saved(config.to_yaml(composed)))) == composed


def test_another_judge_takes_the_place_of_the_saved_one() -> None:
    run = saved(
        config.to_yaml(config.compose(["optimizer=none", "metric=judge", "endpoint@judge=vllm", "judge.seed=5"]))
    )
    repeated = again(run, "endpoint@judge=openai")
    assert repeated.judge == config.compose(["endpoint=openai"]).endpoint
    assert again(run, "metric=contains", "~endpoint@judge").judge is None


def test_limits_that_are_not_set_again_are_no_override(tmp_path: Path) -> None:
    saved_config = config.compose(["limits.calls=500", "optimizer=none"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(saved_config), encoding="utf-8")
    (tmp_path / "predictions.jsonl").touch()
    made: dict[str, Any] = {"versions": {}, "made_of": {}, "git": {}, "program_digest": None}

    repeated = verdict.of(RunFolder(tmp_path), config.compose(["optimizer=none"]), [], made)

    assert repeated["overrides"] == {}


def test_plugins_are_never_taken_from_a_saved_run() -> None:
    run = saved(config.to_yaml(config.compose(["plugins=[evil]"])))
    assert not any("evil" in override for override in reproduce.expand([run]))
    assert again(run).plugins == []
    assert again(run, "plugins=[mine]").plugins == ["mine"]


def test_a_saved_check_of_ones_own_comes_back_and_asks_for_its_plugin() -> None:
    own = "+assertions.checks={brief:{function:my_checks.brief,most:3}}"
    repeated = again(saved(config.to_yaml(config.compose(["assertions=strict", "plugins=[my_checks]", own]))))
    assert repeated.assertions.checks["brief"] == {"function": "my_checks.brief", "most": 3}
    with pytest.raises(ConfigError, match=r"allow it with plugins=\[my_checks\]"):
        checks.build(repeated.assertions, repeated.plugins)


def test_further_overrides_win() -> None:
    run = saved(config.to_yaml(config.compose(["optimizer=labeled", "optimizer.k=3", "dataset.seed=5"])))
    repeated = again(run, "optimizer.k=2", "metric.terms.elohim.strongs=H1", "rerun=false")
    assert repeated.optimizer.k == 2  # type: ignore[attr-defined]
    assert repeated.metric.terms["elohim"].strongs == "H1"  # type: ignore[attr-defined]
    assert (repeated.dataset.seed, repeated.rerun) == (5, False)


def test_another_option_takes_the_place_of_the_saved_one() -> None:
    run = saved(config.to_yaml(config.compose(["optimizer=labeled", "optimizer.k=3", "metric.slack_words=1"])))
    repeated = again(run, "optimizer=bootstrap", "metric=exact_match")
    assert repeated.optimizer == config.compose(["optimizer=bootstrap"]).optimizer
    assert repeated.metric.name == "exact_match"


def test_a_command_line_without_it_stays_as_it_is() -> None:
    assert reproduce.expand(["-m", "optimizer=none,labeled"]) == ["-m", "optimizer=none,labeled"]


def test_it_says_what_it_repeats() -> None:
    run = saved(config.to_yaml(config.compose()))
    assert again(run).reproduce.run == run.removeprefix("reproduce=")


def edited(**values: Any) -> str:
    content = yaml.safe_load(config.to_yaml(config.compose()))
    for name, value in values.items():
        group, _, key = name.partition("__")
        if key:
            content[group][key] = value
        else:
            content[group] = value
    return saved(yaml.safe_dump(content))


@pytest.mark.parametrize(
    "text",
    ["${oc.env:MARKED}", "\\${oc.env:MARKED}", "'${oc.env:MARKED}'", "\\'${oc.env:MARKED}", "x',${oc.env:MARKED}"],
)
def test_a_value_is_never_an_interpolation(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MARKED", "leaked")
    run = edited(endpoint__model=text, dataset__types=[text], metric__terms={"a": {"strongs": text, "forms": [text]}})
    repeated = again(run)
    assert repeated.endpoint.model == text
    assert repeated.dataset.types == [text]
    assert repeated.metric.terms == {"a": TermConfig(text, [text])}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "content",
    [
        {"hydra.run.dir": "/tmp/elsewhere"},
        {"hydra": {"run": {"dir": "/tmp/elsewhere"}}},
        {"+hydra.callbacks.x": {"_target_": "os.system"}},
        {"hydra/launcher": "joblib"},
        {"endpoint": {"name": "embedded", "model=${oc.env:HOME}#": "x"}},
        {"endpoint": {"name": "embedded", "model@hydra": "x"}},
        {"metric": {"name": "theological", "terms": {"a:${oc.env:HOME},b": {"strongs": "H1"}}}},
        {"metric": {"name": "theological", "terms": {1: {"strongs": "H1"}}}},
        {"plugin": ["evil"]},
    ],
    ids=str,
)
def test_a_key_that_no_run_has_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is no key of a run's config") as caught:
        reproduce.expand([saved(yaml.safe_dump(content))])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint__temperature": 9},
        {"endpoint__seed": "abc"},
        {"endpoint__unheard_of": 1},
        {"endpoint__model": {"a": 1}},
        {"endpoint__name": "../optimizer/none"},
        {"endpoint__name": None},
        {"endpoint": None},
        {"endpoint": ["embedded", "openai"]},
        {"endpoint": "unheard-of"},
        {"target_accuracy": "much"},
        {"target_accuracy": [1, 2]},
    ],
    ids=str,
)
def test_saved_values_are_checked_like_typed_ones(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        again(edited(**values))
    assert "\n" not in str(caught.value)


def test_a_date_that_yaml_makes_of_a_name_is_a_name() -> None:
    text = config.to_yaml(config.compose(["endpoint.model=replaced"])).replace("replaced", "2026-11-22")
    assert again(saved(text)).endpoint.model == "2026-11-22"


@pytest.mark.parametrize("content", [None, "", "- a", "text", "a: [", "a: b: c", "\x00"])
def test_what_is_no_run_folder_is_refused_in_one_line(project: Path, content: str | None) -> None:
    if content is not None:
        (project / "config.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        reproduce.expand([f"reproduce={project}"])
    assert str(caught.value).startswith(f"reproduce={project}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["", "nowhere", "run.log"])
def test_a_folder_that_is_not_there_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(project)
    (project / "run.log").touch()
    with pytest.raises(ConfigError, match="not a run folder"):
        reproduce.expand([f"reproduce={folder}"])


def test_two_runs_at_a_time_are_refused() -> None:
    with pytest.raises(ConfigError, match="one run at a time"):
        reproduce.expand(["reproduce=a", "reproduce=b"])
