"""Recipes, saved configs, programs and archives made by somebody else: refused in one line, and nothing of them runs.

Every payload would leave a canary, a file in the folder `outside`, if Hydra, logging, YAML or DSPy ever ran it; a test
at the end shows that it does where nobody checks. `run.py` runs in this process: what a user starts, but for Python's
own start.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import HOME

from bibleqa import config, reproduce
from bibleqa.config import guard

SECRET = "sk-hostile-0123456789abcdef"
Case = tuple[Callable[[Path], list[str]], str]
"""Writes the files of a case into a folder, gives the arguments; and what is said of it."""


@pytest.fixture
def outside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the canary would be; beside it a package whose import makes one."""
    folder = project / "outside"
    folder.mkdir()
    package = project / "evil_package"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(folder / 'canary')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("INNOCENT", "a value of the user's")
    return folder


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `python run.py <arguments>`."""
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(HOME / "run.py"), run_name="__main__")
    return int(ended.value.code or 0)


def filled(text: str, folder: Path) -> str:
    return text.replace("OUTSIDE", str(folder / "outside"))


def recipe(text: str, *arguments: str) -> Callable[[Path], list[str]]:
    """A downloaded recipe."""

    def written(folder: Path) -> list[str]:
        (folder / "recipes" / "experiment").mkdir(parents=True)
        path = folder / "recipes" / "experiment" / "evil.yaml"
        path.write_text("# @package _global_\n" + filled(text, folder), encoding="utf-8")
        return ["--config-dir", str(folder / "recipes"), "experiment=evil", *(filled(a, folder) for a in arguments)]

    return written


def typed(*arguments: str) -> Callable[[Path], list[str]]:
    """Arguments alone, as a page of somebody's would have the user type them."""
    return lambda folder: [filled(argument, folder) for argument in arguments]


@cache
def saved_config() -> str:
    return config.to_yaml(config.compose(["tracking=none", "optimizer=none", "endpoint=openai"]))


def run_folder(folder: Path) -> Path:
    """The folder of a finished run."""
    path = folder / "downloaded"
    path.mkdir()
    (path / "config.yaml").write_text(saved_config(), encoding="utf-8")
    summary = {"schema": 1, "status": "finished", "weights": None, "dataset_digest": "0" * 64, "failure": None}
    (path / "summary.json").write_text(json.dumps(summary))
    (path / "program.json").write_text(json.dumps(PREDICTOR))
    line = {"phase": "baseline", "id": "1", "prediction": "", "raw": None, "score": 1.0, "unreadable": False}
    (path / "predictions.jsonl").write_text(json.dumps({**line, "checks": {}, "attempts": 1}) + "\n")
    (path / "answers.jsonl").write_text(json.dumps({"from": "openai x", "key": "k", "answer": {}}) + "\n")
    return path


def saved(*edits: tuple[str, Any], text: str = "") -> Callable[[Path], list[str]]:
    """A downloaded run whose config says something else at these dotted keys, or all of it."""

    def written(folder: Path) -> list[str]:
        path = run_folder(folder)
        content = yaml.safe_load((path / "config.yaml").read_text())
        for key, value in edits:
            node = content
            *above, last = key.split(".")
            for name in above:
                node = node[name]
            node[last] = value
        (path / "config.yaml").write_text(filled(text, folder) or yaml.safe_dump(content), encoding="utf-8")
        return [f"reproduce={path}"]

    return written


def left(name: str, text: str, mode: str) -> Callable[[Path], list[str]]:
    """A downloaded run with another file of that name."""

    def written(folder: Path) -> list[str]:
        path = run_folder(folder)
        (path / name).write_text(filled(text, folder), encoding="utf-8")
        return [f"reproduce={path}", f"reproduce.mode={mode}"]

    return written


def program(**values: Any) -> Callable[[Path], list[str]]:
    """A downloaded run whose program has other values."""
    return left("program.json", json.dumps(PREDICTOR | values), "evaluate")


FIELDS = [{"prefix": f"{name}:", "description": name} for name in ("Context", "Question", "History", "Answer")]
SIGNATURE = {"instructions": "Answer.", "fields": FIELDS}
PREDICTOR: dict[str, Any] = {"traces": [], "train": [], "demos": [], "signature": SIGNATURE, "lm": None}

TOUCH = "{_target_: evil_package.f}"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))

