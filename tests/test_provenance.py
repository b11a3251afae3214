"""What makes two runs the same run."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from options import choosing
from project import HOME

from bibleqa import config, paths, provenance
from bibleqa.errors import ConfigError
from bibleqa.schema import Config, TermConfig

pytestmark = pytest.mark.usefixtures("project")

NEUTRAL = {
    *(
        "endpoint.name",
        "endpoint.adapter",
        "endpoint.base_url",
        "endpoint.api_key_env",
        "endpoint.timeout",
        "endpoint.retries",
        "endpoint.pause_after",
        "endpoint.patience",
        "endpoint.input_price",
        "endpoint.output_price",
    ),
    *("limits.calls", "limits.tokens", "limits.seconds", "limits.cost"),
    *("dataset.train", "dataset.val", "dataset.test", "assertions.name"),
    *("corpus.sword_path", "corpus.stepbible_path", "corpus.max_rejects"),
    *("tracking.name", "tracking.uri", "tracking.experiment", "rerun", "reproduce.run", "reproduce.mode"),
    *("plan", "retry_failed", "fast"),
}
"""What cannot change a result: where the model and the files are, how it is waited for, where it is recorded."""

CONFIGS = {
    "embedded": ["assertions=grounded", "optimizer=bootstrap_random_search"],
    "retrieving": ["program=retrieve_then_answer", "dataset.context=none"],
    "remote": ["endpoint=vllm", *choosing("dataset", "jsonl"), "metric=contains", "optimizer=labeled"],
}


def fingerprint(composed: Config, dataset: str = "d", model: str | None = "m", pool: str | None = None) -> str:
    return provenance.fingerprint(composed, dataset, {"endpoint": model} if model else {}, pool)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code does not change while this test runs."""
    digest = provenance.code_digest()
    monkeypatch.setattr(provenance, "code_digest", lambda *modules: digest)


def keys(node: Any, prefix: str = "") -> Iterator[tuple[Any, str, str]]:
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            yield from keys(value, f"{prefix}{field.name}.")
        else:
            yield node, field.name, f"{prefix}{field.name}"


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
        case dict():
            return dict(list(value.items())[:-1]) or {"x": None}
    return "x"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("overrides", CONFIGS.values(), ids=CONFIGS)
def test_every_key_changes_it_but_those_that_cannot_change_a_result(
    overrides: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "x.py").touch()  # the further entry of a list: of plugins, a module
    monkeypatch.syspath_prepend(project)
    composed = config.compose(overrides)
    before = fingerprint(composed)
    neutral = set()
    for node, name, path in keys(composed):
        value = getattr(node, name)
        setattr(node, name, other(value))
        if fingerprint(composed) == before:
            neutral.add(path)
        setattr(node, name, value)
    assert fingerprint(composed) == before
    expected = NEUTRAL if composed.endpoint.kind == "embedded" else {*NEUTRAL, "endpoint.threads"}
    if composed.program.name != "retrieve_then_answer":
        expected = {*expected, *(f"retriever.{field.name}" for field in dataclasses.fields(composed.retriever))}
        expected.add("embedder")  # there is none, and metric=theological would ask none
    assert neutral == {path for _, _, path in keys(composed)} & expected


@pytest.mark.parametrize(
    "change",
    [
        ["+metric.terms={yhwh:{forms:[YHWH]}}"],
        ["+metric.terms={bara:{strongs:H1254}}"],
        ["~metric.terms.adon"],
        ["assertions=grounded"],
        ["metric=contains"],
    ],
    ids=str,
)
def test_every_entry_of_a_table_changes_it(change: list[str]) -> None:
    assert fingerprint(config.compose(change)) != fingerprint(config.compose())


def test_another_share_of_a_check_changes_it() -> None:
    strict, mild = ["assertions=grounded"], ["assertions=grounded", "assertions.checks.grounded.min_share=0.5"]
    assert fingerprint(config.compose(strict)) != fingerprint(config.compose(mild))


@pytest.mark.usefixtures("quick")
def test_the_source_of_a_plugin_changes_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "package").mkdir()
    files = [project / name for name in ("own.py", "package/__init__.py", "package/part.py")]
    for file in files:
        file.write_text("A = 1\n")
    composed = config.compose(["plugins=[own,package]"])
    found = [fingerprint(composed)]
    assert fingerprint(composed) == found[0]
    for file in files:
        file.write_text("A = 2\n")
        found.append(fingerprint(composed))
    found.append(fingerprint(config.compose(["plugins=[own]"])))
    assert len(set(found)) == 5
    assert "own" not in sys.modules


def test_a_plugin_may_be_a_part_of_a_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "whole").mkdir()
    (project / "whole" / "part.py").write_text("A = 1\n")
    assert provenance.source_digest("whole.part") == provenance.source_digest("whole")
    (project / "whole" / "other.py").write_text("A = 2\n")
    assert provenance.source_digest("whole.part") != provenance.source_digest("whole")
    sys.modules.pop("whole", None)


