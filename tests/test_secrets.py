"""A key is in nothing that is written or shown, whatever the server sends back and whatever goes wrong."""

import json
import logging
import os
import secrets as random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fake_openai
import pytest
from fake_openai import Asked, Fault, Verbatim
from project import Finished, Project, end
from test_experiment import know_all, project_at

from bibleqa import config, secrets
from bibleqa.errors import ConfigError

SECRET = f"sk-{random.token_urlsafe(24)}"
LONGEST = 120.0
CLI = "import sys; from bibleqa.cli import main; sys.exit(main())"


def echoing(status: int, **when: object) -> Fault:
    """An error of a server that says which key it was given."""
    message = f"Incorrect API key provided: {SECRET}. You sent: 'Authorization: Bearer {SECRET}'"
    return Fault(status, json.dumps({"error": {"message": message}}), **when)  # type: ignore[arg-type]


def talkative(asked: Asked) -> str:
    """A model that knows the answers, and once says the key instead."""
    return Verbatim(f"the key is {SECRET}") if "Son-test-4" in asked.question else know_all(asked)


def told(project: Project, *arguments: str) -> Finished:
    """How a `bibleqa` command ended."""
    command = [sys.executable, "-c", CLI, *arguments]
    environment = project.environment()
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, timeout=LONGEST)
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass
class Everything:
    """A project in which all went wrong that can, and how each command ended."""

    project: Project
    ended: dict[str, Finished]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with fake_openai.running(talkative) as server:
        project = project_at(tmp_path_factory.mktemp("secrets") / "project", server)
        project.variables = {}
        (project.root / ".env").write_text(f"OPENAI_API_KEY={SECRET}\n")
        server.key = SECRET
        loud = ("hydra.job_logging.root.level=DEBUG", "hydra.verbose=true", "endpoint.retries=0")
        bare = f"endpoint.base_url={server.base_url}"

        ended = {"a finished run": project.run(*loud, "tracking=local")}
        server.faults = [echoing(500, asked="Son-test-7")]
        failed = project.start(*loud, "tracking=local", "dataset.seed=1", "rerun=true")
        ended["a failed run"] = end(failed, within=LONGEST)
        sweep = project.start(*loud, "-m", "optimizer=none,labeled", "tracking=local", "rerun=true")
        ended["a failed sweep"] = end(sweep, within=LONGEST)
        ended["a failed log on the screen"] = project.run(*loud, "rerun=true", "hydra/job_logging=stdout")
        server.faults = [echoing(401)]
        ended["a refused key"] = project.run(*loud, "rerun=true", "dataset.seed=2")
        server.faults = [echoing(401, path=fake_openai.MODELS)]
        ended["no models for the key"] = project.run(*loud, "rerun=true")
        ended["doctor, the key refused"] = told(
            project, "doctor", "endpoint=openai", bare, f"endpoint.model={fake_openai.MODEL}"
        )
        server.faults = []
        ended["doctor"] = told(project, "doctor", "endpoint=openai", bare, f"endpoint.model={fake_openai.MODEL}")
        ended["a leaderboard"] = told(project, "leaderboard", "--html", "board.html")
        ended["a replay"] = project.run_bare(f"reproduce={project.folders[0].path}", "reproduce.mode=replay")
        yield Everything(project, ended)


@pytest.mark.slow
def test_what_was_to_go_wrong_went_wrong(everything: Everything) -> None:
    codes = {name: finished.code for name, finished in everything.ended.items()}
    assert codes == {
        "a finished run": 0,
        "a failed run": 1,
        "a failed sweep": 1,
        "a failed log on the screen": 1,
        "a refused key": 3,
        "no models for the key": 3,
        "doctor, the key refused": 3,
        "doctor": 0,
        "a leaderboard": 0,
        "a replay": 0,
    }, {name: finished.err for name, finished in everything.ended.items()}
    log = "".join(path.read_text() for path in everything.project.root.rglob("run.log"))
    assert "Traceback" in log
    assert "Incorrect API key provided: <OPENAI_API_KEY>" in log