RECIPES: dict[str, Case] = {
    "a callback": (recipe(f"hydra: {{callbacks: {{x: {TOUCH}}}}}"), "hydra.callbacks"),
    "a launcher that is none": (recipe(f"hydra: {{launcher: {TOUCH}}}", "-m"), "hydra.launcher"),
    "a launcher that a plugin's module has imported": (
        recipe("hydra: {launcher: {_target_: hydra_plugins.bibleqa.local.os.system}}", "-m", "optimizer=none,labeled"),
        "hydra.launcher._target_",
    ),
    "a sweeper that is none": (recipe("hydra: {sweeper: {_target_: evil_package.Sweeper}}", "-m"), "_target_"),
    "an object inside a sweeper": (
        recipe("hydra: {sweeper: {params: {a: {_target_: evil_package.x}}}}", "-m"),
        "hydra.sweeper",
    ),
    "a table with a target": (recipe(f"assertions: {{checks: {{answers: {TOUCH}}}}}"), "checks.answers._target_"),
    "a package on the search path": (recipe("hydra: {searchpath: ['pkg://evil_package']}"), "hydra.searchpath"),
    "a package on the search path of a sweep": (
        recipe("hydra: {mode: MULTIRUN, sweeper: {params: {hydra.searchpath: '[pkg://evil_package]'}}}"),
        "hydra.sweeper.params.hydra.searchpath",
    ),
    "plugins": (
        recipe("plugins: [evil_package]\nassertions: {checks: {x: {function: evil_package.f}}}"),
        "plugins=['evil_package']: is for the command line",
    ),
    "plugins of a sweep": (
        recipe("hydra: {mode: MULTIRUN, sweeper: {params: {plugins: '[evil_package]'}}}"),
        "hydra.sweeper.params.plugins",
    ),
    "a logging handler that is a function": (
        recipe("hydra: {job_logging: {handlers: {x: {(): evil_package.f}}}}"),
        "hydra.job_logging.handlers.x.()",
    ),
    "a logging handler of another class": (
        recipe("hydra: {job_logging: {handlers: {x: {class: logging.handlers.SocketHandler, host: h, port: 1}}}}"),
        "hydra.job_logging.handlers.x.class",
    ),
    "a log outside": (
        recipe("hydra: {job_logging: {handlers: {file: {filename: OUTSIDE/canary}}}}"),
        "hydra.job_logging.handlers.file.filename",
    ),
    "a log outside by way of the folder": (
        recipe("hydra: {job_logging: {handlers: {file: {filename: '${hydra.runtime.output_dir}/../../x.log'}}}}"),
        "hydra.job_logging.handlers.file.filename",
    ),
    "a log outside by way of the job's name": (recipe("hydra: {job: {name: ../../x}}"), "hydra.job.name"),
    "an attribute of a handler": (
        recipe("hydra: {job_logging: {handlers: {file: {'.': {baseFilename: OUTSIDE/canary}}}}}"),
        "hydra.job_logging.handlers.file",
    ),
    "an import by logging": (
        recipe("hydra: {job_logging: {handlers: {file: {mode: 'ext://evil_package.x'}}}}"),
        "hydra.job_logging.handlers.file.mode",
    ),
    "a formatter of another class": (
        recipe("hydra: {job_logging: {formatters: {plain: {class: evil_package.F}}}}"),
        "hydra.job_logging.formatters.plain.class",
    ),
    "a log's config by an interpolation": (
        recipe(
            "assertions: {checks: {handlers: {x: {(): evil_package.f}}}}\nhydra: {job_logging: '${assertions.checks}'}"
        ),
        "hydra.job_logging",
    ),
    "a handler by an interpolation": (
        recipe("hydra: {verbose: {(): evil_package.f}, job_logging: {handlers: {format: '${hydra.verbose}'}}}"),
        "hydra.job_logging.handlers.format",
    ),
    "an import by a format": (
        recipe("hydra: {job_logging: {formatters: {plain: {format: 'ext://evil_package.x'}}}}"),
        "hydra.job_logging.formatters.plain.format",
    ),
    "a sweep by an interpolation": (
        recipe("hydra: {mode: MULTIRUN, verbose: {plugins: '[evil_package]'}, sweeper: {params: '${hydra.verbose}'}}"),
        "hydra.sweeper",
    ),
    "a variable by another value": (
        recipe("endpoint: {model: '${oc.env:${program.name}}'}"),
        "the environment variable ''",
    ),
    "a launcher of an odd type": (recipe("hydra: {launcher: {_target_: {}}}"), "hydra.launcher"),
    "Hydra's own log": (
        recipe("hydra: {hydra_logging: {handlers: {x: {(): evil_package.F}}}}"),
        "hydra.hydra_logging.handlers.x.()",
    ),
    "a run folder outside": (recipe("hydra: {run: {dir: OUTSIDE}}"), "hydra.run.dir"),
    "a sweep folder outside": (recipe("hydra: {sweep: {dir: OUTSIDE}}", "-m", "fast=true"), "hydra.sweep.dir"),
    "a folder of Hydra's outside": (recipe("hydra: {output_subdir: ../../../outside}"), "hydra.output_subdir"),
    "variables for the jobs": (recipe("hydra: {job: {env_set: {LD_PRELOAD: x.so}}}"), "hydra.job.env_set"),
    "variables to be written down": (recipe("hydra: {job: {env_copy: [OPENAI_API_KEY]}}"), "hydra.job.env_copy"),
    "variables that are not there": (recipe("hydra: {job: {env_copy: [NOT_SET_AT_ALL]}}"), "hydra.job.env_copy"),
    "a cluster of somebody's": (
        recipe(
            "defaults:\n  - override /hydra/launcher: ray\nhydra:\n  launcher: {address: 'h:1', env: [OPENAI_API_KEY]}"
        ),
        "hydra.launcher.address",
    ),
    "a key for a value": (recipe("endpoint: {model: '${oc.env:OPENAI_API_KEY}'}"), "holds a secret"),
    "a key inside a value": (recipe("endpoint: {model: 'x-${oc.env: \"OPENAI_API_KEY\" ,x}'}"), "holds a secret"),
    "a key in an address": (
        recipe("endpoint: {base_url: 'http://127.0.0.1:9/${oc.env:INNOCENT}'}"),
        "'INNOCENT' is not for a config file",
    ),
    "a key inside another interpolation": (
        recipe("endpoint: {model: '${oc.env:LM_STUDIO_CHAT_MODEL,${oc.env:OPENAI_API_KEY}}'}"),
        "holds a secret",
    ),
    "an interpolation out of text": (
        recipe("endpoint: {model: '${oc.decode:\"${oc.env:INNOCENT}\"}'}"),
        "'oc.decode' is no interpolation",
    ),
    "a resolver by another value": (recipe("endpoint: {model: '${${program.name}:x}'}"), "is no interpolation"),
    "an option by a key": (recipe("defaults:\n  - override /metric: ${oc.env:OPENAI_API_KEY}"), "<OPENAI_API_KEY>"),
}