@pytest.mark.parametrize("module", ["nowhere_at_all", "nowhere.at_all", ".own", "own-checks", "own/checks", "", "sys"])
def test_a_plugin_without_a_source_is_refused(module: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "own").mkdir()
    for file in ("own-checks.py", "own/checks.py"):  # there, but no module has such a name
        (project / file).touch()
    composed = config.compose([f"plugins=['{module}']"])
    with pytest.raises(ConfigError, match=f"plugins={module}: no module of that name"):
        fingerprint(composed)


def test_data_and_model_change_it() -> None:
    composed = config.compose()
    known = {fingerprint(composed, d, m) for d in ("d", "e", "") for m in ("m", "n", None)}
    assert len(known) == 9


@pytest.mark.parametrize(
    "metric", [["metric=semantic"], ["metric=weighted", "+metric.parts.semantic=1", "optimizer=none"]], ids=str
)
def test_the_embedder_counts_where_a_metric_compares_meanings(metric: list[str]) -> None:
    composed = config.compose(metric)
    other = config.compose([*metric, "endpoint@embedder=embedded"])
    assert len({provenance.fingerprint(one, "d", {"embedder": e}) for one in (composed, other) for e in "ab"}) == 4

    of_verses = config.compose(["retriever=hybrid", "endpoint@embedder=embedded_tiny"])
    plain = provenance.fingerprint(config.compose(), "d", {"endpoint": "a"})
    assert provenance.fingerprint(of_verses, "d", {"endpoint": "a", "embedder": "b"}) == plain


