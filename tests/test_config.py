"""From YAML and overrides to a checked config: every option composes, and what is wrong is said in one line."""

import copy
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import hydra
import pytest
from dummies import example as question
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from options import OPTIONS, OWN_FILES, choosing
from project import HOME, Project, end

from bibleqa import adapters, checks, config, metrics, paths, schema
from bibleqa import program as programs
from bibleqa.config import guard, parts
from bibleqa.config.explain import explain
from bibleqa.errors import ConfigError
from bibleqa.schema import GROUPS, Config, TranslationQuestionsConfig, WeightedConfig

pytestmark = pytest.mark.usefixtures("project")

SECRET = "sk-never-to-be-seen"
THRESHOLD = "optimizer.metric_threshold=1"


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_builds(group: str, option: str) -> None:
    composed = config.compose(choosing(group, option))
    chosen = getattr(composed, group)
    assert chosen.name == option
    assert type(chosen) in schema._SCHEMAS.values()
    assert programs.of_config(composed).predictors()
    if option != "auto":  # which asks a model
        assert adapters.build(composed.adapter)
    if group != "metric" or option not in ("semantic", "judge"):  # likewise
        assert metrics.build(composed).score(question(1), "Son1").value == 1
    assert list(checks.build(composed.assertions)) == list(composed.assertions.checks)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_opens_with_what_it_is_for(group: str, option: str) -> None:
    first = (paths.conf() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"# \w.{8,}", first)


def test_every_group_has_options_and_a_default() -> None:
    assert {group for group, _ in OPTIONS} == set(GROUPS)
    assert isinstance(config.compose(), Config)


def test_help_names_every_option_and_shows_an_example_of_every_group(project: Path) -> None:
    said = end(Project(project, "").start_bare("--help"))
    assert said.code == 0
    found = re.findall(r"^  (\w+) {2,}((?:.*\n)+?) {8,}python run\.py(.*)$", said.out, re.MULTILINE)
    groups = {group: (named, shown) for group, named, shown in found}
    for group, option in OPTIONS:
        named, shown = groups[group]
        assert re.search(rf"\b{option}\b", named), f"{group}={option}"
        assert re.search(rf" {group}[=.]", shown)


def test_every_example_in_the_help_composes() -> None:
    text = (paths.conf() / "hydra" / "help" / "bibleqa.yaml").read_text(encoding="utf-8")
    examples = re.findall(r"python run\.py ((?:[\w.@]+=\S+ ?)+)", text)
    assert len(examples) > 8
    for shown in examples:
        overrides = [word for word in shown.split() if not word.startswith("reproduce=")]
        if not any("," in word and "[" not in word for word in overrides):  # a sweep
            config.compose(overrides)


@pytest.mark.parametrize("argument", ["--help", "endpoint.temperature=9"])
def test_help_and_config_errors_are_quick(project: Path, argument: str) -> None:
    def spent() -> float:
        """Seconds of processor of all processes that have ended: other work on the machine does not count."""
        times = os.times()
        return times.children_user + times.children_system

    before = spent()
    end(Project(project, "").start_bare(argument))
    assert spent() - before < 1.5  # under a second on a quiet machine


@pytest.mark.parametrize("argument", ["--help", "endpoint.temperature=9"])
def test_help_and_config_errors_import_nothing_heavy(argument: str) -> None:
    command = [sys.executable, "-X", "importtime", str(HOME / "run.py"), argument]
    imported = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stderr
    assert "bibleqa.schema" in imported
    assert not re.findall(r"\| +(dspy|mlflow|numpy|torch|ray|litellm)\n", imported)


@pytest.mark.parametrize("arguments", [[], ["-m", "optimizer=none,bootstrap"], ["adapter=auto", "assertions=strict"]])
def test_a_plan_imports_no_package_that_it_can_do_without(project: Path, arguments: list[str]) -> None:
    given = Project(project, "http://127.0.0.1:9/v1", under=("env", "PYTHONPROFILEIMPORTTIME=1"))
    for split in ("train", "val", "test"):
        rows = [
            {"id": f"{split}{number}", "question": f"Who, {split}, {number}?", "answer": "Seth"} for number in range(8)
        ]
        given.write(split, rows)
    said = end(given.start(*arguments, "plan=true"))
    assert said.code == 0, said.err
    assert "bibleqa.sweeps.plan" in said.err
    assert not re.findall(r"\| +(dspy|mlflow|torch|ray|litellm|httpx|matplotlib|bibleqa\.data\.build)\n", said.err)


