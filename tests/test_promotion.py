"""A run's program becomes the one that is served, and the one before it again."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import fake_openai
import httpx
import mlflow
import pytest
import yaml
from fake_openai import Server
from project import HOME, Folder, Project, end
from test_experiment import SECRET, know_all, project_at, shows_demos

from bibleqa import adapters, cli, promotion, tracking
from bibleqa import program as programs
from bibleqa.errors import ConfigError
from bibleqa.lm import endpoints
from bibleqa.promotion import registry
from bibleqa.serve import loading


@dataclass
class Made:
    """A project with two runs, and the server that they asked."""

    project: Project
    server: Server

    def run(self, optimizer: str) -> Folder:
        configs = {folder.path: (folder.path / "config.yaml").read_text() for folder in self.project.folders}
        (path,) = [path for path, text in configs.items() if yaml.safe_load(text)["optimizer"]["name"] == optimizer]
        return Folder(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with fake_openai.running(know_all) as server:
        server.key = SECRET
        project = project_at(tmp_path_factory.mktemp("made") / "project", server)
        begun = [project.start(f"optimizer={name}", "tracking=local") for name in ("labeled", "none")]
        for process in begun:
            finished = end(process)
            assert finished.code == 0, finished.err
        yield Made(project, server)


@pytest.fixture
def at(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The same in a folder of its own, for this process."""
    root = tmp_path / "project"
    shutil.copytree(made.project.root, root, ignore=shutil.ignore_patterns("models"))
    monkeypatch.setenv("BIBLEQA_PROJECT", str(root))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Made(Project(root, made.project.base_url, made.project.variables), made.server)


def ask(path: Path) -> tuple[str, bool]:
    """What the program of a folder answers, and whether it was asked with demos."""
    settings = promotion.config_of(path)
    lm = endpoints.connect(settings.endpoint, cache=False)
    program = programs.of_run(programs.build(settings.program), path, lm)
    with dspy.context(lm=lm, adapter=adapters.build(settings.adapter)):
        said = program(context="", question="Who begat Son-val-0?", history=dspy.History(messages=[]))
    return said.answer, bool(program.predictors()[0].demos)


def test_a_promoted_program_serves_as_it_was_measured_and_the_one_before_comes_back(at: Made) -> None:
    assert promotion.current() is None
    assert promotion.models() == []
    first = promotion.promote(str(at.run("none").path))
    second = promotion.promote(at.run("labeled").summary["fingerprint"][:12], "best")
    assert (first.name[:13], second.name) == ("predict-none-", "best")
    assert promotion.current() == second
    assert ask(second) == ("Father-val-0", True)
    assert {(model.path.name, model.served) for model in promotion.models()} == {(first.name, False), ("best", True)}
    assert promotion.rollback() == first == promotion.current()
    assert ask(first) == ("Nobody", False)
    with pytest.raises(ConfigError, match="nothing to return to"):
        promotion.rollback()
    assert promotion.promote("best") == second == promotion.current()


def test_the_card_says_what_the_program_is_and_how_it_scored(at: Made) -> None:
    run = at.run("labeled")
    path = promotion.promote(str(run.path))
    card = json.loads((path / "card.json").read_text())
    assert card["score"]["score"] == run.summary["optimized"]["score"]
    assert card["run"]["fingerprint"] == run.summary["fingerprint"]
    page = (path / "card.md").read_text()
    for text in (run.summary["dataset_digest"], "fake-model", "labeled", "Who begat Son-train-0?", "| even |"):
        assert text in page
    assert "as briefly as possible" in page
    assert SECRET not in page


def test_what_a_person_has_to_know_is_said(at: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", str(at.run("none").path)]) == 0
    assert "note: its program is the unoptimized one" in capsys.readouterr().out
    (remark,) = loading.choose(None).card["remarks"]
    assert remark.startswith("its program is the unoptimized one")
    assert cli.main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "predict-none-" in shown
    assert "yes" in shown


def test_nothing_promoted_is_said(at: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    assert "the unoptimized one is served" in capsys.readouterr().out
    assert cli.main(["rollback"]) == 2


def test_promoting_twice_changes_nothing(at: Made) -> None:
    run = str(at.run("labeled").path)
    path = promotion.promote(run)
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in at.project.root.glob("models/[!.]*/*")}
    assert promotion.promote(run) == path
    after = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in at.project.root.glob("models/[!.]*/*")}
    assert after == before