@pytest.mark.slow
def test_the_key_is_in_no_file(everything: Everything) -> None:
    root = everything.project.root
    files = [path for path in root.rglob("*") if path.is_file() and path != root / ".env"]
    names = {path.name for path in files}
    assert {"run.log", "predictions.jsonl", "summary.json", "answers.jsonl", "mlflow.db", "overrides.yaml"} <= names
    assert {"sweep.json", "board.html", "cache.db", "screen.txt"} <= names
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_the_key_is_on_no_screen(everything: Everything) -> None:
    shown = {name: finished.out + finished.err for name, finished in everything.ended.items()}
    assert [name for name, text in shown.items() if SECRET in text] == []
    assert "<OPENAI_API_KEY>" in shown["a failed run"]


REFUSED = {
    "as a value of the endpoint": f"endpoint.api_key={SECRET}",
    "as a key of its own": f"+secret={SECRET}",
    "for the name of its variable": f"endpoint.api_key_env={SECRET}",
    "as a model": f"endpoint.model={SECRET}",
    "in an address": f"endpoint.base_url=http://me:{SECRET}@127.0.0.1/v1",
    "in an address without a password": f"endpoint.base_url=http://127.0.0.1/{SECRET}/v1",
    "for the jobs": f"+hydra.job.env_set.NOTHING={SECRET}",
    "in the name of the folder": f"hydra.run.dir=outputs/{SECRET}",
    "by its variable": "endpoint.model=${oc.env:OPENAI_API_KEY}",
    "as what was asked for before": f"reproduce={SECRET}",
}


@pytest.mark.parametrize("override", REFUSED.values(), ids=REFUSED)
def test_a_key_on_the_command_line_is_refused_and_forgotten(project: Path, override: str) -> None:
    finished = Project(project, "", {"OPENAI_API_KEY": SECRET}).run_bare("endpoint=openai", override)
    assert finished.code == 2
    assert SECRET not in finished.complaint
    assert [path for path in project.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("key", ["sk-abc-DEF", "abcdef0123456789abcdef0123456789", "Bearer x"])
def test_an_unknown_key_for_the_name_of_its_variable_is_refused(project: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="never the key itself") as caught:
        config.compose(["endpoint=openai", f"endpoint.api_key_env='{key}'"])
    assert key not in str(caught.value)


def test_a_key_that_the_environment_brings_under_another_name_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("LM_STUDIO_CHAT_MODEL", SECRET)
    with pytest.raises(ConfigError, match="the secret of OPENAI_API_KEY stands in the config") as caught:
        config.compose(["endpoint=lm_studio"])
    assert SECRET not in str(caught.value)


def test_a_variable_that_a_config_names_is_a_secret(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDLY_CALLED", SECRET)
    monkeypatch.setattr(secrets, "_named", set())
    assert SECRET in secrets.redacted(SECRET)
    config.compose(["endpoint=openai", "endpoint.api_key_env=ODDLY_CALLED"])
    assert secrets.redacted(f"x {SECRET} y") == "x <ODDLY_CALLED> y"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("GITHUB_TOKEN", True),
        ("MLFLOW_TRACKING_PASSWORD", True),
        ("my_apikey", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("PIP_KEYRING_PROVIDER", False),
        ("HOME", False),
    ],
)
def test_secrets_are_known_by_the_names_of_their_variables(name: str, secret: bool) -> None:
    assert secrets.looks_secret(name) == secret


def test_a_key_is_found_as_json_writes_it_and_a_short_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"A_KEY": 'quo"ted\\key', "B_KEY": "short", "C_KEY": 'quo"ted\\key-longer'})
    assert secrets.redacted(json.dumps({"a": os.environ["A_KEY"]})) == '{"a": "<A_KEY>"}'
    assert secrets.redacted('a short text, quo"ted\\key-longer') == "a short text, <C_KEY>"


def test_a_password_in_an_address_is_no_text_to_show() -> None:
    assert secrets.redacted("at https://me:secret@host/x.") == "at https://<password>@host/x."
    assert secrets.redacted("at https://host:80/x, me@host") == "at https://host:80/x, me@host"


def test_no_log_has_a_key_not_even_in_a_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    logger, handler = logging.getLogger("test_secrets"), logging.FileHandler(tmp_path / "log")
    logger.addHandler(handler)
    secrets.keep_out_of_logs()
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("with %s", SECRET)
    finally:
        logger.removeHandler(handler)
        handler.close()
    written = (tmp_path / "log").read_text()
    assert "ValueError: <OPENAI_API_KEY>" in written
    assert SECRET not in written
