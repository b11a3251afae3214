"""Whole runs as a user starts them, against a scripted server: what they leave, and how they end and go on."""

import json
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import fake_openai
import pytest
import yaml
from dummies import ECHO, reader
from fake_openai import CHAT, MODEL, MODELS, Asked, Server, Verbatim, garbage, hang, html, reset, slow, status
from project import Finished, Folder, Project, end, stop_when

from bibleqa import adapters, cli

SECRET = "sk-marked-0123456789-never-to-be-seen"
TEST, TRAIN, VAL = 12, 4, 2
ASKED_MODEL = reader(lambda asked: "", f"bibleqa-openai/{MODEL}")
"""Stands for the endpoint's, by whose name a program's digest goes."""


def row(split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{split}{number}",
        "context": f"[Genesis 5:{number + 1}] And Father-{split}-{number} begat Son-{split}-{number}.",
        "question": f"Who begat Son-{split}-{number}?",
        "answer": f"Father-{split}-{number}",
        "history": [{"question": "Who was first?", "answer": "Adam"}] if number == 3 else [],
        "metadata": {"type": "odd" if number % 2 else "even", "reference": f"Genesis 5:{number + 1}"},
    }


def son(asked: Asked) -> str | None:
    """Of the question, as `test-3`."""
    found = re.search(r"Who begat Son-(\w+-\d+)\?", asked.question)
    return found[1] if found else None


def learner(asked: Asked) -> str:
    """A model that needs demos or feedback to answer well, and has its weak spots."""
    match son(asked):
        case "test-0":
            return "Nobody"
        case "test-1":
            return Verbatim(ECHO)
        case "test-2" | "train-0" if "## feedback ##" not in asked.text:
            return "Nobody"
        case str(name) if "val" in name and not shows_demos(asked):
            return "Nobody"
        case str(name) if "train" in name or shows_demos(asked) or "## feedback ##" in asked.text:
            return f"Father-{name}"
    return "Nobody"


def shows_demos(asked: Asked) -> bool:
    return any("Son-train" in str(message["content"]) for message in asked.body["messages"][:-1])


def know_all(asked: Asked) -> str:
    """A model that knows every answer, but those of val with demos only: there the optimizer's program is better."""
    name = son(asked) or ""
    return "Nobody" if "val" in name and not shows_demos(asked) else f"Father-{name}"


def project_at(root: Path, server: Server) -> Project:
    root.mkdir(exist_ok=True)
    project = Project(root, server.base_url, {"OPENAI_API_KEY": SECRET})
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        project.write(split, [row(split, number) for number in range(count)])
    return project


@pytest.fixture
def server() -> Iterator[Server]:
    """One that knows every answer, given demos."""
    with fake_openai.running(know_all) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return project_at(tmp_path / "project", server)


# A finished run, and one with assertions that was started at the same time.


@dataclass
class Done:
    """A project in which two runs have finished."""

    project: Project
    server: Server
    plain: Finished
    checked: Finished
    asked: list[Asked]
    """By both."""

    def folder(self, assertions: str) -> Folder:
        for folder in self.project.folders[:2]:
            if yaml.safe_load((folder.path / "config.yaml").read_text())["assertions"]["name"] == assertions:
                return folder
        raise AssertionError(f"no run with assertions={assertions}")

    @property
    def run(self) -> Folder:
        return self.folder("none")

    @property
    def with_checks(self) -> Folder:
        return self.folder("grounded")


PLAIN = ("tracking=local",)
CHECKED = ("tracking=local", "assertions=grounded", "program=chain_of_thought", "adapter=json")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """Two runs, begun at once in a fresh project, with MLflow on SQLite."""
    with fake_openai.running(learner) as server:
        server.key = SECRET
        project = project_at(tmp_path_factory.mktemp("done") / "project", server)
        begun = [project.start(*PLAIN), project.start(*CHECKED)]
        plain, checked = [end(process) for process in begun]
        asked = [request.asked for request in server.chats]
        yield Done(project, server, plain, checked, asked)