def test_versions_of_rule_code_and_packages_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = config.compose()
    found = [fingerprint(composed)]
    monkeypatch.setattr(provenance, "FINGERPRINT_VERSION", 0)
    found.append(fingerprint(composed))
    monkeypatch.setattr(provenance, "code_digest", lambda: "other")
    found.append(fingerprint(composed))
    monkeypatch.setattr(provenance, "_version", lambda name: "0.0")
    found.append(fingerprint(composed))
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (
            ["endpoint=openai", "endpoint.model=m"],
            '{"code": "code of all", "config": {"endpoint": {}, "program": "אב"}, "dataset": "d", "models": {}, '
            '"packages": {"dspy": "1.0", "xllamacpp": "1.0"}, "plugins": {}, "pool": "p", "version": 2}',
        ),
        (
            ["program=retrieve_then_answer", "dataset.context=none"],
            '{"code": "code of all", "config": {"endpoint": {"threads": 4}, "program": "אב", "retriever": {"k": 3}}, '
            '"dataset": "d", "models": {}, "packages": {"dspy": "1.0", "xllamacpp": "1.0"}, "plugins": {}, '
            '"pool": "p", "retrieving": {"code": "code of data/kjv", "sqlite": "3.0"}, "version": 2}',
        ),
    ],
    ids=["remote", "retrieving"],
)
def test_the_rule_changes_with_its_version_alone(
    overrides: list[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"retriever": {"k": 3}, "program": "אב", "endpoint": {"threads": 4}}
    monkeypatch.setattr(provenance, "_result_config", lambda node: settings)
    monkeypatch.setattr(provenance, "code_digest", lambda modules=("all",): f"code of {modules[0]}")
    monkeypatch.setattr(provenance, "_version", lambda name: "1.0")
    monkeypatch.setattr("sqlite3.sqlite_version", "3.0")
    made = fingerprint(config.compose(overrides), model=None, pool="p")
    assert made == hashlib.sha256(what.encode()).hexdigest()


@pytest.mark.usefixtures("quick")
def test_the_order_of_a_table_does_not_matter() -> None:
    composed = config.compose()
    before = fingerprint(composed)

    @settings(max_examples=20)
    @given(st.permutations(list(composed.metric.terms.items())))  # type: ignore[attr-defined]
    def in_any_order(entries: list[tuple[str, TermConfig]]) -> None:
        composed.metric.terms = dict(entries)  # type: ignore[attr-defined]
        assert fingerprint(composed) == before

    in_any_order()


def test_it_is_the_same_in_every_process(project: Path) -> None:
    program = (
        "from bibleqa import config, provenance; "
        "print(provenance.fingerprint(config.compose(['endpoint=openai']), 'd', {}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=HOME,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {fingerprint(config.compose(["endpoint=openai"]), "d", None)}


@pytest.fixture
def code(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, the code of which is digested."""
    copy = project / "bibleqa"
    shutil.copytree(HOME / "bibleqa", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(copy / "provenance.py"))
    return copy


def rewrite(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text(encoding="utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    file.write_text(changed, encoding="utf-8")


def test_comments_and_white_space_are_no_code(code: Path) -> None:
    before = provenance.code_digest()
    rewrite(code / "metrics.py", "\nclass ExactMatch", "\n# A comment.\n\n\nclass  ExactMatch")
    rewrite(code / "evaluation.py", r" if values else None\n", "  if values else None  # or none\n")
    rewrite(code / "report.py", "_SAMPLES = 3", "_SAMPLES = 4")
    assert provenance.code_digest() == before


def test_code_is_digested_word_by_word_and_module_by_module(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(project / "provenance.py"))
    (project / "one.py").write_text('# Of letters.\nA  =  "א#"  # the first\n\nB = 2', encoding="utf-8")
    (project / "two.py").write_text("C = 3\n", encoding="utf-8")
    bare = 'A = "א#" B = 2\nC = 3'
    assert provenance.code_digest(["one", "two"]) == hashlib.sha256(bare.encode()).hexdigest()


@pytest.mark.parametrize(
    ("file", "pattern", "replacement"),
    [
        ("text.py", '"an"', '"and"'),
        ("program.py", "as briefly as possible", "at length"),
        ("metrics.py", "return 2 \\* shared", "return 3 * shared"),
        ("evaluation.py", "0.0", "0.5"),
        ("lm/embedded.py", "8192", "4096"),
        ("optimizers/candidates.py", "score: float", "score: int"),
    ],
)
def test_what_answers_and_scores_is_code(code: Path, file: str, pattern: str, replacement: str) -> None:
    before = provenance.code_digest()
    rewrite(code / file, pattern, replacement)
    assert provenance.code_digest() != before


ANSWERS = {
    *("text", "data/reference", "program", "adapters", "salvage", "nearest", "checks", "assertions", "metrics"),
    *("evaluation", "optimizers/__init__", "optimizers/objective", "optimizers/prompts", "optimizers/weights"),
    *("optimizers/together", "optimizers/task", "optimizers/candidates"),
    *(
        "lm/embedded",
        "lm/endpoints",
        "lm/remote",
        "lm/dialects",
        "lm/embeddings",
        "lm/finetune",
        "lm/lora",
        "lm/adapter",
    ),
}
RETRIEVES = {
    *("data/kjv", "data/corpora/english", "retrieval/__init__", "retrieval/passages", "retrieval/named"),
    *("retrieval/fts", "retrieval/vectors", "retrieval/local"),
}


@pytest.mark.parametrize(
    ("overrides", "counted"),
    [([], ANSWERS), (["program=retrieve_then_answer", "dataset.context=none"], ANSWERS | RETRIEVES)],
    ids=["answering", "retrieving"],
)
def test_no_score_outlives_the_code_that_gave_it(overrides: list[str], counted: set[str], code: Path) -> None:
    composed = config.compose(overrides)
    before = fingerprint(composed)
    changes = set()
    for file in code.rglob("*.py"):
        source = file.read_bytes()
        file.write_bytes(source + b"\nNEW = 1\n")
        if fingerprint(composed) != before:
            changes.add(file.relative_to(code).with_suffix("").as_posix())
        file.write_bytes(source)
    assert changes == counted


NO_RESULT = {
    *("lm/__init__", "lm/answers", "lm/shards", "lm/turns", "lm/listening", "lm/meter", "lm/health"),  # how it is asked
    *("lm/models", "lm/export", "lm/export_command"),  # known by its digest; made afterwards
    "optimizers/swallowed",
}


@pytest.mark.parametrize("folder", ["lm", "optimizers", "retrieval"])
def test_of_every_module_that_asks_or_optimizes_it_is_known_whether_it_can_change_a_result(folder: str) -> None:
    modules = {f"{folder}/{path.stem}" for path in (Path(provenance.__file__).parent / folder).glob("*.py")}
    assert modules <= ANSWERS | RETRIEVES | NO_RESULT


def test_digested_lines_are_told_apart() -> None:
    lines = [["a", "b"], ["ab"], ["a b"], ["b", "a"], [], [""]]
    assert len({provenance.digest_lines(some) for some in lines}) == len(lines)
    assert provenance.digest_lines(iter(["a", "b"])) == provenance.digest_lines(["a", "b"])


def test_lines_are_digested_as_the_file_that_has_them() -> None:
    assert provenance.digest_lines(["a", "ב"]) == hashlib.sha256("a\nב\n".encode()).hexdigest()


def test_versions_name_what_is_installed() -> None:
    found = provenance.versions()
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert re.match(r"\d+\.\d+", found["dspy"])
    assert None not in found.values()


def test_the_commit_is_named_and_whether_files_differ_from_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        return subprocess.check_output(["git", *author, *arguments], cwd=project, text=True).strip()

    monkeypatch.setattr(paths, "conf", lambda: project / "conf")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert provenance.git_state() == {}
    git("init", "--quiet")
    assert provenance.git_state() == {}, "there is no commit yet"
    git("commit", "--quiet", "--allow-empty", "--message", "First")
    commit = git("rev-parse", "HEAD")
    assert provenance.git_state() == {"commit": commit, "dirty": "false"}
    (project / "new").touch()
    assert provenance.git_state() == {"commit": commit, "dirty": "true"}
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state() == {}, "there is no git"