WRONG = {
    "a key of a list": (["dataset.types.a=x"], ["a list has no keys", "'a'", "key=[a,b]"]),
    "a key in a key of a list": (["dataset.types.a.b=x"], ["a list has no keys", "'a'"]),
    "a key in a key of a judge that is not there": (["judge.model.a=x"], ["judge", "endpoint@judge="]),
    "a value of two lines": (["endpoint.kind='a\nb'"], ["endpoint.kind=a b", "not one of"]),
    "an option elsewhere": (["endpoint=../x"], ["endpoint=../x", "no such option"]),
    "wrong type": (["endpoint.seed=abc"], ["endpoint.seed", "abc", "Integer"]),
    "a fraction for a count": (["dataset.max_train=1.5"], ["dataset.max_train", "1.5", "Integer"]),
    "text for a list": (["dataset.types=kinship"], ["dataset.types", "ListConfig"]),
    "unknown key": (["endpoint.tempratur=1"], ["endpoint.tempratur", "unknown key", "temperature"]),
    "unknown key of the run": (["optimiser=none"], ["optimiser", "optimizer"]),
    "unknown key with a plus": (["+endpoint.tempratur=1"], ["endpoint.tempratur", "unknown key", "temperature"]),
    "unknown key of the run with a plus": (["++target=1"], ["target", "unknown key", "target_accuracy"]),
    "unknown key in a table": (["metric.terms.elohim.form=x"], ["metric.terms.elohim.form", "unknown key", "forms"]),
    "a key of another option": (["optimizer=none", "optimizer.k=2"], ["optimizer.k", "unknown key"]),
    "unknown option": (["endpoint=lmstudio"], ["endpoint=lmstudio", "no such option", "lm_studio", "vllm"]),
    "no option": (["endpoint=null"], ["endpoint=null", "one option"]),
    "a number for an option": (["metric=1.5"], ["metric=1.5", "one option"]),
    "list for a group": (["optimizer=[none,labeled]"], ["optimizer=[none,labeled]", "one option", "-m"]),
    "sweep without -m": (["optimizer=none,labeled"], ["optimizer=none,labeled", "--multirun"]),
    "too small": (["dataset.max_test=0"], ["dataset.max_test=0", "1 or more"]),
    "too large": (["endpoint.temperature=2.5"], ["endpoint.temperature=2.5", "from 0 to 2"]),
    "not among the choices": (["endpoint.kind=azure"], ["endpoint.kind=azure", "lmstudio", "vllm"]),
    "missing value": (["dataset=jsonl", *OWN_FILES[1:]], ["dataset.train", "is needed", "dataset.train=<value>"]),
    "not a number": (["endpoint.temperature=nan"], ["endpoint.temperature=nan", "finite"]),
    "infinite": (["endpoint.timeout=inf"], ["endpoint.timeout=inf", "finite"]),
    "unset variable": (["endpoint.base_url=${oc.env:NOT_SET_AT_ALL}"], ["endpoint.base_url", "NOT_SET_AT_ALL"]),
    "broken syntax": (["dataset.types=[a"], ["dataset.types", "[a"]),
    "secret": ([f"endpoint.api_key={SECRET}"], ["endpoint.api_key", ".env", "api_key_env"]),
    "secret with a plus": ([f"+openai.token={SECRET}"], ["openai.token", ".env"]),
    "secret in capitals": ([f"OPENAI_API_KEY={SECRET}"], ["OPENAI_API_KEY", ".env"]),
    "a key for its variable": ([f"endpoint.api_key_env={SECRET}"], ["endpoint.api_key_env", "name of an environment"]),
    "a password in an address": ([f"endpoint.base_url=http://me:{SECRET}@host/v1"], ["endpoint.base_url", "password"]),
    "a password for the tracker": ([f"tracking.uri=http://me:{SECRET}@host"], ["tracking.uri", "password"]),
    "unknown key put into a table": (["+metric.terms.elohim.form=[x]"], ["metric.terms.elohim.form", "unknown key"]),
    "a key of a judge that is not there": (["judge.temperature=1"], ["judge", "endpoint@judge="]),
    "an endpoint as a key": (["judge=lm_studio"], ["judge=lm_studio", "endpoint@judge="]),
    "no option for a judge": (["endpoint@judge=5"], ["endpoint@judge=5", "one option"]),
    "unknown option for a judge": (["endpoint@judge=nobody"], ["endpoint=nobody", "no such option", "lm_studio"]),
    "unknown key of a judge": (
        ["metric=judge", THRESHOLD, "endpoint@judge=openai", "judge.modle=x"],
        ["judge.modle", "unknown key", "model"],
    ),
    "a judge that nobody asks": (["endpoint@judge=openai"], ["judge", "metric=theological", "~endpoint@judge"]),
    "an embedder that nobody asks": (
        ["metric=judge", THRESHOLD, "endpoint@embedder=openai"],
        ["embedder", "metric=judge", "~endpoint@embedder"],
    ),
    "a key for a judge's variable": (
        ["metric=judge", THRESHOLD, "endpoint@judge=openai", f"judge.api_key_env={SECRET}"],
        ["judge.api_key_env", "name of an environment"],
    ),
    "a password in a judge's address": (
        ["metric=judge", THRESHOLD, "endpoint@judge=openai", f"judge.base_url=http://me:{SECRET}@host/v1"],
        ["judge.base_url", "password"],
    ),
    "a weighted metric of nothing": (
        ["metric=weighted", "~metric.parts.theological", "~metric.parts.token_f1"],
        ["metric.parts={}", "at least one"],
    ),
    "a part that is weighted itself": (
        ["metric=weighted", "+metric.parts.weighted=1"],
        ["metric.parts.weighted", "token_f1"],
    ),
    "a part that is unknown": (["metric=weighted", "+metric.parts.bleu=1"], ["metric.parts.bleu", "token_f1"]),
    "a weight of nothing": (["metric=weighted", "metric.parts.token_f1=0"], ["metric.parts.token_f1=0", "above 0"]),
    "no weight": (
        ["metric=weighted", "metric.parts.theological={slack_words: 2}"],
        ["metric.parts.theological=None", "above 0"],
    ),
    "an unknown key of a part": (
        ["metric=weighted", "metric.parts.theological={weight: 1, slack: 2}"],
        ["metric.parts.theological.slack", "unknown key", "slack_words"],
    ),
    "a value of a part out of range": (
        ["metric=weighted", "metric.parts.theological={weight: 1, slack_words: -1}"],
        ["metric.parts.theological.slack_words=-1", "0 or more"],
    ),
    "secret as an option": ([f"--client_secret={SECRET}"], ["client_secret", ".env"]),
}