def test_several_at_once_all_stand_whole(at: Made) -> None:
    runs = [str(at.run(name).path) for name in ("labeled", "none") * 2]
    code = "import sys; from bibleqa import promotion; promotion.promote(sys.argv[1])"
    environment = {**at.project.environment(), "PYTHONPATH": str(HOME)}
    begun = [subprocess.Popen([sys.executable, "-c", code, run], env=environment, cwd=HOME) for run in runs]
    assert [process.wait(timeout=120) for process in begun] == [0] * 4
    assert [model.problem for model in promotion.models()] == [None, None]
    assert promotion.current() in [model.path for model in promotion.models()]


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "champion.json", "a" * 81, "x\n"])
def test_a_name_is_no_path(at: Made, name: str) -> None:
    with pytest.raises(ConfigError, match="--name"):
        promotion.promote(str(at.run("none").path), name)
    assert promotion.current() is None


def test_a_name_holds_one_program(at: Made) -> None:
    promotion.promote(str(at.run("none").path), "one")
    with pytest.raises(ConfigError, match="holds another program"):
        promotion.promote(str(at.run("labeled").path), "one")
    current = promotion.current()
    assert current is not None
    assert ask(current) == ("Nobody", False)


def test_a_run_that_did_not_finish_is_not_served(at: Made) -> None:
    run = at.run("labeled")
    summary = run.summary
    (run.path / "summary.json").write_text(json.dumps({**summary, "status": "failed", "failure": "no power"}))
    with pytest.raises(ConfigError, match=r"did not finish \(no power\)"):
        promotion.promote(str(run.path))
    (run.path / "summary.json").unlink()
    with pytest.raises(ConfigError, match="has not ended"):
        promotion.promote(str(run.path))
    assert list(at.project.root.glob("models/[a-z]*")) == []


def test_an_optimizer_that_failed_inside_is_served_knowingly(at: Made) -> None:
    run = at.run("labeled")
    failed = {**run.summary, "status": "failed", "optimizer_errors": ["a step broke"]}
    (run.path / "summary.json").write_text(json.dumps(failed))
    with pytest.raises(ConfigError, match=r"a step broke.*--anyway"):
        promotion.promote(str(run.path))
    path = promotion.promote(str(run.path), anyway=True)
    assert "its optimizer failed inside: a step broke" in (path / "card.md").read_text()


def test_a_key_goes_to_no_address_that_a_run_brings_along(at: Made) -> None:
    run = at.run("labeled")
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(config.replace(at.server.base_url, "http://elsewhere.example/v1"))
    with pytest.raises(ConfigError, match=r"the key in OPENAI_API_KEY would be sent there"):
        promotion.promote(str(run.path))
    path = promotion.promote(str(run.path), "said", ["endpoint.base_url=http://elsewhere.example/v1"])
    assert promotion.config_of(path).endpoint.base_url == "http://elsewhere.example/v1"
    with pytest.raises(ConfigError, match="served as it was measured"):
        promotion.promote(str(run.path), "other", ["endpoint.temperature=1"])