ARGUMENTS: dict[str, Case] = {
    "another conf": (typed("-cp", "OUTSIDE"), "--config-path: a saved config is no conf/"),
    "another main config": (typed("--config-name=x"), "--config-name: "),
    "a pickle": (typed("--experimental-rerun", "OUTSIDE/x.pickle"), "--experimental-rerun: it loads a pickle"),
    "a pickle by the option's beginning": (typed("--exp=OUTSIDE/x.pickle"), "--experimental-rerun: it loads a pickle"),
    "an option that is none": (typed("--unheard-of"), "unrecognized arguments: --unheard-of"),
    "a search path": (typed("hydra.searchpath=[pkg://evil_package]"), "hydra.searchpath: is not used here"),
    "a callback that is typed": (typed(f"+hydra.callbacks.x={TOUCH}"), "hydra.callbacks: is not used here"),
    "a key that is typed": (typed("endpoint.model=${oc.env:OPENAI_API_KEY}"), "holds a secret"),
}

SAVED: dict[str, Case] = {
    "a Python object": (
        saved(text="endpoint: !!python/object/apply:os.system ['touch OUTSIDE/canary']"),
        "config.yaml cannot be read: could not determine a constructor",
    ),
    "a YAML bomb": (saved(text=BOMB), "references"),
    "a config that contains itself": (saved(text="endpoint: &a {name: *a}"), "references"),
    "a megabyte of config": (saved(("endpoint.model", "x" * 2_000_000)), "more than 1,000,000 bytes"),
    "thousands of brackets": (saved(text="endpoint: " + "[" * 5000), "config.yaml cannot be read"),
    "a number of thousands of digits": (saved(text="target_accuracy: " + "9" * 5000), "cannot be read"),
    "a day that is none": (saved(text="target_accuracy: 2026-99-99"), "cannot be read"),
    "a number that no key takes": (saved(("endpoint.seed", 10**40), ("dataset.seed", -(10**40))), "dataset.seed"),
    "an interpolation": (saved(("endpoint.base_url", "${oc.env:OPENAI_API_KEY}")), "would be sent there"),
    "a target in a table": (saved(("assertions.checks", {"x": yaml.safe_load(TOUCH)})), "_target_"),
    "a function of another module": (
        saved(("plugins", ["evil_package"]), ("assertions.checks", {"x": {"function": "evil_package.f"}})),
        "not a function of a module listed in plugins",
    ),
    "keys of Hydra's": (saved(("hydra", {"run": {"dir": "OUTSIDE"}})), "'hydra' is no key"),
    "an override for a key": (saved(text="'+hydra.a=1': 2"), "no key"),
    "an option elsewhere": (saved(("endpoint.name", "../../outside/x")), "../../outside/x"),
    "a dataset elsewhere": (saved(("dataset.name", "../../../outside")), "../../../outside"),
    "a NUL byte": (saved(("endpoint.model", "a\0b")), "no file and no server takes such characters"),
    "half a character": (saved(text='endpoint: {name: openai, model: "a\\ud800b"}'), "such characters"),
    "a key for somebody's server": (
        saved(("endpoint.base_url", "https://elsewhere.example/v1")),
        "endpoint.base_url: the saved run has https://elsewhere.example/v1",
    ),
    "somebody's judge with a key of another service": (
        saved(
            ("metric", {"name": "judge"}),
            (
                "judge",
                {"name": "openai", "api_key_env": "OPENAI_API_KEY", "base_url": "http://127.0.0.1.elsewhere.example"},
            ),
        ),
        "judge.base_url: the saved run has",
    ),
    "somebody's tracking server": (
        saved(("tracking", {"name": "server", "uri": "https://elsewhere.example"})),
        "tracking.uri: the saved run has https://elsewhere.example",
    ),
    "a store of records elsewhere": (
        saved(("tracking", {"name": "server", "uri": "sqlite:////OUTSIDE/x.db"})),
        "tracking.uri: the saved run has sqlite",
    ),
    "a key itself": (saved(("endpoint.api_key_env", "sk-abcdefgh")), "the name of an environment variable is wanted"),
}

