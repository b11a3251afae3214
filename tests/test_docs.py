"""The documentation builds, and every command that it tells people to type is one that works.

A new command in README or docs is looked at as far as its kind allows: a config is composed, a file or target must be
there. What is of no known kind must be listed in `ELSEWHERE`, with the reason why it cannot be tried here.
"""

import dataclasses
import functools
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake_openai
import past_runs
import pytest
from documented import PAGES, Command, commands
from fake_openai import MODEL
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from project import HOME, Finished, Project, end

from bibleqa import cli, config, reproduce, schema
from bibleqa import program as programs
from bibleqa.config import options
from bibleqa.data.build import ensure_built
from bibleqa.data.item import Item
from bibleqa.data.reader import read_items
from bibleqa.errors import ConfigError
from bibleqa.runs import RunFolder
from bibleqa.schema import ProgramConfig

ELSEWHERE = {
    ". .venv/bin/activate": "made by `make setup`, which runs before these tests",
    "py -3.12 -m venv .venv": "Windows",
    r".venv\Scripts\Activate.ps1": "Windows",
    "lms server start": "LM Studio",
    "lms load mistral-nemo-instruct-2407": "LM Studio",
    "llama-server": "llama.cpp's own server, which the tests of dialects start out of xllamacpp",
    "ray start --head --port=6379": "a cluster; the tests of Ray start one",
    "ray start --address=<head>:6379": "a second machine",
    "createdb mlflow": "a Postgres",
    "mlflow server --backend-store-uri postgresql:": "a Postgres",
    "mlflow models serve": "the tests of promotion load what it serves",
}
"""What cannot be tried on the machine of the tests, by its beginning, and what it wants."""
NOT_INSTALLED = ("hydra/launcher=submitit_slurm", "hydra/launcher=submitit_local")
"""Launchers that come with an extra: of a command with one of them, the rest is composed."""
SPLITS = {"train": range(8), "val": range(8, 12), "test": range(12, 16)}
ALL = commands()
RUNS = [one for one in ALL if one.words[:2] == ["python", "run.py"]]
EXAMPLES = [one for one in RUNS if "--config-dir" in one.words]


def named(command: Command) -> str:
    return f"{command.page}: {' '.join(command.words)}"


def test_every_command_is_of_a_kind_that_is_looked_at() -> None:
    def known(command: Command) -> bool:
        return bool(
            command.words[:2] in (["python", "run.py"], ["python", "-m"])
            or command.words[0] in ("bibleqa", "make", "pip", ".venv/bin/pip")
            or "benchmarks/" in "".join(command.words[1:2])
            or command.line.startswith(tuple(ELSEWHERE))
        )

    assert [named(one) for one in ALL if not known(one)] == []


def test_nothing_is_excused_that_nobody_types() -> None:
    spoken = [one.line for one in ALL] + [page.read_text(encoding="utf-8") for page in PAGES]
    assert [line for line in ELSEWHERE if not any(line in text for text in spoken)] == []