def test_a_file_that_was_changed_is_not_served(at: Made) -> None:
    first = promotion.promote(str(at.run("none").path))
    second = promotion.promote(str(at.run("labeled").path))
    with (second / "program.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ConfigError, match=r"program\.json: is not the file that was promoted"):
        promotion.current()
    assert {model.problem is None: model.path for model in promotion.models()} == {True: first, False: second}
    assert promotion.rollback() == first


def test_a_champion_file_of_somebody_elses_leads_nowhere(at: Made) -> None:
    promotion.promote(str(at.run("none").path))
    told = {"schema": 1, "served": "../../x", "history": ["../../x"]}
    (at.project.root / "models" / "champion.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"champion\.json: cannot be read"):
        promotion.current()


def promoted(project: Project, *arguments: str) -> str:
    """What `bibleqa promote` says, in a process of its own."""
    done = end(project.bibleqa(*arguments), within=120)
    assert (done.code, done.err) == (0, ""), done.out + done.err
    return done.out


@pytest.mark.slow
def test_mlflow_has_the_program_that_is_served_as_champion_and_serves_it(made: Made) -> None:
    none, labeled = (str(made.run(name).path) for name in ("none", "labeled"))
    assert "@champion is version 1" in promoted(made.project, "promote", none, "--name", "plain")
    assert "@champion is version 2" in promoted(made.project, "promote", labeled)
    assert "@champion is version 1" in promoted(made.project, "rollback")
    assert "@champion is version 2" in promoted(made.project, "promote", labeled)
    store = f"sqlite:///{made.project.root / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=store)
    assert len(client.search_model_versions("name = 'bibleqa'")) == 2
    assert list(made.project.root.glob("mlruns/**/*.pkl")) == []
    with serving(made.project, store) as answered:
        context = "[Genesis 50:2] And Father-test-1 begat Son-test-1."
        history = [{"question": "Who was first?", "answer": "Adam"}]
        rows = [{"question": "Who begat Son-val-0?"}, {"question": "Who begat Son-test-1?", "context": context}]
        said = answered({"dataframe_records": rows})
        assert said == {"predictions": [{"answer": "Father-val-0"}, {"answer": "Father-test-1"}]}
        follow_up = {"question": "Who begat Son-test-2?", "history": history}
        assert answered({"dataframe_records": [follow_up]}) == {"predictions": [{"answer": "Father-test-2"}]}
        asked = [request.asked for request in made.server.chats[-3:]]
        assert all(shows_demos(one) for one in asked)
        assert "[Genesis 50:2]" in asked[1].text
        assert "Who was first?" in str(asked[2].body["messages"])
        # A row without a history, beside one that has one, comes with NaN in its place.
        said = answered({"dataframe_records": [follow_up, rows[0]]})
        assert said == {"predictions": [{"answer": "Father-test-2"}, {"answer": "Father-val-0"}]}


@pytest.mark.slow
def test_mlflow_serves_an_embedded_model(made: Made) -> None:
    project = Project(made.project.root.with_name("tiny"), made.server.base_url)
    shutil.copytree(made.project.root, project.root, ignore=shutil.ignore_patterns("models", "outputs", "ml*"))
    files = [f"dataset.{split}={split}.jsonl" for split in ("train", "val", "test")]
    tiny = ["endpoint=embedded_tiny", "optimizer=none", "dataset=jsonl", *files, "dataset.max_test=2"]
    finished = end(project.start_bare(*tiny, "dataset.max_val=2", "tracking=local"))
    assert finished.code == 0, finished.err
    promoted(project, "promote", str(project.last.path))
    with serving(project, f"sqlite:///{project.root / 'mlflow.db'}") as answered:
        said = answered({"dataframe_records": [{"question": "Who wept?", "context": "John 11:35"}]})
    assert said["predictions"][0]["answer"]


@contextmanager
def serving(project: Project, store: str) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """`mlflow models serve` of the champion; gives what posts a request to it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    serve = ["models", "serve", "-m", "models:/bibleqa@champion", "--env-manager", "local", "--port", str(port)]
    log = project.root / "serve.txt"
    on_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn, which it starts
    environment = {**project.environment(), "PYTHONPATH": str(HOME), "MLFLOW_TRACKING_URI": store, "PATH": on_path}
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *serve],
            cwd=project.root,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,  # it has a child that listens
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                    break
            time.sleep(0.2)

        def answered(body: dict[str, Any]) -> Any:
            reply = httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
            assert reply.status_code == 200, reply.text + log.read_text()
            return reply.json()

        yield answered
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_tracker_that_is_down_undoes_nothing(
    at: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(*_: object) -> None:
        raise tracking.TrackerDown("MLflow is away")

    monkeypatch.setattr(registry, "register", down)
    assert cli.main(["promote", str(at.run("labeled").path), "--name", "kept"]) == 0
    assert capsys.readouterr().err == (
        "bibleqa: MLflow is away. It is served all the same; register it later: bibleqa promote kept\n"
    )
    assert promotion.current() == at.project.root / "models" / "kept"


def test_tuned_weights_are_kept_with_the_program_and_only_those_of_the_run(at: Made) -> None:
    run = at.run("labeled").path
    weights = b"GGUF and so on"
    digest = hashlib.sha256(weights).hexdigest()
    (run / "adapter.gguf").write_bytes(weights)
    (run / "adapter.json").write_text(json.dumps({"sha256": digest, "base_model": "qwen"}))
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "weights": digest}))
    path = promotion.promote(str(run))
    assert (path / "adapter.gguf").read_bytes() == weights
    assert f"tuned, sha256 {digest}" in (path / "card.md").read_text()
    (run / "adapter.gguf").write_bytes(b"other weights")
    with pytest.raises(ConfigError, match="damaged, or not the one that the run has tuned"):
        promotion.promote(str(run), "other")


def test_a_run_is_known_by_its_mlflow_id_too(at: Made) -> None:
    run = at.run("labeled")
    path = promotion.promote(run.summary["run_id"])
    assert promotion.promote(str(run.path)) == path


def test_what_a_killed_promotion_has_left_is_in_nobodys_way(at: Made) -> None:
    left = at.project.root / "models" / ".best.draft"
    left.mkdir(parents=True)
    (left / "program.json").write_text("{")
    assert promotion.models() == []
    path = promotion.promote(str(at.run("labeled").path), "best")
    assert not left.exists()
    assert promotion.current() == path