REFERENCES: dict[str, Case] = {
    "the folder above": (typed("reproduce=OUTSIDE/../.."), "it has no config.yaml"),
    "a pattern for a fingerprint": (typed("reproduce=*"), "not a run folder"),
    "a path for a fingerprint": (typed("reproduce=../00000000"), "not a run folder"),
    "too long a fingerprint": (typed("reproduce=" + "0" * 65), "not a run folder"),
}

PROGRAMS: dict[str, Case] = {
    "a language model": (program(lm={"model": "openai/x", "api_base": "http://elsewhere.example"}), "program.lm"),
    "a language model of a class": (program(lm={"_type": "evil_package.LM"}), "program.lm"),
    "settings of a predictor": (program(config={"api_base": "http://elsewhere.example"}), "program.keys"),
    "a method": (program(forward="x", callbacks=["evil_package.x"]), "program.keys"),
    "a legacy key": (program(extended_signature={}), "program.keys"),
    "hundreds of megabytes": (
        left("program.json", json.dumps(PREDICTOR) + " " * 65_000_000, "evaluate"),
        "larger than 64 MB",
    ),
    "an instruction longer than any context": (
        program(signature={**SIGNATURE, "instructions": "x" * 300_000}),
        "signature.instructions",
    ),
    "a million programs": (
        left("program.json", json.dumps({"programs[1000000]": PREDICTOR}), "evaluate"),
        "more than 100 programs",
    ),
    "a picture in a demo": (
        program(demos=[{"question": '<<CUSTOM-TYPE-START-IDENTIFIER>>[{"type": "image_url"}]'}]),
        "CUSTOM-TYPE",
    ),
    "demos that are none": (program(demos=["x"]), "program.demos"),
    "a history that is none": (program(demos=[{"history": {"messages": [{"question": {}}]}}]), "program.demos"),
    "a number of neighbours below 1": (program(nearest={"demos": [], "k": -1}), "nearest"),
    "fields that are none": (program(signature={**SIGNATURE, "fields": [1]}), "signature.fields"),
    "a list for a program": (left("program.json", "[1]", "evaluate"), "no program's state"),
    "an empty program": (left("program.json", "{}", "evaluate"), "it is empty"),
    "brackets for a program": (left("program.json", "[" * 100_000, "evaluate"), "cannot be read"),
    "bytes for a program": (left("program.json", "\x00\x01", "evaluate"), "cannot be read"),
}