def test_a_password_that_the_environment_brings_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_STUDIO_API_URL", f"http://me:{SECRET}@host/v1")
    with pytest.raises(ConfigError, match=r"endpoint\.base_url: an address") as caught:
        config.compose(["endpoint=lm_studio"])
    assert SECRET not in str(caught.value)


def test_an_environment_file_in_another_encoding_is_named(project: Path) -> None:
    (project / ".env").write_text("A_KEY=1", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"\.env: not UTF-8"):
        config.compose()


def test_a_saved_config_has_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    composed = config.compose(["dataset=translation_questions", "dataset.folder=tq", "corpus.sword_path=sword"])
    assert isinstance(composed.dataset, TranslationQuestionsConfig)
    assert (composed.dataset.folder, composed.corpus.sword_path) == (str(tmp_path / "tq"), str(tmp_path / "sword"))


@pytest.mark.parametrize(("overrides", "named"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_in_one_line(overrides: list[str], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.compose(overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize("case", ["wrong type", "too large", "unset variable", "missing value", "no option", "secret"])
def test_a_refused_run_says_one_line_and_leaves_nothing(project: Path, case: str) -> None:
    overrides, named = WRONG[case]
    said = Project(project, "").run_bare(*overrides)
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith("bibleqa: ")
    assert [part for part in named if part not in said.complaint] == []
    assert SECRET not in said.complaint
    assert list(project.glob("outputs/*")) == []


def test_an_unknown_check_is_refused_before_anything_is_made(project: Path) -> None:
    said = Project(project, "").run_bare("+assertions.checks={grounded:{},biblical:{}}")
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith("bibleqa: assertions.checks.biblical: no such check; there are grounded, answers")
    assert [path.name for path in project.iterdir()] == ["outputs"]
    assert list(project.glob("outputs/*")) == []


def test_a_project_folder_that_cannot_be_written_is_said_in_one_line(project: Path) -> None:
    (project / "file").touch()
    broken = Project(project, "", {"BIBLEQA_PROJECT": str(project / "file")})
    said = broken.run_bare()
    assert (said.code, said.out) == (1, "")
    assert "Not a directory" in said.complaint


def test_variables_come_from_the_predecessors_file_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"BIBLEQA_PROJECT": str(project)})
    (project / ".env").write_text("LM_STUDIO_CHAT_MODEL=mine\n")
    (project / ".env.dspy").write_text("LM_STUDIO_CHAT_MODEL=theirs\nLM_STUDIO_API_URL=http://host:1/v1\n")
    endpoint = config.compose(["endpoint=lm_studio"]).endpoint
    assert (endpoint.model, endpoint.base_url) == ("mine", "http://host:1/v1")


def test_the_number_of_threads_is_settled_for_the_machine() -> None:
    assert (config.compose().endpoint.threads or 0) >= 1
    assert config.compose(["endpoint=openai", "endpoint.threads=null"]).endpoint.threads == 8


def test_a_model_that_a_metric_asks_is_chosen_where_nobody_did() -> None:
    judged, compared = (config.compose([f"metric={name}", THRESHOLD]) for name in ("judge", "semantic"))
    assert (judged.judge and judged.judge.name, judged.embedder) == ("embedded_large", None)
    assert (compared.embedder and compared.embedder.name, compared.judge) == ("embedded_tiny", None)
    both = config.compose(["metric=weighted", THRESHOLD, "+metric.parts={judge: 1, semantic: 1}"])
    assert both.judge
    assert both.embedder
    assert (both.judge.threads or 0) >= 1


def test_a_judge_of_ones_own_is_an_endpoint_like_any_other() -> None:
    composed = config.compose(["metric=judge", THRESHOLD, "endpoint@judge=lm_studio", "judge.model=mine"])
    assert composed.judge == config.compose(["endpoint=lm_studio", "endpoint.model=mine"]).endpoint
    assert composed.endpoint.kind == "embedded"


def test_the_parts_of_a_weighted_metric_are_written_out() -> None:
    composed = config.compose(["metric=weighted", THRESHOLD, "metric.parts.theological={weight: 2, slack_words: 1}"])
    assert isinstance(composed.metric, WeightedConfig)
    part = composed.metric.parts["theological"]
    assert (part["weight"], part["slack_words"], part["terms"]["elohim"]["strongs"]) == (2.0, 1, "H430")
    assert composed.metric.parts["token_f1"] == {"weight": 0.3}


def test_a_value_of_a_part_is_never_an_interpolation() -> None:
    metric = WeightedConfig("weighted", {"judge": {"weight": 1, "rubric": "${oc.env:HOME} \\${x}"}})
    assert parts.weighted_parts(metric)["judge"][1].rubric == "${oc.env:HOME} \\${x}"  # type: ignore[attr-defined]


def test_a_table_takes_further_entries() -> None:
    composed = config.compose(["+metric.terms={bara:{strongs:H1254,forms:[bara]}}"])
    assert "bara" in composed.metric.terms  # type: ignore[attr-defined]
    assert "elohim" in composed.metric.terms  # type: ignore[attr-defined]


# Any override at all.

EXAMPLES = 150
"""For each group."""
KEYS = ["target_accuracy", "endpoint", "endpoint.model", "dataset.types", "dataset.max_test", "metric.terms", "rerun"]
texts = st.text("ab0.1-+ '\"\\$\\{}[](),:=~#\t\nא\x00\x1b", max_size=12) | st.text(max_size=8)
odd = st.sampled_from(
    """1e400 -1e400 nan -inf null ??? true "" '' 0 -1 99999999999999999999 0x1F 1_000 1.5 [] {} [1,a] {a:1} [[[]]] a,b
    {elohim:{strongs:null}} {weight:1} range(1,2) choice(a,b) sort(b,a) glob(*) str(1) int(x) ${endpoint.model}
    ${oc.env:HOME} ${oc.env:NOT_SET_AT_ALL} ${oc.env:} ${now:%Y} ${unheard.of} ${ ${a}:b} ${ \\${a}
    http://[ '${'""".split()
)
likely = st.sampled_from(
    """openai embedded lmstudio light labels teacher judge 'p -> w' 'p -> p' 'bootstrap -> finetune' {name:mipro}
    {name:bootstrap} {name:none} {p:{name:finetune}} {contains:1,token_f1:2} {contains:{weight:1,slack_words:-1}}
    {answers:null} {answers:{severity:soft}} {max_words:{most:x}} {mine:{function:os.system}} [kinship] [Genesis] server
    http://127.0.0.1:1/v1 1 2 0.5 false rerun replay sqlite:///x.db a/b.jsonl ../../x OPENAI_API_KEY""".split()
)
values = texts | odd | likely | st.integers().map(str) | st.floats().map(str)
signs = st.sampled_from(["", "", "", "+", "++", "~"])
suffixes = st.sampled_from(["", "", "", "", ".a", ".0", ".elohim", ".p.name", ".theological", "@x", "[0]", ".", " "])


@cache
def composed_by_hydra(overrides: tuple[str, ...]) -> DictConfig:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(paths.conf()), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def refusal(overrides: Sequence[str], base: Sequence[str]) -> str | None:
    """What is said of overrides on top of what Hydra has composed of others; None when they make a config.

    As Hydra does it: its parser, its way to apply them, and then this project's checks, in a tenth of the time. What
    is left out is Hydra's choosing of options (`group=option`) and what looks at the part `hydra` of a config.
    """
    try:
        config.check_arguments(overrides)
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        composed = copy.deepcopy(composed_by_hydra(tuple(base)))
        with guard.composing():
            ConfigLoaderImpl._apply_overrides_to_config(parsed, composed)
        assert isinstance(config.checked(composed), Config)
    except ConfigError as error:
        return str(error)
    except Exception as error:
        if said := explain(error):
            return said
        raise
    return None


ROOT = [
    *(field.name for field in dataclasses.fields(Config) if field.name not in (*GROUPS, *schema.HELPERS)),
    *(f"corpus.{field.name}" for field in dataclasses.fields(schema.CorpusConfig)),
    *("reproduce.run", "reproduce.mode", "judge.model", "unheard_of", "a.b", "_target_", "", "hydra", "א"),
]
BASES = {group: [choosing(group, o) for g, o in OPTIONS if g == group] for group in GROUPS} | {"": [[]]}


def keys_of(group: str, base: Sequence[str]) -> list[str]:
    """The keys of a group with these options; "" is the run."""
    return [f"{group}.{key}" for key in composed_by_hydra(tuple(base))[group]] if group else ROOT


@pytest.mark.slow
@pytest.mark.parametrize("group", BASES, ids=lambda group: group or "the run")
def test_any_override_makes_a_config_or_is_refused_in_one_line(group: str) -> None:
    config.prepare()

    @settings(max_examples=EXAMPLES, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        base = data.draw(st.sampled_from(BASES[group]))
        keys = st.sampled_from([*keys_of(group, base), f"{group}.x"])
        pairs = data.draw(st.lists(st.tuples(signs, keys, suffixes, values), min_size=1, max_size=2))
        said = refusal([f"{sign}{key}{suffix}={value}" for sign, key, suffix, value in pairs], base)
        assert said is None or (said and "\n" not in said)

    check()


@settings(max_examples=25)
@given(st.sampled_from(KEYS), signs, values)
@example("endpoint", "", "-inf")
@example("endpoint", "", "{a:1}")
@example("metric.terms", "", "{elohim:1}")
def test_any_override_composes_or_is_refused(key: str, sign: str, value: str) -> None:
    refused = None
    try:
        config.compose([f"{sign}{key}={value}"])
    except ConfigError as error:
        refused = str(error)
    assert refused is None or (refused and "\n" not in refused)