def test_two_runs_at_once_on_a_fresh_project_both_finish(done: Done) -> None:
    for finished in (done.plain, done.checked):
        assert finished.code == 0, finished.err
        assert finished.err == ""
    assert {done.run.summary["status"], done.with_checks.summary["status"]} == {"finished"}
    assert done.run.summary["run_id"] != done.with_checks.summary["run_id"]


PHASE = {"score": float, "n": int, "errors": int, "unreadable": int, "ci95": [float, float], "by_type": dict}
PHASE |= {"salvaged": dict.fromkeys(("json", "headers", "plain"), int)}
PHASE |= {"ended": dict.fromkeys(("length", "refused", "empty"), int)}
SUMMARY: dict[str, Any] = {
    "schema": int,
    "status": str,
    "run_id": str,
    "fingerprint": str,
    "dataset_digest": str,
    "program_digest": str,
    "baseline": PHASE,
    "optimized": PHASE,
    "improvement": {"value": float, "ci95": [float, float]},
    "target": {"score": float, "reached": bool},
    "val": {"baseline": float, "optimized": float},
    "assertions": dict,
    "attempts": {phase: {"mean": float, "extra_calls": int} for phase in ("baseline", "optimized")},
    "unchanged": bool,
    "lm": dict.fromkeys(("calls", "cached_calls", "input_tokens", "output_tokens"), int),
    "seconds": dict.fromkeys(("load", "baseline", "optimize", "evaluate", "record", "total"), float),
    "optimizer_errors": [],
    "versions": dict,
}


def misfits(value: Any, shape: Any, where: str = "summary") -> Iterator[str]:
    """Where a value has not the shape: a type, or a list or dict of shapes; a dict may have more."""
    if isinstance(shape, type):
        if type(value) is not shape:
            yield f"{where} is {value!r}"
    elif isinstance(shape, list):
        if not isinstance(value, list) or len(value) != len(shape):
            yield f"{where} is {value!r}"
        else:
            for number, (item, expected) in enumerate(zip(value, shape, strict=True)):
                yield from misfits(item, expected, f"{where}.{number}")
    else:
        for key, expected in shape.items():
            if key in value:
                yield from misfits(value[key], expected, f"{where}.{key}")
            else:
                yield f"{where}.{key} is missing"


def test_the_summary_has_every_field_of_the_contract(done: Done) -> None:
    summary = done.run.summary

    assert list(misfits(summary, SUMMARY)) == []
    assert summary["schema"] == 1
    assert summary["weights"] is None
    assert summary["unchanged"] is False
    assert summary["val"] == {"baseline": 0.0, "optimized": 1.0}
    assert re.fullmatch("[0-9a-f]{64}", summary["fingerprint"])
    for phase in ("baseline", "optimized"):
        low, high = summary[phase]["ci95"]
        assert 0 <= low <= summary[phase]["score"] <= high <= 1
    for rates in done.with_checks.summary["assertions"].values():
        assert list(misfits(rates, {"pass_rate_first": float, "pass_rate_final": float})) == []


def test_the_scores_are_those_that_the_script_deserves(done: Done) -> None:
    summary = done.run.summary

    assert summary["baseline"]["score"] == 0
    assert summary["optimized"]["score"] == pytest.approx((TEST - 3) / TEST)
    assert summary["target"] == {"score": 0.95, "reached": False}
    assert summary["lm"]["cached_calls"] == 0
    assert summary["lm"]["calls"] + done.with_checks.summary["lm"]["calls"] == sum(bool(a.fields) for a in done.asked)