ARCHIVES: dict[str, Case] = {
    "predictions that are none": (left("predictions.jsonl", "[1]\n", "replay"), "no line of a run"),
    "predictions of another shape": (
        left("predictions.jsonl", '{"phase": {}, "id": 1}\n', "rerun"),
        "no line of a run",
    ),
    "predictions that are no JSON": (left("predictions.jsonl", "{\n", "evaluate"), "cannot be read"),
    "answers of another shape": (left("answers.jsonl", '{"from": 1}\n', "replay"), "no line of a run"),
    "a summary that is a list": (left("summary.json", "[]", "replay"), "summary.json cannot be read"),
    "a schema that is a text": (
        left("summary.json", '{"status": "finished", "schema": "9"}', "rerun"),
        "summary.json cannot be read",
    ),
}

CASES = RECIPES | ARGUMENTS | SAVED | REFERENCES | PROGRAMS | ARCHIVES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_refused_in_one_line_and_nothing_of_it_runs(
    project: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    make, said = case
    arguments = make(project)
    monkeypatch.chdir(project)
    code = started(monkeypatch, *arguments)
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, ""), shown
    (line,) = shown.err.splitlines()
    assert line.startswith("bibleqa: ")
    assert filled(said, project) in line
    assert SECRET not in line
    assert len(line) < 1000
    assert list(outside.iterdir()) == []
    assert not list(project.rglob("predictions.jsonl")) or "downloaded" in arguments[0]
    assert list(project.glob("outputs/*/*")) == []


@pytest.mark.parametrize("name", ["a callback", "a logging handler that is a function"])
def test_the_payload_would_run_where_nobody_checks(project: Path, outside: Path, name: str) -> None:
    arguments = RECIPES[name][0](project)
    unguarded = "import runpy; from bibleqa.config import guard; guard.check = lambda *_: None; "
    unguarded += "runpy.run_path('run.py', run_name='__main__')"
    subprocess.run(
        [sys.executable, "-c", unguarded, *arguments, "plan=true", "dataset=jsonl"],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": f"{HOME}{os.pathsep}{project}"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert [path.name for path in outside.iterdir()] == ["canary"]


HARMLESS = {
    "a launcher's processes": (["hydra.launcher.n_jobs=2"], {"hydra.launcher.n_jobs": 2}),
    "another launcher": (["hydra/launcher=ray", "hydra.launcher.address=auto"], {"hydra.launcher.num_cpus": 1.0}),
    "Hydra's own launcher": (["hydra/launcher=basic"], {}),
    "a louder log": (["hydra.job_logging.root.level=DEBUG"], {"hydra.job_logging.root.level": "DEBUG"}),
    "a log on the screen": (["hydra/job_logging=stdout"], {}),
    "Hydra's own logs": (["hydra/job_logging=default", "hydra/hydra_logging=default"], {}),
    "a place for the run": (["hydra.run.dir=/tmp/mine"], {"hydra.run.dir": "/tmp/mine"}),
    "a variable of one's own": (["dataset=jsonl", "dataset.train=${oc.env:INNOCENT}"], {}),
}


@pytest.mark.parametrize(("arguments", "kept"), HARMLESS.values(), ids=HARMLESS)
def test_what_a_user_says_himself_goes_on_working(
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    kept: dict[str, Any],
) -> None:
    assert started(monkeypatch, *arguments, "--cfg", "all") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert {key: guard.at(shown, key) for key in kept} == kept


@pytest.mark.parametrize("path", sorted((HOME / "conf" / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_this_project_passes(project: Path, path: Path) -> None:
    assert config.compose([f"experiment={path.stem}"])


def test_a_recipe_of_ones_own_in_a_folder_of_ones_own_works(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = recipe("defaults:\n  - override /optimizer: labeled\noptimizer: {k: 3}")(project)
    assert started(monkeypatch, *arguments, "--cfg", "job") == 0
    assert yaml.safe_load(capsys.readouterr().out)["optimizer"]["k"] == 3


def test_a_key_goes_to_somebodys_server_when_the_user_says_its_address(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reference,) = saved(("endpoint.base_url", "https://elsewhere.example/v1"))(project)
    assert reproduce.expand([reference, "endpoint.base_url=https://elsewhere.example/v1"])
    assert reproduce.expand([reference, "endpoint=embedded"])
    assert reproduce.expand([reference, "reproduce.mode=replay"])  # asks nobody