@pytest.mark.parametrize("command", [one for one in ALL if one.words[0] == "make"], ids=named)
def test_a_target_of_make_is_there(command: Command) -> None:
    targets = re.findall(r"^([\w.-]+):", (HOME / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(command.words[1:]) <= set(targets)


@pytest.mark.parametrize("command", [one for one in ALL if one.words[1:] and "benchmarks/" in one.words[1]], ids=named)
def test_a_benchmark_is_there_and_has_the_options(command: Command) -> None:
    source = (HOME / command.words[1]).read_text(encoding="utf-8")
    assert all(f'"{word}"' in source for word in command.words[2:] if word.startswith("--"))


@pytest.mark.parametrize("command", [one for one in ALL if "pip" in one.words[0] + one.words[-1]], ids=named)
def test_what_pip_is_to_install_has_a_name_here(command: Command) -> None:
    project = (HOME / "pyproject.toml").read_text(encoding="utf-8")
    for word in command.words:
        assert word != "constraints.txt" or (HOME / word).is_file()
        if extras := re.fullmatch(r"\.\[(.*)\]", word):
            assert all(f"\n{extra} = [" in project for extra in extras[1].split(","))


def questions(numbers: range) -> list[dict[str, Any]]:
    """Rows of a user's own file; the model of `project` knows every other answer."""
    asked = [(n, f"And Father{n} begat Son{n}.", f"Whom did Father{n} beget?") for n in numbers]
    return [json.loads(Item(f"q{n}", context, question, f"Son{n}").to_json()) for n, context, question in asked]


# --- What composes ---


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder with two finished runs, questions of its own, and what commands speak of."""
    root = tmp_path_factory.mktemp("lived-in")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIBLEQA_PROJECT", str(root))
        patch.chdir(root)
        for split, numbers in SPLITS.items():
            lines = "".join(json.dumps(row) + "\n" for row in questions(numbers))
            (root / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        plain = programs.dump(programs.build(ProgramConfig("predict")))
        first = past_runs.make(root, scores=(1.0, 0.0, 1.0, 0.0), program=plain)
        second = past_runs.make(root, "optimizer=labeled", scores=(1.0, 1.0, 1.0, 0.0))
        past_runs.make_sweep(root, [((f"optimizer={n}",), run.fingerprint) for n, run in enumerate((first, second))])
        # A whole config, as runs leave it: reproduce= reads it.
        RunFolder(first.path).write("config.yaml", config.to_yaml(config.compose(["optimizer=none", "tracking=none"])))
        (first.path / "answers.jsonl").touch()
        yield root


def filled(command: Command, root: Path) -> list[str]:
    """The words of a command, with what a person puts in the place of what stands for something else."""
    line = command.line
    first, _ = sorted(root.glob("outputs/runs/*"))
    fingerprint = json.loads((first / "summary.json").read_text(encoding="utf-8"))["fingerprint"]
    for placeholder, given in {
        "outputs/<date>/<time>": str(first),
        "<run folder>": str(first),
        "<MLflow run id>": fingerprint[:12],
        "3f0c9a1b": fingerprint[:12],
        "<folder>": str(root),
        "https://…": "https://example.org/v1",
        "…": "something",
    }.items():
        line = line.replace(placeholder, given)
    return Command(command.page, line).words


def overrides_of(command: Command, root: Path) -> list[list[str]]:
    """Those of each run that a command makes."""
    words = [word for word in filled(command, root)[2:] if word not in (*NOT_INSTALLED, "--help")]
    if not set(NOT_INSTALLED).isdisjoint(command.words):
        words = [word for word in words if not word.startswith("hydra.launcher.")]
    if "-m" not in words and "--multirun" not in words:
        return [reproduce.expand(words)]
    overrides = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")])
    (batch,) = BasicSweeper.split_arguments(overrides, None)
    return [list(job) for job in batch]


@functools.cache
def composed(overrides: tuple[str, ...]) -> schema.Config:
    """Hydra takes its time, and many commands are alike but for the plan that they ask for."""
    return config.compose([override for override in overrides if override != "plan=true"])


@pytest.mark.parametrize("command", [one for one in RUNS if one not in EXAMPLES], ids=named)
def test_a_run_composes(command: Command, lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(lived_in))
    for name in ("OPENAI_API_KEY", "MY_KEY"):
        monkeypatch.setenv(name, "none-of-your-business")
    for overrides in overrides_of(command, lived_in):
        assert composed(tuple(overrides)).endpoint.model


def test_a_command_that_is_wrong_does_not_compose(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="optimizer=mipor: no such option"):
        test_a_run_composes(Command("a page", "python run.py optimizer=mipor"), lived_in, monkeypatch)


@pytest.mark.parametrize("command", [one for one in ALL if one.words[0] == "bibleqa"], ids=named)
def test_a_command_of_bibleqa_is_understood(command: Command, lived_in: Path) -> None:
    arguments = cli.parse(filled(command, lived_in)[1:])
    overrides = getattr(arguments, "overrides", [])
    if not any("regnal_years" in override for override in overrides):  # its YAML is one to be copied first
        assert composed(tuple(overrides)).endpoint.model


QUIET = ("data check", "leaderboard", "compare", "models")
"""Commands that only look."""


@pytest.mark.parametrize(
    "command", [one for one in ALL if one.words[0] == "bibleqa" and one.line[8:].startswith(QUIET)], ids=named
)
def test_a_command_that_only_looks_works(command: Command, lived_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(filled(command, lived_in)[1:]) == 0, capsys.readouterr().err


# --- What is run for real ---


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One with questions of its own, whose model knows half of the answers; it is behind LM Studio's variables."""
    known = {f"Whom did Father{n} beget?": f"Son{n}" for n in range(0, 99, 2)}
    with fake_openai.running(answers=known) as server:
        lm_studio = {"LM_STUDIO_API_URL": server.base_url, "LM_STUDIO_CHAT_MODEL": MODEL}
        variables = {"OPENAI_API_KEY": "none-of-your-business", **lm_studio}
        made = Project(tmp_path_factory.mktemp("project"), server.base_url, variables)
        for split, numbers in SPLITS.items():
            made.write(split, questions(numbers))
        yield made


def typed(command: Command, project: Project, *further: str) -> Finished:
    """What a command comes to in a project, typed in the folder of the repository."""
    script = HOME / "run.py" if command.words[0] == "python" else "-c"
    begin = [script, *command.words[2:]]
    if command.words[0] == "bibleqa":
        begin = ["-c", "import sys; from bibleqa.cli import main; sys.exit(main())", *command.words[1:]]
    variables = {"PYTHONPATH": os.pathsep.join([str(HOME), command.variables.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, *map(str, begin), *further],
        cwd=HOME,
        env={**project.environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return end(process, within=300)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(one, marks=[pytest.mark.slow] if "family" in one.line else [])  # it goes through all of the text
        for one in EXAMPLES
    ],
    ids=named,
)
def test_an_example_runs_as_it_stands(command: Command, project: Project) -> None:
    given = ["tracking=none"]
    if "endpoint=plain_server" in command.words:
        given += [f"endpoint.base_url={project.base_url}", f"endpoint.model={MODEL}"]
    else:
        given += ["endpoint=lm_studio"]
    if "dataset=regnal_years" in command.words:
        given += ["fast=true"]
    else:
        splits = ("train", "val", "test")
        given += ["dataset=jsonl", *(f"dataset.{split}={project.root / split}.jsonl" for split in splits)]
    if not any(word.startswith("optimizer") for word in command.words):
        given += ["optimizer=none"]

    finished = typed(command, project, *given)

    assert finished.code == 0, finished.out + finished.err
    assert project.last.summary["status"] == "finished"


def test_every_key_of_a_summary_is_in_the_reference(project: Project) -> None:
    assert project.run("optimizer=none").code == 0
    page = (HOME / "docs" / "run-files.md").read_text(encoding="utf-8")
    assert [key for key in project.last.summary if f"`{key}`" not in page] == []


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing was done yet, and a model that knows the text."""
    built = ensure_built(tmp_path / "data" / "processed")
    known = {item.question: item.answer for path in sorted(built.glob("*.jsonl")) for item in read_items(path)}
    with fake_openai.running(answers=known) as server:
        yield Project(tmp_path, server.base_url, {"LM_STUDIO_API_URL": server.base_url, "LM_STUDIO_CHAT_MODEL": MODEL})


_SKIPPED = ("make", ".", "py ", "python -m pip", "pip ", "bibleqa serve", "bibleqa rollback")
"""Of the tutorial: done by whoever runs the tests; goes on until it is stopped; wants two promotions."""
_UNLIKE = ("finetune", "feedback")
"""Wants an embedded model, for twenty minutes; wants ten thumbs."""


@pytest.mark.slow
def test_the_tutorial_goes_from_nothing_to_a_program_that_answers(fresh: Project) -> None:
    """Its commands in their order; a scripted server stands in for the model."""
    report = fresh.root / "report.html"
    tried = []
    for command in (one for one in ALL if one.page == "docs/tutorial.md"):
        line = " ".join(command.words)
        if line.startswith(_SKIPPED) or any(word in line for word in _UNLIKE):
            continue
        typing = command.line.replace("report.html", str(report))
        if "<time>" in typing:
            typing = typing.replace("outputs/<date>/<time>", str(fresh.last.path))
        further = ["endpoint=lm_studio", "fast=true"] if "run.py" in line and "--help" not in line else []

        finished = typed(Command(command.page, typing), fresh, *further)

        assert finished.code == 0, f"{line}\n{finished.out}{finished.err}"
        tried.append(line)
    assert len(tried) > 12
    assert report.is_file()


# --- What is built ---


class _Links(HTMLParser):
    """What a page fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        address = given.get("src") or (given.get("href") if tag == "link" else None)
        if address:
            self.fetched.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_pages_are_built_and_fetch_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        links = _Links()
        links.feed(page.read_text(encoding="utf-8"))
        assert [address for address in links.fetched if address.startswith(("http:", "https:", "//"))] == []
    assert not re.search(r"url\(['\"]?(https?:)?//", "".join(f.read_text("utf-8") for f in site.rglob("*.css")))


def test_the_examples_stand_in_the_pages_as_they_are(site: Path) -> None:
    pages = "".join(html.unescape(page.read_text(encoding="utf-8")) for page in site.rglob("how-to/*.html"))
    examples = [*HOME.glob("docs/examples/*/*.py"), *HOME.glob("docs/examples/*/*/*.yaml")]
    assert len(examples) == 15
    assert [path.name for path in examples if path.read_text(encoding="utf-8").strip() not in pages] == []


def test_the_reference_has_every_option_and_every_key(site: Path) -> None:
    for group in schema.GROUPS:
        page = (site / "reference" / f"{group}.html").read_text(encoding="utf-8")
        assert [name for name in options.names(group) if f'id="{name}"' not in page] == []
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html"))
    for path, kind in schema._SCHEMAS.items():
        group = path.partition("/")[0]
        keys = [field.name for field in dataclasses.fields(kind) if field.name != "name"]
        assert [key for key in keys if f"<code>{group}.{key}</code>" not in text] == []