@pytest.mark.parametrize("assertions", ["none", "grounded"])
def test_the_scores_follow_from_the_predictions_alone(done: Done, assertions: str) -> None:
    folder = done.folder(assertions)
    summary = folder.summary
    scores = {}
    for phase in ("baseline", "optimized"):
        predictions = folder.of(phase)
        assert sorted(p["id"] for p in predictions) == sorted(f"test{number}" for number in range(TEST))
        scores[phase] = {p["id"]: p["score"] for p in predictions if p["error"] is None}
        said = summary[phase]
        assert said["score"] == pytest.approx(fmean(scores[phase].values()))
        assert said["n"] == len(scores[phase])
        assert said["errors"] == 0
        assert said["unreadable"] == sum(p["unreadable"] for p in predictions) == 1
        for name, part in said["by_type"].items():
            of_type = [p["score"] for p in predictions if p["type"] == name]
            assert part == {"score": pytest.approx(fmean(of_type)), "n": len(of_type)}
    differences = [scores["optimized"][name] - scores["baseline"][name] for name in scores["baseline"]]
    assert summary["improvement"]["value"] == pytest.approx(fmean(differences))
    assert summary["improvement"]["ci95"][0] <= fmean(differences) <= summary["improvement"]["ci95"][1]


def test_an_unreadable_answer_scores_nothing_is_no_error_and_is_kept_as_it_came(done: Done) -> None:
    unreadable = [prediction for prediction in done.run.predictions if prediction["unreadable"]]

    assert [(p["id"], p["phase"]) for p in unreadable] == [("test1", "baseline"), ("test1", "optimized")]
    for prediction in unreadable:
        assert prediction["score"] == 0
        assert prediction["prediction"] is None
        assert prediction["error"] is None
        assert prediction["raw"] == ECHO


def test_the_screen_says_what_the_summary_says(done: Done) -> None:
    summary, out = done.run.summary, done.plain.out

    for phase in ("baseline", "optimized"):
        said = summary[phase]
        low, high = said["ci95"]
        cells = [phase, f"{said['score']:.1%}", f"{low:.1%} to {high:.1%}"]
        cells += [str(said[key]) for key in ("n", "unreadable", "errors")]
        assert re.search(r"\s*│\s*".join(map(re.escape, cells)), out), out
    assert re.search(rf"difference\s*│\s*{re.escape(format(summary['improvement']['value'], '+.1%'))}", out)
    assert "target 95%: not reached" in out
    assert f"{summary['lm']['calls']} LM calls (0 from the cache), {summary['lm']['input_tokens']:,} tokens in" in out
    assert f"run folder    {done.run.path.relative_to(done.project.root)}\n" in out
    assert summary["run_id"] in out
    assert "reproduce=" in out
    assert f"bibleqa promote {done.run.path.relative_to(done.project.root)}" in out
    assert "Who begat Son-test-0?" in out, "a sample of wrong answers"


def test_the_plan_bounds_what_is_asked(done: Done) -> None:
    planned = re.search(r"about (\d+) LM calls", done.plain.out)

    assert planned
    unreadable_twice = 2  # DSPy asks for JSON where it cannot read the first answer
    assert done.run.summary["lm"]["calls"] <= int(planned[1]) + unreadable_twice


def test_the_folder_has_the_configs_and_the_candidates(done: Done) -> None:
    path = done.run.path

    assert {file.name for file in (path / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["endpoint"]["model"] == MODEL
    assert config["endpoint"]["api_key_env"] == "OPENAI_API_KEY"
    assert "${" not in (path / "config.yaml").read_text()
    baseline, bootstrap = done.run.json("candidates.json")
    assert (baseline["name"], baseline["val"]) == ("baseline", 0.0)
    assert (bootstrap["name"], bootstrap["score"], bootstrap["val"]) == ("bootstrap", None, 1.0)
    assert (path / "candidates.png").read_bytes().startswith(b"\x89PNG")
    assert done.run.json("program.json")["bibleqa"] == {
        "program": "predict",
        "adapter": "chat",
        "endpoint": "openai",
        "dataset_digest": done.run.summary["dataset_digest"],
    }


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, (dict, list)):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_mlflow_has_what_the_folder_has(done: Done) -> None:
    from mlflow import MlflowClient

    summary = done.run.summary
    client = MlflowClient(f"sqlite:///{done.project.root}/mlflow.db")
    run = client.get_run(summary["run_id"])

    config = yaml.safe_load((done.run.path / "config.yaml").read_text())
    assert run.data.params == {key: str(value) for key, value in leaves(config)}
    numbers = {key: float(value) for key, value in leaves(summary) if isinstance(value, (int, float))}
    assert {key: value for key, value in run.data.metrics.items() if not key.startswith("candidate_")} == numbers
    tried = [candidate["val"] for candidate in done.run.json("candidates.json")]
    history = client.get_metric_history(summary["run_id"], "candidate_val")
    assert [(metric.step, metric.value) for metric in history] == list(enumerate(tried))
    assert numbers["optimized.score"] == summary["optimized"]["score"]
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert tags["fingerprint"] == summary["fingerprint"]
    assert tags["dataset_digest"] == summary["dataset_digest"]
    assert {key: tags[f"git.{key}"] for key in summary["git"]} == summary["git"]
    assert run.info.status == "FINISHED"
    assert run.inputs
    inputs = {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}
    rows = {split: json.loads(dataset.profile or "")["num_rows"] for split, dataset in inputs.items()}
    assert rows == {"train": TRAIN, "val": VAL, "test": TEST}
    assert all(summary["dataset_digest"].startswith(dataset.digest) for dataset in inputs.values())
    place = Path(client.download_artifacts(summary["run_id"], "", str(done.project.root.parent)))
    ours = {p.relative_to(done.run.path): p.read_bytes() for p in done.run.path.rglob("*") if p.is_file()}
    kept = {p.relative_to(place): p.read_bytes() for p in place.rglob("*") if p.relative_to(place) in ours}
    assert kept.keys() == ours.keys()
    del kept[Path("run.log")], ours[Path("run.log")]  # it may go on after the upload
    assert kept == ours


def asked_in(done: Done, adapter: str) -> list[list[dict[str, Any]]]:
    """The messages that the optimized program's questions were sent in."""
    markup = "json" if adapter == "json" else "chat"
    return [
        a.body["messages"]
        for a in done.asked
        if (son(a) or "").startswith("test") and shows_demos(a) and a.markup == markup and "## feedback" not in a.text
    ]


def test_the_saved_program_asks_the_same_again_when_built_from_the_config(done: Done) -> None:
    from bibleqa import assertions, config, reproduce
    from bibleqa import program as programs
    from bibleqa.data.item import Item

    for folder, adapter_name in ((done.run, "chat"), (done.with_checks, "json")):
        saved = config.compose(reproduce.expand([f"reproduce={folder.path}"]))
        assert saved.adapter.name == adapter_name
        program = assertions.enforce(programs.build(saved.program), saved.assertions)
        program = programs.load(program, folder.path / "program.json")
        program.set_lm(ASKED_MODEL)
        assert programs.digest(program) == folder.summary["program_digest"]
        adapter = adapters.build(saved.adapter)
        (predictor,) = program.predictors()
        assert predictor.demos
        sent = asked_in(done, adapter_name)
        for number in range(TEST):
            inputs = dict(programs.example(Item.from_json(json.dumps(row("test", number)))).inputs())
            assert adapter.format(predictor.signature, predictor.demos, inputs) in sent


def test_the_saved_program_loads_into_plain_dspy(done: Done) -> None:
    import dspy

    from bibleqa import program as programs

    program = dspy.Predict(programs.BibleQA)
    program.load(str(done.run.path / "program.json"))
    program.set_lm(ASKED_MODEL)

    assert programs.digest(program) == done.run.summary["program_digest"]
    assert {demo["answer"] for demo in program.demos} >= {f"Father-train-{number}" for number in range(1, TRAIN)}


def test_checks_are_enforced_counted_and_told(done: Done) -> None:
    folder = done.with_checks
    by_id = {(p["phase"], p["id"]): p for p in folder.predictions}

    never = by_id["optimized", "test0"]
    assert (never["attempts"], never["checks_first"], never["checks"]) == (3, {"grounded": False}, {"grounded": False})
    second = by_id["optimized", "test2"]
    assert (second["attempts"], second["checks_first"], second["checks"]) == (
        2,
        {"grounded": False},
        {"grounded": True},
    )
    assert second["score"] == 1
    first = by_id["optimized", "test4"]
    assert (first["attempts"], first["checks"]) == (1, {"grounded": True})
    assert by_id["baseline", "test4"]["attempts"] == 2
    read = TEST - 1
    rates = folder.summary["assertions"]["grounded"]
    assert rates["pass_rate_first"] == pytest.approx((read - 2) / read)
    assert rates["pass_rate_final"] == pytest.approx((read - 1) / read)
    assert (
        f"passed {rates['pass_rate_first']:.0%} at first, {rates['pass_rate_final']:.0%} in the end" in done.checked.out
    )


def test_bootstrapping_finds_demos_beneath_checks(done: Done) -> None:
    (predictor,) = [state for state in done.with_checks.json("program.json").values() if "demos" in state]
    bootstrapped = [demo for demo in predictor["demos"] if demo.get("augmented")]

    # The first question's answer came with feedback; the demo shows the answer, not the feedback.
    assert {demo["answer"] for demo in bootstrapped} == {f"Father-train-{number}" for number in range(TRAIN)}
    assert all("feedback" not in demo for demo in bootstrapped)
    assert all(demo["reasoning"] for demo in bootstrapped)


def test_the_same_command_again_spends_nothing(done: Done) -> None:
    before, folders = len(done.server.requests), done.project.folders

    again = done.project.run(*PLAIN)

    assert again.code == 0
    assert "made before" in again.out
    assert "optimized" in again.out
    assert done.run.summary["run_id"] in again.out
    assert len(done.server.requests) == before
    assert done.project.folders == folders


def test_rerun_asks_again_and_gets_the_same_answers(done: Done) -> None:
    before = len(done.server.chats)

    again = done.project.run("rerun=true")

    assert again.code == 0, again.err
    assert done.project.last.answers() == done.run.answers()
    assert done.project.last.summary["lm"]["calls"] == done.run.summary["lm"]["calls"]
    assert done.project.last.summary["lm"]["cached_calls"] == 0
    assert len(done.server.chats) - before == done.run.summary["lm"]["calls"] + 1
    assert done.project.last.summary["fingerprint"] == done.run.summary["fingerprint"]


def test_reproducing_a_run_gives_its_predictions(done: Done) -> None:
    source = done.with_checks

    again = done.project.run(f"reproduce={source.path}")

    assert again.code == 0, again.err
    copy = done.project.last
    assert copy.answers() == source.answers()
    assert copy.summary["reproduced_from"] == str(source.path)
    assert copy.summary["fingerprint"] == source.summary["fingerprint"]
    from mlflow import MlflowClient

    run = MlflowClient(f"sqlite:///{done.project.root}/mlflow.db").get_run(copy.summary["run_id"])
    assert run.data.tags["reproduced_from"] == str(source.path)


def test_the_key_is_nowhere(done: Done) -> None:
    assert any(request.headers["authorization"] == f"Bearer {SECRET}" for request in done.server.chats)
    for finished in (done.plain, done.checked):
        assert SECRET not in finished.out + finished.err
    files = [path for path in done.project.root.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


# What stops a run before it begins.


def refused(project: Project, *overrides: str, code: int = 3) -> str:
    """What a run says that is refused before it begins: one line, and nothing is left of it."""
    finished = project.run(*overrides)
    assert finished.code == code, finished.err
    assert project.folders == []
    assert SECRET not in finished.out + finished.err
    return finished.complaint


def test_an_endpoint_that_is_down(project: Project) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

    complaint = refused(project, f"endpoint.base_url={address}")

    assert address in complaint
    assert "start" in complaint


@pytest.mark.parametrize("path", [MODELS, CHAT])
def test_a_key_that_is_refused(project: Project, server: Server, path: str) -> None:
    server.faults = [status(401, path=path)]

    assert "OPENAI_API_KEY" in refused(project)
    assert server.questions == []


def test_a_key_that_is_not_there(project: Project, server: Server) -> None:
    project.variables = {}

    assert "OPENAI_API_KEY" in refused(project)
    assert server.requests == []


def test_a_model_that_the_server_does_not_have(project: Project) -> None:
    complaint = refused(project, "endpoint.model=no-such-model", "endpoint.retries=0")

    assert "no-such-model" in complaint
    assert MODEL in complaint, "what it has instead"


def test_a_server_that_is_none(project: Project, server: Server) -> None:
    server.faults = [html(path=MODELS), html()]

    assert MODEL in refused(project, "endpoint.retries=0")


def test_a_place_that_cannot_be_written(project: Project) -> None:
    file = project.root / "a-file"
    file.touch()
    project.variables = {**project.variables, "BIBLEQA_PROJECT": str(file / "below")}

    finished = project.run()

    assert finished.code != 0
    assert "a-file" in finished.complaint
    assert "Traceback" not in finished.out + finished.err


# What goes wrong in the middle, and how a run goes on after it.


ONE_BY_ONE = ("endpoint.threads=1", "endpoint.retries=0", "endpoint.patience=1")


def asked_once_more(server: Server, project: Project, *overrides: str) -> Counter[str]:
    """The questions that the same command asks, now that nothing goes wrong; it finishes."""
    server.faults = []
    before = len(server.questions)
    finished = project.run(*ONE_BY_ONE, *overrides)
    assert finished.code == 0, finished.err
    assert project.last.summary["status"] == "finished"
    assert project.last.summary["baseline"]["n"] == project.last.summary["optimized"]["n"] == TEST
    return Counter(server.questions[before:])


def about(numbers: Any, split: str = "test") -> Counter[str]:
    return Counter(f"Who begat Son-{split}-{number}?" for number in numbers)


ON_VAL = about(range(VAL), "val") + about(range(VAL), "val")
"""Asked of the baseline, and of what the optimizer made."""
ALL_AFTER_BASELINE = about(range(TRAIN), "train") + ON_VAL + about(range(TEST))


def test_questions_that_the_endpoint_fails_on_are_errors_and_are_paid_for_alone(
    project: Project, server: Server
) -> None:
    server.faults = [
        status(500, asked="Son-test-2?"),
        html(asked="Son-test-4?"),
        garbage(asked="Son-test-6?"),
        reset(asked="Son-test-8?"),
        hang(asked="Son-test-10?"),
    ]
    failing = {f"test{number}" for number in (2, 4, 6, 8, 10)}

    failed = project.run(*ONE_BY_ONE, "endpoint.timeout=1", "dataset.seed=1")

    assert failed.code == 1
    assert "5 of 12" in failed.complaint
    folder = project.last
    assert folder.summary["status"] == "failed"
    assert folder.summary["baseline"]["errors"] == 5
    assert folder.summary["baseline"]["n"] == TEST - 5
    assert folder.summary["baseline"]["score"] == 1, "errors are no zeros"
    assert folder.summary["optimized"]["n"] == 0
    for prediction in folder.of("baseline"):
        if prediction["id"] in failing:
            assert prediction["score"] is None
            assert prediction["error"]["class"]
            assert prediction["error"]["message"]
        else:
            assert prediction["error"] is None
            assert prediction["score"] == 1
    assert "scripted 500" in next(p["error"]["message"] for p in folder.predictions if p["id"] == "test2")
    assert all("test" in question for question in server.questions), "nothing is spent on an optimizer"
    assert "Traceback" in (folder.path / "run.log").read_text()

    again = asked_once_more(server, project, "endpoint.timeout=1", "dataset.seed=1")

    assert again == about((2, 4, 6, 8, 10)) + ALL_AFTER_BASELINE


def test_an_endpoint_that_dies_is_not_asked_to_the_end_and_the_run_goes_on_later(
    project: Project, server: Server
) -> None:
    server.faults = [reset(spares=1 + 4)]  # the probe's, and four questions

    died = project.run(*ONE_BY_ONE)

    assert died.code == 3
    assert "same command" in died.complaint
    assert project.last.summary["status"] == "failed"
    answered = {p["id"] for p in project.last.predictions if p["error"] is None}
    assert len(answered) == 4
    assert len(server.questions) < TEST

    again = asked_once_more(server, project)

    assert again.total() == TEST - 4 + ALL_AFTER_BASELINE.total()


def test_an_endpoint_that_dies_between_the_phases(project: Project, server: Server) -> None:
    server.faults = [reset(spares=1 + TEST + TRAIN + ON_VAL.total())]

    died = project.run(*ONE_BY_ONE)

    assert died.code == 3
    assert died.complaint
    summary = project.last.summary
    assert summary["status"] == "failed"
    assert summary["baseline"]["n"] == TEST
    assert summary["optimized"]["score"] is None
    assert summary["target"]["reached"] is False

    assert asked_once_more(server, project) == about(range(TEST))


def test_what_fails_inside_an_optimizer_is_said(project: Project, server: Server) -> None:
    server.faults = [status(500, asked="Son-train-1?")]

    failed = project.run(*ONE_BY_ONE)

    assert failed.code == 1
    assert "optimizer" in failed.complaint
    assert project.last.summary["status"] == "failed"
    assert "scripted 500" in project.last.summary["failure"]
    assert project.last.summary["optimized"]["score"] is None

    paid = Counter(question for question in server.questions[TEST:] if "Son-train-1?" not in question)

    assert asked_once_more(server, project) + paid == ALL_AFTER_BASELINE


def test_an_interrupted_run_says_how_to_go_on_and_loses_nothing(project: Project, server: Server) -> None:
    server.faults = [slow(0.1)]

    stopped = stop_when(project.start(*ONE_BY_ONE), lambda: len(server.questions) == 4, signal.SIGINT)

    assert stopped.code == 130
    assert "The same command goes on from there" in stopped.out
    assert "interrupted" in stopped.complaint
    assert "Traceback" not in stopped.out
    answered = {p["id"] for p in project.last.predictions}
    assert len(answered) == len(server.questions) < TEST, "what was under way is kept"
    assert project.last.summary["status"] == "failed"
    assert project.last.summary["baseline"]["n"] == len(answered)
    assert f"baseline {len(answered)} of {TEST}" in stopped.out

    again = asked_once_more(server, project)

    assert again.total() == TEST - len(answered) + ALL_AFTER_BASELINE.total()


@pytest.mark.slow
def test_a_rerun_goes_on_where_it_was_interrupted_and_the_next_one_asks_again(project: Project, server: Server) -> None:
    server.faults = [slow(0.1)]
    stop_when(project.start(*ONE_BY_ONE, "rerun=true"), lambda: len(server.questions) == 4, signal.SIGINT)
    answered = len(server.questions)

    again = asked_once_more(server, project, "rerun=true")

    assert again.total() == TEST - answered + ALL_AFTER_BASELINE.total()

    anew = asked_once_more(server, project, "rerun=true")

    assert anew.total() == TEST + ALL_AFTER_BASELINE.total()


def test_a_folder_with_a_run_in_it_takes_no_other(project: Project, server: Server) -> None:
    place = f"hydra.run.dir={project.root / 'outputs' / 'here'}"
    assert project.run(place, "optimizer=none").code == 0
    asked = len(server.questions)

    refused = project.run(place, "optimizer=none", "dataset.seed=1", "dataset.max_test=3")

    assert refused.code == 2
    assert "another run is in this folder" in refused.complaint
    assert len(server.questions) == asked


def test_a_question_type_that_is_no_name_for_a_metric_is_recorded_all_the_same(project: Project) -> None:
    rows = [{**row("test", n), "metadata": {"type": "who? where!"}} for n in range(4)]
    project.write("test", rows)

    finished = project.run("optimizer=none", "tracking=local")

    assert finished.code == 0, finished.err
    assert project.last.summary["run_id"]


@pytest.mark.slow
def test_an_optimizer_that_is_interrupted(project: Project, server: Server) -> None:
    server.faults = [slow(0.1)]
    search = ("optimizer=bootstrap_random_search", "optimizer.num_candidate_programs=1")

    stopped = stop_when(
        project.start(*ONE_BY_ONE, *search),
        lambda: any("val" in question for question in server.questions),
        signal.SIGINT,
    )

    assert stopped.code == 130
    assert project.last.summary["baseline"]["n"] == TEST
    asked_before = Counter(server.questions)

    again = asked_once_more(server, project, *search)

    assert (asked_before - about(range(TEST))).total() > 0
    assert not any("test" in question and count > 1 for question, count in again.items()), (
        "the baseline is not paid twice"
    )


def test_a_killed_run_is_readable_and_goes_on(project: Project, server: Server) -> None:
    server.faults = [slow(0.1)]

    killed = stop_when(
        project.start("endpoint.threads=2", "endpoint.retries=0"), lambda: len(server.questions) >= 6, signal.SIGKILL
    )

    assert killed.code == -signal.SIGKILL
    folder = project.last
    assert not (folder.path / "summary.json").exists()
    assert yaml.safe_load((folder.path / "config.yaml").read_text())["endpoint"]["model"] == MODEL
    answered = {p["id"] for p in folder.predictions}
    in_flight = 2
    assert len(answered) >= 6 - in_flight
    asked_before = len(server.questions)

    again = asked_once_more(server, project)

    assert again.total() <= TEST - len(answered) + ALL_AFTER_BASELINE.total()
    assert asked_before + again.total() <= TEST + in_flight + ALL_AFTER_BASELINE.total()


def test_a_full_disk_leaves_whole_lines_only(project: Project, server: Server) -> None:
    project.under = ("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh")  # no file above half a megabyte
    server.answer = lambda asked: "word " * 300_000 if son(asked) == "test-5" else know_all(asked)

    failed = project.run(*ONE_BY_ONE)

    assert failed.code == 1
    assert "is the disk full?" in failed.complaint
    assert "Traceback" not in failed.out
    assert 0 < len(project.last.predictions) < TEST
    assert all(prediction["score"] == 1 for prediction in project.last.predictions)
    assert project.last.summary["status"] == "failed"


def test_a_cache_that_cannot_be_written(project: Project, server: Server) -> None:
    project.under = ("sh", "-c", 'ulimit -f 20; exec "$@"', "sh")

    assert "disk full" in refused(project, code=1)
    assert server.requests == []


# The tracker.


def test_a_tracker_that_is_down_costs_nothing_but_the_entry(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = project.root / "store"
    blocker.write_text("A file where the store's folder should be.")
    address = f"sqlite:///{blocker}/mlflow.db"

    finished = project.run("tracking=server", f"tracking.uri={address}", "optimizer=none")

    assert finished.code == 0, finished.err
    folder = project.last
    assert folder.summary["status"] == "finished"
    assert folder.summary["run_id"] is None
    assert f"bibleqa track {folder.path}" in finished.complaint

    blocker.unlink()
    monkeypatch.setenv("BIBLEQA_PROJECT", str(project.root))
    asked_before = len(server.requests)
    assert cli.main(["track", str(folder.path)]) == 0
    assert len(server.requests) == asked_before

    from mlflow import MlflowClient

    summary = folder.summary
    assert summary["run_id"] in capsys.readouterr().out
    run = MlflowClient(address).get_run(summary["run_id"])
    assert run.data.metrics["baseline.score"] == summary["baseline"]["score"] == 1
    assert run.data.tags["fingerprint"] == summary["fingerprint"]

    assert cli.main(["track", str(folder.path)]) != 0, "not twice"
    assert "already" in capsys.readouterr().err


def test_a_run_that_tracks_nothing_and_optimizes_nothing(project: Project, server: Server) -> None:
    finished = project.run("optimizer=none", "adapter=xml")

    assert finished.code == 0, finished.err
    assert not (project.root / "mlflow.db").exists()
    summary = project.last.summary
    assert summary["run_id"] is None
    assert summary["unchanged"] is True
    assert summary["optimized"] == summary["baseline"]
    assert Counter(server.questions) == about(range(TEST)), "the same program is not asked twice"
